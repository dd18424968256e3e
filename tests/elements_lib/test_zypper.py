"""The zypper and opensuse elements in a guest whose zypper is a fake program."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .conftest import Guest

ZYPPER = "zypper --non-interactive --gpg-auto-import-keys"
INDEX = '<repoindex disturl="http://cdn.opensuse.org" distsub="leap/">\n  <repo url="%{disturl}/x" alias="oss"/>\n'


@pytest.fixture
def zypper(guest: Guest) -> Guest:
    guest.merge("zypper", "pkg-map", "opensuse")
    guest.variables |= {"DISTRO_NAME": "opensuse", "DIB_RELEASE": "16.0", "DIB_RPM_ARCH": "x86_64"}
    guest.fake("zypper", 'exit "${STATUS:-0}"')
    return guest


@pytest.mark.parametrize(
    ("arguments", "call"),
    [
        (["a", "b"], "install --no-recommends a b"),
        (["-e", "a"], "remove --clean-deps a"),
        (["-d", "a"], "install --no-recommends --download-only a"),
        (["-u"], "dist-upgrade --no-recommends"),
        (["-m", "web", "server"], "install --no-recommends apache"),
    ],
)
def test_install_packages(zypper: Guest, arguments: list[str], call: str) -> None:
    packages = {"family": {"suse": {"server": "apache"}}, "default": {"server": "apache2"}}
    zypper.write("/usr/share/pkg-map/web", json.dumps(packages))
    zypper.run("install-packages", *arguments)
    assert zypper.calls == [f"{ZYPPER} {call}"]


@pytest.mark.parametrize(("status", "code"), [(0, 0), (102, 0), (103, 0), (107, 0), (104, 104), (106, 106), (8, 8)])
def test_codes_of_zypper(zypper: Guest, status: int, code: int) -> None:
    """A restart that is due is no failure; a package that is not there and a repository that was skipped are."""
    result = zypper.run("install-packages", "a", check=False, STATUS=str(status))
    assert result.returncode == code
    assert "--offline" not in result.stderr


def test_offline_only_the_cache_counts(zypper: Guest) -> None:
    result = zypper.run("install-packages", "a", check=False, STATUS="8", DIB_OFFLINE="1")
    assert result.returncode == 8
    assert zypper.calls == [f"{ZYPPER} --no-refresh install --no-recommends a"]
    assert "build once without --offline" in result.stderr


def test_metadata_is_asked_for_again_but_not_offline(zypper: Guest) -> None:
    zypper.hook("pre-install.d/02-zypper-refresh", DIB_OFFLINE="1")
    assert zypper.calls == []
    zypper.hook("pre-install.d/02-zypper-refresh")
    assert zypper.calls == ["zypper --quiet --non-interactive --gpg-auto-import-keys refresh"]


def test_settings_of_the_build_go_again(zypper: Guest) -> None:
    zypper.write("/var/cache/zypp/packages/oss/a.rpm", "")
    zypper.hook("pre-install.d/01-zypper-build-settings")
    zypper.hook("finalise.d/99-zypper-remove-build-settings")
    assert [one.split()[-1] for one in zypper.calls] == ["--keep-packages", "--no-keep-packages"]
    assert not list((zypper.root / "var/cache/zypp").iterdir())


def test_users_get_groups(zypper: Guest) -> None:
    zypper.write("/usr/etc/login.defs", "USERGROUPS_ENAB no\n")
    zypper.hook("pre-install.d/01-user-groups")
    assert zypper.read("/etc/login.defs.d/60-dib.defs") == "USERGROUPS_ENAB yes\n"
    zypper.write("/etc/login.defs", "MAIL x\nUSERGROUPS_ENAB no\n")
    zypper.hook("pre-install.d/01-user-groups")
    assert zypper.read("/etc/login.defs") == "MAIL x\nUSERGROUPS_ENAB yes\n"


def test_a_mirror(zypper: Guest) -> None:
    zypper.write("/etc/zypp/repos.d/oss.repo", "[oss]\nbaseurl=https://download.opensuse.org/distribution/x\n")
    index = "/usr/share/zypp/local/service/openSUSE/repo/repoindex.xml"
    zypper.write(index, INDEX)
    hook = "pre-install.d/00-02-set-opensuse-mirror"
    zypper.hook(hook)
    assert zypper.read(index) == INDEX
    zypper.hook(hook, DIB_DISTRIBUTION_MIRROR="https://m.example/suse/")
    assert zypper.read("/etc/zypp/repos.d/oss.repo") == "[oss]\nbaseurl=https://m.example/suse/distribution/x\n"
    assert 'disturl="https://m.example/suse"' in zypper.read(index)
