"""simple-init: its hooks in guests of many distributions, whose glean is played, and the packages it asks for."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.elements_lib.host_side import Build

if TYPE_CHECKING:
    from .conftest import Guest

HOOK = "install.d/50-simple-init"


@pytest.fixture
def glean(guest: Guest) -> Guest:
    guest.merge("simple-init")
    guest.fake("glean-install")
    guest.fake("systemctl")
    return guest


@pytest.mark.parametrize(
    ("distro", "release", "chosen", "call"),
    [
        ("debian", "bookworm", "auto", "glean-install"),
        ("ubuntu", "noble", "auto", "glean-install"),
        ("ubuntu", "noble", "1", "glean-install --use-nm"),
        ("centos", "7", "auto", "glean-install --use-nm"),
        ("centos", "7", "0", "glean-install"),
        *((name, "10", "auto", "glean-install --use-nm") for name in ("almalinux", "rhel", "rocky")),
        ("centos", "10-stream", "auto", "glean-install --use-nm"),
        ("fedora", "44", "1", "glean-install --use-nm"),
        ("opensuse", "15.6", "auto", "glean-install"),
    ],
)
def test_glean_is_told_what_configures_the_network(
    glean: Guest, distro: str, release: str, chosen: str, call: str
) -> None:
    glean.fake("wicked")
    variables = {"DISTRO_NAME": distro, "DIB_RELEASE": release, "DIB_SIMPLE_INIT_NETWORKMANAGER": chosen}
    glean.hook(HOOK, **variables)
    glean.hook("post-install.d/80-simple-init", **variables)
    assert glean.calls == [call, *(["systemctl enable wicked.service"] if distro == "opensuse" else [])]
    assert glean.read("/etc/modules-load.d/simple-init.conf") == "8021q\n"


@pytest.mark.parametrize(("distro", "said"), [("fedora", True), ("almalinux", True), ("rocky", False)])
def test_networks_that_are_left_to_network_manager(glean: Guest, distro: str, said: bool) -> None:
    result = glean.hook(HOOK, DISTRO_NAME=distro, DIB_RELEASE="10")
    assert (f"glean configures no network of {distro}" in result.stdout) is said


def test_no_fallback(glean: Guest) -> None:
    glean.hook(HOOK, DIB_SIMPLE_INIT_NO_DHCP_FALLBACK="1")
    assert glean.calls == ["glean-install --no-dhcp-fallback"]


@pytest.mark.parametrize(
    ("distro", "release", "chosen", "message"),
    [
        ("alpine", "3.24", "auto", "glean does not know the networks of alpine"),
        ("arch", "latest", "auto", "glean does not know the networks of arch"),
        ("opensuse", "tumbleweed", "auto", "which openSUSE tumbleweed does not have"),
    ],
)
def test_networks_that_glean_does_not_know(glean: Guest, distro: str, release: str, chosen: str, message: str) -> None:
    variables = {"DISTRO_NAME": distro, "DIB_RELEASE": release, "DIB_SIMPLE_INIT_NETWORKMANAGER": chosen}
    result = glean.hook(HOOK, check=False, **variables)
    assert result.returncode == 1
    assert message in result.stderr
    assert glean.calls == []


def test_no_glean(guest: Guest) -> None:
    guest.merge("simple-init")
    result = guest.hook(HOOK, check=False)
    assert result.returncode == 1
    assert "the image has no glean" in result.stderr


def test_an_environment_of_its_own(glean: Guest) -> None:
    """What pip has put into /usr/glean goes by names on the usual path."""
    glean.fake("python3", 'mkdir -p /usr/glean/bin; cp /opt/fake/pip /opt/fake/glean-install "$3/bin/"')
    glean.fake("pip")
    glean.hook("install.d/simple-init-source-install/40-glean")
    glean.hook("install.d/simple-init-repo-install/40-glean")
    assert glean.calls == [
        *("python3 -m venv /usr/glean", "pip install glean"),
        *("python3 -m venv /usr/glean", "pip install /tmp/glean.git"),
    ]
    glean.hook(HOOK)
    assert glean.path("/usr/local/bin/glean-install").is_symlink()
    assert not glean.exists("/usr/local/bin/glean"), "only what is there"


def test_interfaces_of_the_base_image_go(glean: Guest) -> None:
    gone = (
        *("/etc/sysconfig/network-scripts/ifcfg-eth0", "/etc/sysconfig/network/ifcfg-ens3"),
        *("/etc/network/interfaces.d/enp1s0", "/etc/NetworkManager/system-connections/eth0.nmconnection"),
    )
    kept = ("/etc/sysconfig/network-scripts/ifcfg-lo", "/etc/network/interfaces.d/lo")
    for name in (*gone, *kept, "/etc/network/interfaces"):
        glean.write(name, "iface eth0 inet dhcp\n")
    glean.hook("install.d/60-simple-init-remove-interfaces")
    assert [name for name in gone if glean.exists(name)] == []
    assert [name for name in kept if not glean.exists(name)] == []
    assert "eth0" not in glean.read("/etc/network/interfaces")


@pytest.mark.parametrize(("kind", "fetched"), [({}, False), ({"DIB_INSTALLTYPE_simple_init": "repo"}, True)])
def test_sources_are_fetched_for_one_type_only(tmp_path: Path, kind: dict[str, str], fetched: bool) -> None:
    build = Build(tmp_path / "build").merge("simple-init")
    build.hook("extra-data.d/97-simple-init", **kind)
    assert (build.hooks / "source-repository-simple-init").exists() is fetched


def packages(*elements: str, **variables: str) -> str:
    """The plan, which has them in its lists."""
    command = [sys.executable, "-m", "dib_py", "plan", "--json", *elements]
    return subprocess.run(command, env={**os.environ, **variables}, capture_output=True, text=True, check=True).stdout


def test_packages_of_debian() -> None:
    text = packages("debian-minimal", "simple-init")
    for name in ("isc-dhcp-client", "ifupdown", "net-tools", "python3-venv"):
        assert f'"{name}"' in text
    assert '"network-manager"' not in text
    manager = packages("debian-minimal", "simple-init", DIB_SIMPLE_INIT_NETWORKMANAGER="1")
    assert '"network-manager"' in manager
    package = packages("debian-minimal", "simple-init", DIB_INSTALLTYPE_simple_init="package")
    assert '"python3-venv"' not in package
