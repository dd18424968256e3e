"""What RPM distributions share: sudo, initramfs settings, boot entries, old kernels, RHEL's registration."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .conftest import Guest

MACHINE = "0123456789abcdef0123456789abcdef"
NOBODY = "f" * 32


@pytest.fixture
def system(guest: Guest) -> Guest:
    guest.merge("rpm-distro", "redhat-common", "manifests")
    guest.variables |= {"DISTRO_NAME": "rocky", "DIB_RELEASE": "10", "YUM": "dnf", "IMAGE_NAME": "/somewhere/img"}
    guest.fake("rpm")
    guest.fake("dnf")
    guest.fake("yum")
    return guest


# -- sudo


@pytest.mark.parametrize(
    ("line", "becomes"),
    [
        ("Defaults    secure_path = /sbin:/bin:/usr/sbin:/usr/bin", ":/usr/bin:/usr/local/bin"),
        ('Defaults\tsecure_path="/usr/sbin:/usr/bin"', '="/usr/sbin:/usr/bin:/usr/local/bin"'),
        ("Defaults secure_path = /usr/local/sbin:/usr/local/bin:/usr/bin", "/usr/local/sbin:/usr/local/bin:/usr/bin"),
    ],
)
def test_sudo_finds_commands_of_elements(system: Guest, line: str, becomes: str) -> None:
    system.fake("visudo")
    system.write("/etc/sudoers", f"Defaults    requiretty\n{line}\nroot ALL=(ALL) ALL\n")
    for _ in range(2):
        system.hook("pre-install.d/00-sudo-in-hooks")
        first, last = system.read("/etc/sudoers").splitlines()
        assert first.endswith(becomes)
        assert first.count("/usr/local/bin") == 1
        assert last == "root ALL=(ALL) ALL"
    assert system.calls == ["visudo -cqf /etc/sudoers"] * 2


def test_initramfs_images_are_for_all_machines_while_it_is_built(system: Guest) -> None:
    system.hook("pre-install.d/00-rpm-build-settings")
    assert not system.exists("/etc/dracut.conf.d")
    system.write("/etc/dracut.conf.d/10-kept.conf", "")
    system.hook("pre-install.d/00-rpm-build-settings")
    assert 'hostonly="no"' in system.read("/etc/dracut.conf.d/99-dib-build.conf")
    system.hook("finalise.d/99-rpm-remove-build-settings")
    assert [path.name for path in (system.root / "etc/dracut.conf.d").iterdir()] == ["10-kept.conf"]


# -- boot entries


@pytest.mark.parametrize("before", [None, "", "uninitialized\n", f"{MACHINE}\n"])
def test_a_machine_id_while_it_is_built(system: Guest, before: str | None) -> None:
    system.fake("systemd-machine-id-setup", f"echo {NOBODY} > /etc/machine-id")
    if before is not None:
        system.write("/etc/machine-id", before)
    system.hook("pre-install.d/02-machine-id")
    assert system.read("/etc/machine-id") == (before if before == f"{MACHINE}\n" else f"{NOBODY}\n")


@pytest.fixture
def entries(system: Guest) -> Path:
    """A base image's boot entries, with a machine id that is not the image's any more."""
    system.write("/etc/machine-id", f"{MACHINE}\n")
    options = "options root=UUID=1 ro crashkernel=1G $tuned_params\n"
    for version in ("5.14.0-9.x86_64", "5.14.0-70.x86_64", "0-rescue"):
        system.write(f"/boot/loader/entries/{NOBODY}-{version}.conf", f"version {version}\n{options}")
    system.write("/boot/grub2/grubenv", "x")
    system.fake("grub2-editenv", f'case "$2" in list) echo saved_entry={NOBODY}-5.14.0-70.x86_64;; esac')
    return system.root / "boot/loader/entries"


def test_entries_of_the_base_image_get_the_machine_s_name(system: Guest, entries: Path) -> None:
    for _ in range(2):
        system.hook("pre-install.d/03-kernel-entries")
        assert {path.name for path in entries.iterdir()} == {
            f"{MACHINE}-{version}.conf" for version in ("5.14.0-9.x86_64", "5.14.0-70.x86_64", "0-rescue")
        }
    assert f"grub2-editenv /boot/grub2/grubenv set saved_entry={MACHINE}-5.14.0-70.x86_64" in system.calls
    assert system.read("/etc/kernel/cmdline") == "root=UUID=1 ro crashkernel=1G\n"


def test_what_new_kernels_boot_with_stays(system: Guest, entries: Path) -> None:
    system.write("/etc/kernel/cmdline", "mine\n")
    system.hook("pre-install.d/03-kernel-entries")
    assert system.read("/etc/kernel/cmdline") == "mine\n"


def test_entries_that_refer_to_grub_s_environment(system: Guest, entries: Path) -> None:
    for path in entries.iterdir():
        path.write_text("options $kernelopts $tuned_params\n")
    system.hook("pre-install.d/03-kernel-entries")
    assert not system.exists("/etc/kernel/cmdline")


def test_a_system_without_entries(system: Guest) -> None:
    system.hook("pre-install.d/03-kernel-entries")
    assert not system.exists("/boot/loader")


# -- old kernels

INSTALLED = r"""
case "$*" in
    *queryformat*kernel-core) printf '%s.x86_64\n' OLD NEW;;
    *queryformat*kernel-modules) printf '%s.x86_64\n' NEW OLD;;
    *kernel-core|*kernel-modules) exit 0;;
    *--quiet*) exit 1;;
    *) echo "package is not installed"; exit 1;;
