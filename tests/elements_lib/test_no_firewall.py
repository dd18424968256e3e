"""The element no-firewall, on what distributions' firewalls leave in an image."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .conftest import Guest

HOOK = "post-install.d/80-no-firewall"
UNIT = "[Unit]\nDescription=x\n[Service]\nExecStart=/bin/true\n[Install]\nWantedBy=multi-user.target\n"
PRESET = "/etc/systemd/system-preset/00-dib-no-firewall.preset"


@pytest.mark.parametrize(
    ("distro", "services"),
    [
        ("debian", ["nftables", "netfilter-persistent"]),
        ("ubuntu", ["ufw", "nftables"]),
        ("centos", ["firewalld", "iptables", "ip6tables"]),
        ("fedora", ["firewalld", "nftables"]),
        ("opensuse", ["SuSEfirewall2", "SuSEfirewall2_init"]),
        ("arch", ["iptables", "ip6tables", "nftables", "ufw"]),
    ],
)
def test_units_that_are_there_are_disabled(guest: Guest, distro: str, services: list[str]) -> None:
    guest.merge("no-firewall")
    guest.fake("systemctl")
    for name in (*services, "sshd"):
        guest.write(f"/usr/lib/systemd/system/{name}.service", UNIT)
    guest.hook(HOOK, DISTRO_NAME=distro)
    assert {call.split()[-1] for call in guest.calls} >= {f"{name}.service" for name in services}
    assert not [call for call in guest.calls if not call.startswith("systemctl disable ") or "sshd" in call]
    assert {f"disable {name}.service" for name in services} <= set(guest.read(PRESET).splitlines())


def test_systemd_obeys_also_at_the_first_boot(guest: Guest) -> None:
    """systemctl's own work on a tree: an enabled firewall goes, and presets don't bring it back."""
    guest.merge("no-firewall")
    alias = UNIT + "Alias=dbus-org.fedoraproject.FirewallD1.service\n"
    guest.write("/usr/lib/systemd/system/firewalld.service", alias)
    guest.write("/usr/lib/systemd/system/dib-other.service", UNIT)
    guest.write(
        "/usr/lib/systemd/system-preset/90-default.preset", "enable firewalld.service\nenable dib-other.service\n"
    )
    guest.run("systemctl", "enable", "firewalld.service")
    links = guest.root / "etc/systemd/system"
    assert (links / "dbus-org.fedoraproject.FirewallD1.service").is_symlink()
    guest.hook(HOOK)
    guest.hook(HOOK)
    guest.run("systemctl", "preset", "firewalld.service", "dib-other.service")
    left = {str(path.relative_to(links)) for path in links.rglob("*.service")}
    assert left == {"multi-user.target.wants/dib-other.service"}
    guest.run("systemctl", "enable", "firewalld.service")
    assert (links / "multi-user.target.wants/firewalld.service").is_symlink(), "it can be enabled again"


def test_the_switch_of_ufw(guest: Guest) -> None:
    guest.merge("no-firewall")
    guest.fake("systemctl")
    guest.write("/etc/ufw/ufw.conf", "# comment\nENABLED=yes\nLOGLEVEL=low\n")
    guest.hook(HOOK)
    assert guest.read("/etc/ufw/ufw.conf") == "# comment\nENABLED=no\nLOGLEVEL=low\n"


def test_openrc(guest: Guest) -> None:
    guest.merge("no-firewall")
    guest.fake("rc-update")
    for name in ("init.d/ufw", "init.d/iptables", "runlevels/boot/iptables", "runlevels/default/sshd"):
        guest.write(f"/etc/{name}", "")
    guest.hook(HOOK, DIB_INIT_SYSTEM="openrc", DISTRO_NAME="alpine")
    assert guest.calls == ["rc-update --all delete iptables"]


def test_an_image_without_a_firewall(guest: Guest) -> None:
    guest.merge("no-firewall")
    guest.fake("systemctl")
    present = [path.stem for path in Path("/usr/lib/systemd/system").glob("*.service")]
    if {"ufw", "nftables", "firewalld", "netfilter-persistent", "ebtables"} & set(present):
        pytest.skip("the machine that runs the tests has one")
    guest.hook(HOOK)
    assert guest.calls == []
    assert not guest.exists(PRESET)
