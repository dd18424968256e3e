"""What is left of one machine's network in the image of many."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

import pytest

from .distributions import ALPINE, CENTOS7, DEBIAN, FEDORA, OPENSUSE, ROCKY, UBUNTU, Distribution, on_each, twice

if TYPE_CHECKING:
    from .conftest import Guest

ZEROCONF = "post-install.d/80-nozeroconf"
HOOK = "finalise.d/85-no-hardcoded-mac"
MACHINE = "0123456789abcdef0123456789abcdef\n"


@on_each()
def test_zeroconf_route(guest: Guest, distribution: Distribution) -> None:
    guest.merge("nozeroconf")
    distribution.lay(guest)
    twice(guest, ZEROCONF)
    if distribution.family != "redhat":
        assert not guest.path("/etc/sysconfig/network").is_file()
    elif distribution is CENTOS7:
        assert guest.read("/etc/sysconfig/network") == "NETWORKING=yes\nNOZEROCONF=yes\n"
    else:
        assert guest.read("/etc/sysconfig/network") == "# Created by anaconda\nNOZEROCONF=yes\n"


@pytest.mark.parametrize(
    "text",
    ["NOZEROCONF=yes\nNOZEROCONF=yes\n", "export NOZEROCONF=no\n", "NOZEROCONF=yes", "  NOZEROCONF=no\n"],
)
def test_zeroconf_is_said_once(guest: Guest, text: str) -> None:
    guest.merge("nozeroconf")
    guest.write("/etc/sysconfig/network", text)
    twice(guest, ZEROCONF)
    assert guest.read("/etc/sysconfig/network") == "NOZEROCONF=yes\n"


def test_zeroconf_route_after_cloud_init_wrote_the_file_anew(guest: Guest) -> None:
    guest.merge("nozeroconf")
    guest.write("/etc/sysconfig/network", "NETWORKING=yes\n")
    guest.hook(ZEROCONF)
    drop_in = guest.read("/etc/systemd/system/cloud-init-local.service.d/nozeroconf.conf")
    (command,) = (line.partition("=-")[2] for line in drop_in.splitlines() if line.startswith("ExecStartPost=-"))
    guest.write("/etc/sysconfig/network", "# Created by cloud-init\nNETWORKING=yes\n")
    for _ in range(2):
        guest.run(*shlex.split(command))
        assert guest.read("/etc/sysconfig/network") == "# Created by cloud-init\nNETWORKING=yes\nNOZEROCONF=yes\n"


IFCFG = (
    "TYPE=Ethernet\nBOOTPROTO=dhcp\nDEVICE=eth0\nHWADDR=52:54:00:12:34:56\n"
    'UUID="5fb06bd0-0bb0-7ffb-45f1-d6edd65f3e03"\nMACADDR=02:00:00:00:00:01\nONBOOT=yes\n'
)


def test_interfaces_of_centos_7(guest: Guest) -> None:
    guest.merge("no-hardcoded-mac")
    CENTOS7.lay(guest)
    scripts = "/etc/sysconfig/network-scripts"
    guest.write(f"{scripts}/ifcfg-eth0", IFCFG, 0o600)
    guest.write(f"{scripts}/ifcfg-lo", "DEVICE=lo\n\n\n")
    guest.write(f"{scripts}/ifup-eth", "HWADDR=kept\n")
    guest.write("/etc/udev/rules.d/70-persistent-net.rules", 'ATTR{address}=="52:54:00:12:34:56", NAME="eth0"\n')
    guest.write("/usr/lib/udev/rules.d/75-persistent-net-generator.rules", "PROGRAM\n")
    guest.write("/var/lib/dhclient/dhclient-eth0.leases", "lease {}\n")
    guest.write("/var/lib/NetworkManager/dhclient-eth0.lease", "lease {}\n")
    guest.write("/var/lib/NetworkManager/NetworkManager.state", "[main]\n")
    guest.write("/etc/machine-id", MACHINE, 0o444)
    guest.write("/var/lib/dbus/machine-id", MACHINE)
    twice(guest, HOOK)
    assert guest.read(f"{scripts}/ifcfg-eth0") == (
        "TYPE=Ethernet\nBOOTPROTO=dhcp\nDEVICE=eth0\nMACADDR=02:00:00:00:00:01\nONBOOT=yes\n"
    )
    assert guest.path(f"{scripts}/ifcfg-eth0").stat().st_mode & 0o777 == 0o600
    assert guest.read(f"{scripts}/ifcfg-lo") == "DEVICE=lo\n\n\n"
    assert guest.read(f"{scripts}/ifup-eth") == "HWADDR=kept\n"
    assert guest.read("/etc/udev/rules.d/70-persistent-net.rules") == ""
    generator = guest.path("/etc/udev/rules.d/75-persistent-net-generator.rules")
    assert str(generator.readlink()) == "/dev/null"
    assert list((guest.root / "var/lib/dhclient").iterdir()) == []
    assert [path.name for path in (guest.root / "var/lib/NetworkManager").iterdir()] == ["NetworkManager.state"]
    assert guest.read("/etc/machine-id") == "uninitialized\n"
    assert not guest.exists("/var/lib/dbus/machine-id")


def test_connections_of_networkmanager(guest: Guest) -> None:
    guest.merge("no-hardcoded-mac")
    FEDORA.lay(guest)
    connections = "/etc/NetworkManager/system-connections"
    guest.write(
        f"{connections}/Wired connection 1.nmconnection",
        "[connection]\nid=Wired connection 1\nuuid=6d5f2b4e-0000-4000-8000-000000000001\ntype=ethernet\n\n"
        "[ethernet]\nmac-address=52:54:00:12:34:56\ncloned-mac-address=02:00:00:00:00:01\n"
        "[wifi]\nmac-address = 52:54:00:12:34:57\nssid=x\n\n[proxy]\nmac-address=not-ours\n",
        0o600,
    )
    twice(guest, HOOK)
    assert guest.read(f"{connections}/Wired connection 1.nmconnection") == (
        "[connection]\nid=Wired connection 1\nuuid=6d5f2b4e-0000-4000-8000-000000000001\ntype=ethernet\n\n"
        "[ethernet]\ncloned-mac-address=02:00:00:00:00:01\n"
        "[wifi]\nssid=x\n\n[proxy]\nmac-address=not-ours\n"
    )


@on_each(DEBIAN, UBUNTU, ROCKY)
def test_what_cloud_init_wrote_for_another_machine(guest: Guest, distribution: Distribution) -> None:
    guest.merge("no-hardcoded-mac")
    distribution.lay(guest)
    said = "# This file is generated from information provided by the datasource.  Changes\n"
    by_hand = "/etc/NetworkManager/system-connections/cloud-init-eth1.nmconnection"
    files = {
        "/etc/netplan/50-cloud-init.yaml": f"{said}network: {{}}\n",
        "/etc/network/interfaces.d/50-cloud-init": f"{said}auto eth0\n",
        "/etc/NetworkManager/system-connections/cloud-init-eth0.nmconnection": "# Generated by cloud-init.\n",
    }
    for path, text in {**files, by_hand: "[connection]\n", "/etc/netplan/10-own.yaml": said}.items():
        guest.write(path, text)
    guest.hook(HOOK)
    assert all(guest.exists(path) for path in files), "without cloud-init nobody would write them again"
    guest.fake("cloud-init")
    twice(guest, HOOK)
    assert not any(guest.exists(path) for path in files)
    assert guest.exists(by_hand)
    assert guest.exists("/etc/netplan/10-own.yaml")


def test_leases_and_identities_elsewhere(guest: Guest) -> None:
    guest.merge("no-hardcoded-mac")
    OPENSUSE.lay(guest)
    gone = ["/var/lib/wicked/lease-eth0-dhcp-ipv4.xml", "/var/lib/wicked/duid.xml", "/var/lib/dhcpcd/eth0.lease"]
    gone += ["/var/lib/dhcpcd/duid", "/var/lib/dhcp/dhclient.eth0.leases", "/var/lib/NetworkManager/secret_key"]
    for path in gone:
        guest.write(path, "x")
    guest.write("/var/lib/dhcp/dhcpd.conf", "x")
    guest.write("/etc/sysconfig/network/ifcfg-eth0", "BOOTPROTO='dhcp'\nHWADDR='52:54:00:12:34:56'\n")
    twice(guest, HOOK)
    assert [path for path in gone if guest.exists(path)] == []
    assert guest.exists("/var/lib/dhcp/dhcpd.conf")
    assert guest.read("/etc/sysconfig/network/ifcfg-eth0") == "BOOTPROTO='dhcp'\n"
    assert guest.exists("/etc/sysconfig/network/config")


def test_machine_identity_without_systemd(guest: Guest) -> None:
    guest.merge("no-hardcoded-mac")
    ALPINE.lay(guest)
    guest.write("/etc/machine-id", MACHINE)
    twice(guest, HOOK)
    assert not guest.exists("/etc/machine-id")
