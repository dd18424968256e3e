"""SELinux's mode and labels, with a setfiles that writes down what it was asked to label."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from .distributions import ARCH, CENTOS7, DEBIAN, FEDORA, OPENSUSE, Distribution, on_each, twice

if TYPE_CHECKING:
    from .conftest import Guest

PERMISSIVE, DISABLED = "pre-install.d/11-selinux-permissive", "post-install.d/15-disable-selinux"
LABELS = "finalise.d/99-zz-selinux-fixfiles-restore"
# the one of policycoreutils before 2.7, and from then on
OLD = "[ $# -gt 0 ] || { echo 'usage:  setfiles [-diIlnpqvFW] [-e dir] spec_file pathname...' >&2; exit 1; }\n"
NEW = "[ $# -gt 0 ] || { echo 'usage:  setfiles [-diIDlmnpqvEFWT] [-e dir] spec_file pathname...' >&2; exit 1; }\n"
SEEN = 'for last; do :; done; (cd "$last"; ls -A proc tmp/in_target.d) > /opt/seen 2>&1; exit ${STATUS:-0}'


@on_each()
def test_mode(guest: Guest, distribution: Distribution) -> None:
    guest.merge("selinux-permissive", "disable-selinux")
    distribution.lay(guest)
    had = guest.exists("/etc/selinux/config")
    twice(guest, DISABLED)
    assert guest.exists("/etc/selinux/config") is had
    if had:
        expected = "# modes: enforcing, permissive, disabled\nSELINUX=disabled\nSELINUXTYPE=targeted\n"
        assert guest.read("/etc/selinux/config") == expected
    twice(guest, PERMISSIVE)
    if had:
        expected = expected.replace("SELINUX=disabled", "SELINUX=permissive")
        assert guest.read("/etc/selinux/config") == expected
    else:
        assert guest.exists("/etc/selinux/config") is (distribution is OPENSUSE)


def test_mode_of_a_configuration_that_does_not_say(guest: Guest) -> None:
    guest.merge("disable-selinux")
    guest.write("/etc/selinux/config", "SELINUXTYPE=targeted\n")
    twice(guest, DISABLED)
    assert guest.read("/etc/selinux/config") == "SELINUXTYPE=targeted\nSELINUX=disabled\n"


@pytest.fixture
def policy(guest: Guest) -> Guest:
    guest.merge("selinux-fixfiles-restore")
    FEDORA.lay(guest)
    guest.write("/etc/selinux/targeted/contexts/files/file_contexts", "/.* system_u:object_r:default_t:s0\n")
    return guest


def labelled(guest: Guest) -> list[str]:
    return [call for call in guest.calls if call != "setfiles"]


def test_labels_with_a_new_setfiles(policy: Guest) -> None:
    policy.fake("setfiles", NEW + SEEN)
    twice(policy, LABELS)
    (call,) = labelled(policy)
    tree = call.split()[-1]
    assert call == f"setfiles -F -m -r {tree} /etc/selinux/targeted/contexts/files/file_contexts {tree}"
    assert tree.startswith("/run/relabel.")
    assert policy.read("/opt/seen") == "proc:\n\ntmp/in_target.d:\n", "what lies below mounts is labelled"
    assert not policy.exists(tree)
    assert not policy.exists("/.autorelabel")


def test_labels_with_an_old_setfiles(policy: Guest) -> None:
    CENTOS7.lay(policy)
    policy.fake("setfiles", OLD + "echo -n > /opt/done")
    policy.fake("chroot", "shift; exec $@")  # there is no /usr in the tree
    policy.write("/.autorelabel", "")
    twice(policy, LABELS)
    tree = policy.calls[1].split()[1]
    assert [call for call in policy.calls if call != "setfiles"] == [
        f"chroot {tree} setfiles -F /etc/selinux/targeted/contexts/files/file_contexts /",
        "setfiles -F /etc/selinux/targeted/contexts/files/file_contexts /",
    ]
    assert not policy.exists("/.autorelabel")


@pytest.mark.parametrize("setfiles", [None, NEW + SEEN], ids=["missing", "failing"])
def test_labels_are_left_to_the_first_boot(policy: Guest, setfiles: str | None) -> None:
    if setfiles is not None:
        policy.fake("setfiles", setfiles)
    assert "at its first boot" in twice(policy, LABELS, STATUS="255")
    assert policy.read("/.autorelabel") == "-F\n"
    assert list((policy.root / "run").iterdir()) == []


@pytest.mark.parametrize(
    ("config", "why"),
    [
        ("SELINUX=disabled\nSELINUXTYPE=targeted\n", "switched off"),
        ("SELINUX=enforcing\nSELINUXTYPE=mls\n", "no SELinux"),
    ],
)
def test_nothing_to_label(policy: Guest, config: str, why: str) -> None:
    policy.fake("setfiles")
    policy.write("/etc/selinux/config", config)
    assert why in policy.hook(LABELS).stdout
    assert policy.calls == []
    assert not policy.exists("/.autorelabel")


@on_each(DEBIAN, ARCH)
def test_systems_without_selinux(guest: Guest, distribution: Distribution) -> None:
    guest.merge("selinux-fixfiles-restore")
    distribution.lay(guest)
    guest.hook(LABELS)
    assert not guest.exists("/.autorelabel")