esac
"""


def removed(system: Guest) -> list[str]:
    return [call for call in system.calls if "remove" in call]


@pytest.mark.parametrize(
    ("older", "newer"),
    [
        ("6.12.0-9", "6.12.0-10"),
        ("3.10.0-1160.el7", "3.10.0-1160.119.1.el7"),
        ("5.14.0-503.el9_5", "5.14.0-503.11.1.el9_5"),
        ("6.17.9-200.fc43", "6.18.0-100.fc43"),
    ],
)
def test_the_newest_kernel_is_kept(system: Guest, older: str, newer: str) -> None:
    system.fake("rpm", INSTALLED.replace("OLD", older).replace("NEW", newer))
    hook = "post-install.d/05-clean-old-kernels"
    system.hook(hook, DIB_DISABLE_KERNEL_CLEANUP="1")
    assert removed(system) == []
    system.hook(hook)
    system.hook(hook, YUM="yum")
    old = f"remove kernel-core-{older}.x86_64 kernel-modules-{older}.x86_64"
    assert removed(system) == [f"dnf -y --setopt=protect_running_kernel=False {old}", f"yum -y {old}"]


def test_a_single_kernel_and_none(system: Guest) -> None:
    system.fake("rpm", "exit 1")
    system.hook("post-install.d/05-clean-old-kernels")
    system.fake("rpm", 'case "$*" in *queryformat*kernel) echo 3.10.0-1160.x86_64;; *kernel) ;; *) exit 1;; esac')
    assert "one kernel: 3.10.0-1160" in system.hook("post-install.d/05-clean-old-kernels", YUM="yum").stdout
    assert removed(system) == []


# -- registration

REGISTER = "pre-install.d/00-rhel-registration"
UNREGISTER = "finalise.d/60-unregister"
PORTAL = {"REG_METHOD": "portal", "REG_ORG": "1", "REG_ACTIVATION_KEY": "k"}
REPOS = "subscription-manager repos"


@pytest.fixture
def rhel(system: Guest) -> Guest:
    system.merge("rhel-common")
    system.fake("subscription-manager")
    system.variables |= {"DISTRO_NAME": "rhel", "DIB_RELEASE": "9", "DIB_RPM_ARCH": "x86_64"}
    return system


def test_with_a_key(rhel: Guest) -> None:
    rhel.hook(REGISTER, **PORTAL)
    assert rhel.calls == [
        "subscription-manager register --activationkey=k --org=1",
        f"{REPOS} --disable=*",
        f"{REPOS} --enable=rhel-9-for-x86_64-baseos-rpms --enable=rhel-9-for-x86_64-appstream-rpms",
    ]


def test_with_a_password_a_pool_and_repositories(rhel: Guest) -> None:
    result = rhel.hook(
        REGISTER,
        REG_METHOD="portal",
        REG_USER="u",
        REG_PASSWORD="p w",
        REG_POOL_ID="7",
        REG_REPOS="one,two",
        REG_MACHINE_NAME="m",
        REG_FORCE="1",
        DIB_DEBUG_TRACE="1",
    )
    assert rhel.calls == [
        "subscription-manager register --username=u --password=p w --name=m --force",
        "subscription-manager attach --pool=7",
        f"{REPOS} --disable=*",
        f"{REPOS} --enable=one --enable=two",
    ]
    assert "p w" not in result.stdout + result.stderr


def test_a_minor_release_that_is_kept(rhel: Guest) -> None:
    rhel.hook(REGISTER, **PORTAL, REG_RELEASE="8.6", REG_AUTO_ATTACH="1", REG_SERVICE_LEVEL="x", DIB_RELEASE="8")
    assert rhel.calls[0].endswith("--org=1 --auto-attach --servicelevel=x --release=8.6")
    assert rhel.calls[1] == "subscription-manager release --set=8.6"
    assert "rhel-8-for-x86_64-baseos-eus-rpms" in rhel.calls[-1]


def test_release_10_attaches_nothing(rhel: Guest) -> None:
    account = {"REG_METHOD": "portal", "REG_USER": "u", "REG_PASSWORD": "p"}
    attach = {"REG_AUTO_ATTACH": "1", "REG_SERVICE_LEVEL": "x", "REG_POOL_ID": "7", "REG_RELEASE": "10.1"}
    result = rhel.hook(REGISTER, **account, **attach, DIB_RELEASE="10.1")
    assert rhel.calls == [
        "subscription-manager register --username=u --password=p",
        "subscription-manager release --set=10.1",
        f"{REPOS} --disable=*",
        f"{REPOS} --enable=rhel-10-for-x86_64-baseos-rpms --enable=rhel-10-for-x86_64-appstream-rpms",
    ]
    assert "REG_POOL_ID count for nothing" in result.stdout


@pytest.mark.parametrize(
    ("chosen", "repository"),
    [({}, "satellite-client-6-for-rhel-9-x86_64-rpms"), ({"REG_SAT_REPO": "mine", "REG_REPOS": "one"}, "mine")],
)
def test_a_satellite(rhel: Guest, chosen: dict[str, str], repository: str) -> None:
    variables = {**PORTAL, "REG_METHOD": "satellite"}
    assert "REG_SAT_URL" in rhel.hook(REGISTER, check=False, **variables).stderr
    rhel.hook(REGISTER, **variables, **chosen, REG_SAT_URL="https://sat/")
    certificate = "https://sat/pub/katello-ca-consumer-latest.noarch.rpm"
    assert rhel.calls[0] == f"rpm -U --replacepkgs {certificate}"
    assert rhel.calls[1].startswith("subscription-manager register")
    assert rhel.calls[-2].endswith(f" --enable={repository}")
    assert rhel.calls[-1] == f"{REPOS} --disable={repository}"


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"REG_METHOD": "portals"}, "portal, satellite or disable"),
        ({"REG_METHOD": "portal"}, "REG_ACTIVATION_KEY and REG_ORG"),
        ({"REG_METHOD": "portal", "REG_ACTIVATION_KEY": "k"}, "needs REG_ORG"),
    ],
)
def test_what_is_missing_is_said(rhel: Guest, variables: dict[str, str], said: str) -> None:
    result = rhel.hook(REGISTER, check=False, **variables)
    assert result.returncode == 1
    assert said in result.stderr
    assert rhel.calls == []


@pytest.mark.parametrize("variables", [{}, {"REG_METHOD": "disable"}])
def test_not_registered(rhel: Guest, variables: dict[str, str]) -> None:
    rhel.hook(REGISTER, **variables)
    rhel.hook(UNREGISTER, **variables)
    assert rhel.calls == []


def test_always_unregistered(rhel: Guest) -> None:
    rhel.hook(UNREGISTER, **PORTAL, REG_HALT_UNREGISTER="1")
    assert rhel.calls == ["subscription-manager unregister", "subscription-manager clean"]


def test_a_server_that_cannot_be_told(rhel: Guest) -> None:
    rhel.fake("subscription-manager", '[ "$1" != unregister ] || exit 70')
    result = rhel.hook(UNREGISTER, check=False, **PORTAL)
    assert result.returncode == 70
    assert "still registered" in result.stderr
    assert rhel.calls[-1] == "subscription-manager clean"


def test_a_build_that_fails_unregisters_what_it_registered(rhel: Guest) -> None:
    rhel.hook("undo.d/60-unregister", **PORTAL)
    assert rhel.calls == []
    rhel.write("/etc/pki/consumer/cert.pem", "")
    rhel.hook("undo.d/60-unregister", **PORTAL)
    assert rhel.calls == ["subscription-manager unregister"]


def test_no_two_builds_have_a_registration_in_common() -> None:
    file = Path(__file__).resolve().parents[2] / "elements/rhel-common/environment.d/50-rhel-common.bash"

    def value(**environment: str) -> str:
        command = ["bash", "-c", f". {file}; echo ${{DIB_RHEL_REGISTRATION:-}}"]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.strip()

    assert value() == value(REG_METHOD="disable") == ""
    assert value(**PORTAL) != value(**PORTAL)
    assert value(**PORTAL, DIB_RHEL_REGISTRATION="mine") == "mine"
