"""dhcp-all-interfaces: the script on machines of many kinds, played by directories, and the hooks in guests."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.elements_lib.host_side import ELEMENTS

if TYPE_CHECKING:
    from .conftest import Guest

ELEMENT = ELEMENTS / "dhcp-all-interfaces"
SCRIPT = ELEMENT / "static/usr/local/sbin/dhcp-all-interfaces.sh"
ROUTER = "Stateful address conf.    :          {}\nStateful other conf.      :          {}\n"
DUID = 'default-duid "' + r"\x00\x04\x01\x23\x45\x67\x89\xab\xcd\xef\x01\x23\x45\x67\x89\xab\xcd\xef" + '";\n'


@dataclass
class Machine:
    root: Path
    programs: Path
    shell: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        self.programs.mkdir(parents=True)
        for name in ("cat", "awk", "sed", "grep", "mkdir", "sh", "flock", "sleep"):
            (self.programs / name).symlink_to(str(shutil.which(name)))
        self.fake("ip")
        self.write("etc/default/dhcp-all-interfaces", "timeout=1\n")
        self.write("etc/machine-id", "0123456789abcdef0123456789abcdef\n")
        self.interface("lo", addr_assign_type=0)

    def fake(self, program: str, script: str = "") -> None:
        path = self.programs / program
        path.unlink(missing_ok=True)  # a link to this machine's own program, which is not ours to write to
        path.write_text(f'#!/bin/sh\necho "{program} $*" >> {self.root}/calls\n{script}\n')
        path.chmod(0o755)

    def write(self, name: str, text: str = "") -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def interface(self, name: str, addr_assign_type: int = 0, carrier: int = 1, type: int = 1) -> None:
        for attribute, value in (("addr_assign_type", addr_assign_type), ("carrier", carrier), ("type", type)):
            self.write(f"sys/class/net/{name}/{attribute}", f"{value}\n")

    def run(self, *arguments: str, status: int = 0) -> list[str]:
        """What it said; ``calls`` are what it called, but for ``ip``."""
        environment = {"PATH": str(self.programs), "DHCP_ALL_INTERFACES_ROOT": str(self.root)}
        # of the real directories that the script adds to its path none counts
        script = SCRIPT.read_text().replace("PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin\n", "")
        command = [*(self.shell or ("/bin/sh",)), "-c", script, "sh", *arguments]
        result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)
        assert result.returncode == status, result.stderr
        return (result.stdout + result.stderr).splitlines()

    @property
    def calls(self) -> list[str]:
        path = self.root / "calls"
        lines = path.read_text().splitlines() if path.exists() else []
        return [line for line in lines if not line.startswith("ip ")]


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    machine = Machine(tmp_path / "machine", tmp_path / "programs")
    machine.interface("eth0")
    return machine


def with_ifupdown(machine: Machine) -> Path:
    machine.fake("ifup")
    (machine.root / "var/lib/dhcp").mkdir(parents=True)
    return machine.write("etc/network/interfaces", "auto lo\niface lo inet loopback\n")


def with_scripts(machine: Machine) -> Path:
    machine.fake("ifup")
    (machine.root / "var/lib/dhclient").mkdir(parents=True)
    machine.write("etc/sysconfig/network-scripts/network-functions")
    return machine.root / "etc/sysconfig/network-scripts"


def with_network_manager(machine: Machine) -> Path:
    machine.fake("nmcli")
    (machine.root / "etc/sysconfig/network-scripts").mkdir(parents=True)  # EL 9 has it, with a text
    directory = machine.root / "etc/NetworkManager/system-connections"
    directory.mkdir(parents=True)
    return directory


# -- what configures the network


@pytest.mark.parametrize("shell", [("/bin/dash",), ("/bin/bash",), ("/bin/busybox", "sh")], ids=lambda shell: shell[-1])
def test_ifupdown(machine: Machine, shell: tuple[str, ...]) -> None:
    machine.shell = shell
    interfaces = with_ifupdown(machine)
    machine.run("eth0")
    text = "auto lo\niface lo inet loopback\n\nauto eth0\niface eth0 inet dhcp\n"
    assert interfaces.read_text() == text
    assert machine.run("eth0") == ["eth0 is configured already"]
    assert interfaces.read_text() == text
    assert machine.calls == ["ifup eth0"] * 2


def test_ifupdown_with_a_file_for_the_interface(machine: Machine) -> None:
    interfaces = with_ifupdown(machine)
    machine.write("etc/network/interfaces.d/eth0", "auto eth0\niface eth0 inet static\n")
    assert machine.run("eth0") == ["eth0 is configured already"]
    assert "eth0" not in interfaces.read_text()


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (ROUTER.format("Yes", "Yes"), "\niface eth0 inet6 dhcp\n"),
        (ROUTER.format(" No", "Yes"), "\niface eth0 inet6 auto\n\tdhcp 1\n"),
        (ROUTER.format(" No", " No"), "\niface eth0 inet6 auto\n\tdhcp 0\n"),
    ],
)
def test_ifupdown_and_what_routers_want(machine: Machine, answer: str, expected: str) -> None:
    interfaces = with_ifupdown(machine)
    machine.fake("rdisc6", f"printf '{answer}'")
    machine.run("eth0")
    assert interfaces.read_text().endswith(f"iface eth0 inet dhcp\n{expected}")
    assert (machine.root / "var/lib/dhcp/dhclient6--eth0.lease").read_text() == DUID


@pytest.mark.parametrize("status", [1, 2])
def test_no_router(machine: Machine, status: int) -> None:
    interfaces = with_ifupdown(machine)
    machine.fake("rdisc6", f"exit {status}")
    machine.run("eth0")
    assert "inet6" not in interfaces.read_text()


def test_several_at_the_same_time(machine: Machine) -> None:
    """udev starts a service for each interface: nobody's lines get lost or mixed."""
    interfaces = with_ifupdown(machine)
    names = [f"eth{number}" for number in range(12)]
    for name in names:
        machine.interface(name)
    environment = {"PATH": f"{machine.programs}:{os.environ['PATH']}", "DHCP_ALL_INTERFACES_ROOT": str(machine.root)}
    for process in [subprocess.Popen([SCRIPT, name], env=environment, stdout=subprocess.DEVNULL) for name in names]:
        assert process.wait(60) == 0
    blocks = interfaces.read_text().split("\n\n")[1:]
    assert sorted(block.strip() for block in blocks) == sorted(f"auto {name}\niface {name} inet dhcp" for name in names)


def test_network_scripts(machine: Machine) -> None:
    directory = with_scripts(machine)
    machine.fake("nmcli")  # EL 7 has both
    machine.run("eth0")
    expected = 'DEVICE="eth0"\nBOOTPROTO="dhcp"\nONBOOT="yes"\nTYPE="Ethernet"\n'
    assert (directory / "ifcfg-eth0").read_text() == expected
    assert machine.calls == ["ifup eth0"]


def test_network_scripts_with_ipv6_vlan_and_infiniband(machine: Machine) -> None:
    directory = with_scripts(machine)
    machine.fake("rdisc6", f"printf '{ROUTER.format(' No', 'Yes')}'")
    machine.interface("eth0.7", addr_assign_type=2)
    machine.interface("ib0", type=32)
    machine.run()
    vlan = (directory / "ifcfg-eth0.7").read_text().splitlines()
    assert vlan[3:] == ['VLAN="yes"', 'IPV6INIT="yes"', 'IPV6_AUTOCONF="yes"', 'DHCPV6C="yes"', 'DHCPV6C_OPTIONS="-S"']
    assert 'TYPE="InfiniBand"' in (directory / "ifcfg-ib0").read_text().splitlines()
    assert 'IPV6INIT="no"' in (directory / "ifcfg-ib0").read_text().splitlines()
    assert (machine.root / "var/lib/dhclient/dhclient6--eth0.lease").read_text() == DUID
    assert [call for call in machine.calls if call.startswith("ifup")] == [], "the network's own service does that"


def test_network_manager(machine: Machine) -> None:
    directory = with_network_manager(machine)
    machine.fake("ifup")  # of NetworkManager-initscripts-updown
    machine.run("eth0")
    file = directory / "eth0.nmconnection"
    text = "[connection]\nid=eth0\ntype=ethernet\ninterface-name=eth0\n\n[ipv4]\nmethod=auto\n\n[ipv6]\nmethod=auto\n"
    assert file.read_text() == text
    assert file.stat().st_mode & 0o777 == 0o600
    calls = [f"nmcli connection load {file}", "nmcli --wait 1 connection up eth0"]
    assert machine.calls == calls


def test_network_manager_that_has_the_interface(machine: Machine) -> None:
    directory = with_network_manager(machine)
    (directory / "static.nmconnection").write_text("[connection]\nid=static\ninterface-name=eth0\n")
    machine.interface("eth00")
    machine.run()
    assert {path.name for path in directory.iterdir()} == {"static.nmconnection", "eth00.nmconnection"}


def test_wicked(machine: Machine) -> None:
    machine.fake("wicked")
    (machine.root / "etc/sysconfig/network").mkdir(parents=True)
    machine.run("eth0")
    assert (machine.root / "etc/sysconfig/network/ifcfg-eth0").read_text() == "BOOTPROTO='dhcp'\nSTARTMODE='auto'\n"
    assert machine.run("eth0") == ["eth0 is configured already"]
    assert machine.calls == ["wicked ifup eth0"] * 2


@pytest.mark.parametrize("netplan", [False, True])
def test_networkd(machine: Machine, netplan: bool) -> None:
    machine.fake("networkctl")
    if netplan:
        with_ifupdown(machine)
        machine.fake("netplan")
    machine.run("eth0")
    text = (machine.root / "etc/systemd/network/85-dhcp-eth0.network").read_text()
    assert text == "[Match]\nName=eth0\n\n[Network]\nDHCP=yes\n"
    assert machine.calls == ["networkctl reload"]


def test_nothing_that_configures(machine: Machine) -> None:
    assert "nothing here is known to configure interfaces" in machine.run("eth0", status=1)[0]


# -- which interfaces


def test_all_but_those_that_are_none(machine: Machine) -> None:
    interfaces = with_ifupdown(machine)
    machine.interface("eth1", carrier=0)
    machine.interface("br0", addr_assign_type=3)
    machine.interface("br0.5", addr_assign_type=2)
    machine.write("sys/class/net/bonding_masters", "")
    said = machine.run()
    assert sorted(said) == [
        "br0 is not a real interface: skipped",
        "br0.5 is not a real interface: skipped",
        "eth0 is configured by DHCP",
        "eth1 has no link: skipped",
    ]
    assert [line for line in interfaces.read_text().splitlines() if line.startswith("auto")] == ["auto lo", "auto eth0"]
    assert machine.calls == []
    machine.run("br0")
    machine.run("eth1")
    assert machine.calls == [], "what is not configured is not brought up"


def test_a_link_that_comes_late(machine: Machine) -> None:
    with_ifupdown(machine)
    machine.write("etc/default/dhcp-all-interfaces", "timeout=5\n")
    machine.interface("eth0", carrier=0)
    machine.fake("sleep", f"echo 1 > {machine.root}/sys/class/net/eth0/carrier")
    assert machine.run("eth0") == ["eth0 is configured by DHCP"]


def test_an_interface_that_has_no_address(machine: Machine) -> None:
    with_ifupdown(machine)
    machine.fake("ifup", "exit 1")
    machine.run("eth0", status=1)


# -- the hooks


@pytest.fixture
def dhcp(guest: Guest) -> Guest:
    guest.merge("dhcp-all-interfaces", "install-static", "dib-init-system")
    guest.fake("systemctl")
    guest.fake("rc-update")
    return guest


HOOKS = (
    *("install.d/10-install-static-files", "install.d/20-install-init-scripts", "install.d/50-dhcp-all-interfaces"),
    *("install.d/60-remove-cloud-image-interfaces", "post-install.d/80-dhcp-all-interfaces"),
)


def build(guest: Guest, **variables: str) -> None:
    for hook in HOOKS:
        guest.hook(hook, **variables)


@pytest.mark.parametrize(
    ("distro", "release", "installed", "given", "client"),
    [
        ("centos", "7", "dhclient", "", "dhclient"),
        ("rocky", "8", "dhclient", "", "dhclient"),
        ("rocky", "9", "dhclient", "", "internal"),
        ("centos", "10-stream", "dhcpcd", "", "dhcpcd"),
        ("rhel", "10.1", "", "", "internal"),
        ("fedora", "44", "", "", "internal"),
        ("opensuse", "16.0", "", "", "internal"),
        ("rhel", "9", "", "dhclient", "dhclient"),
    ],
)
def test_network_managers_settings(
    dhcp: Guest, distro: str, release: str, installed: str, given: str, client: str
) -> None:
    if release == "10.1" and shutil.which("dhcpcd"):
        pytest.skip("dhcpcd of this machine is in the guest too, so nothing shows a guest without it")
    if installed:
        dhcp.fake(installed)
    (dhcp.root / "etc/NetworkManager").mkdir()
    variables = {"DIB_DHCP_CLIENT": given, "DIB_DHCP_TIMEOUT": "60"}
    dhcp.hook("install.d/50-dhcp-all-interfaces", DISTRO_NAME=distro, DIB_RELEASE=release, **variables)
    text = dhcp.read("/etc/NetworkManager/conf.d/00-main.conf").splitlines()
    assert f"dhcp={client}" in text
    assert {"ipv4.dhcp-timeout=60", "ipv6.dhcp-timeout=60", "autoconnect-retries=-1"} <= set(text)


def test_units(dhcp: Guest) -> None:
    build(dhcp, DIB_DHCP_TIMEOUT="45")
    assert dhcp.read("/etc/default/dhcp-all-interfaces") == "timeout=45\n"
    assert dhcp.exists("/usr/lib/systemd/system/dhcp-interface@.service")
    assert dhcp.exists("/usr/local/sbin/dhcp-all-interfaces.sh")
    assert "TimeoutStartSec=180" in dhcp.read("/etc/systemd/system/dhcp-interface@.service.d/timeout.conf")
    rule = dhcp.read("/etc/udev/rules.d/99-dhcp-all-interfaces.rules")
    assert rule.count("\n") == 1
    assert 'ENV{SYSTEMD_WANTS}+="dhcp-interface@$name.service"' in rule
    if (
        shutil.which("udevadm")
        and "verify" in subprocess.run(["udevadm", "--help"], capture_output=True, text=True).stdout
    ):
        dhcp.run("udevadm", "verify", "/etc/udev/rules.d/99-dhcp-all-interfaces.rules")


def test_systemd_takes_the_unit(dhcp: Guest) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("needs systemd-analyze")
    build(dhcp)
    unit = "/usr/lib/systemd/system/dhcp-interface@eth0.service"
    dhcp.run("cp", "/usr/lib/systemd/system/dhcp-interface@.service", unit)
    result = dhcp.run("systemd-analyze", "verify", "--man=no", unit, check=False)
    assert [line for line in result.stderr.splitlines() if "dhcp-interface" in line] == []


def test_network_manager_alone(dhcp: Guest) -> None:
    (dhcp.root / "etc/NetworkManager").mkdir()
    build(dhcp, DIB_DHCP_NETWORK_MANAGER_AUTO="true")
    assert dhcp.exists("/etc/NetworkManager/conf.d/00-main.conf")
    assert not dhcp.exists("/usr/lib/systemd/system/dhcp-interface@.service")
    assert not dhcp.exists("/etc/udev/rules.d/99-dhcp-all-interfaces.rules")
    assert not dhcp.exists("/usr/local/sbin/dhcp-all-interfaces.sh")


def test_openrc(dhcp: Guest) -> None:
    build(dhcp, DIB_INIT_SYSTEM="openrc", DISTRO_NAME="alpine")
    calls = [call for call in dhcp.calls if call.startswith("rc-update")]
    assert calls == ["rc-update delete dhcp-all-interfaces default", "rc-update add dhcp-all-interfaces boot"]
    assert not dhcp.exists("/etc/udev/rules.d")


def test_what_the_base_image_has_configured_goes(dhcp: Guest) -> None:
    gone = (
        *("/etc/sysconfig/network-scripts/ifcfg-eth0", "/etc/sysconfig/network/ifcfg-eth0"),
        *("/etc/network/interfaces.d/50-cloud-init", "/etc/NetworkManager/system-connections/eth0.nmconnection"),
    )
    kept = (
        *("/etc/sysconfig/network-scripts/ifcfg-lo", "/etc/sysconfig/network/ifcfg-lo"),
        *("/etc/sysconfig/network-scripts/ifup", "/etc/sysconfig/network/ifcfg.template"),
    )
    for name in (*gone, *kept, "/etc/network/interfaces"):
        dhcp.write(name, "iface eth0 inet dhcp\n")
    build(dhcp)
    assert [name for name in gone if dhcp.exists(name)] == []
    assert [name for name in kept if not dhcp.exists(name)] == []
    expected = "auto lo\niface lo inet loopback\n\nsource /etc/network/interfaces.d/*\n"
    assert dhcp.read("/etc/network/interfaces") == expected


def test_dhclients_time(dhcp: Guest) -> None:
    dhcp.write("/etc/dhcp/dhclient.conf", "timeout 300;\nretry 60;\nrequest subnet-mask;\n")
    for _ in range(2):
        dhcp.hook("install.d/50-dhcp-all-interfaces")
    lines = dhcp.read("/etc/dhcp/dhclient.conf").splitlines()
    assert lines == ["# retry 60;", "request subnet-mask;", "# set when the image was built: timeout", "timeout 30;"]


@pytest.mark.parametrize("timeout", ["0", "soon", "-1"])
def test_a_time_that_is_none(dhcp: Guest, timeout: str) -> None:
    result = dhcp.hook("install.d/50-dhcp-all-interfaces", check=False, DIB_DHCP_TIMEOUT=timeout)
    assert result.returncode == 1
    assert "DIB_DHCP_TIMEOUT" in result.stderr


@pytest.mark.parametrize(
    ("distro", "release", "packages"),
    [
        ("debian", "bookworm", "isc-dhcp-client ifupdown ndisc6"),
        ("ubuntu", "noble", "isc-dhcp-client ifupdown ndisc6"),
        ("centos", "7", "dhclient"),
        ("centos", "9-stream", "dhcp-client"),
        ("centos", "10-stream", "dhcpcd"),
        ("rocky", "8", "dhcp-client"),
        ("almalinux", "10", "dhcpcd"),
        *((distro, release, "") for distro, release in (("fedora", "44"), ("opensuse", "16.0"), ("alpine", "3.24"))),
        ("arch", "latest", ""),
    ],
)
def test_packages(guest: Guest, distro: str, release: str, packages: str) -> None:
    guest.merge("pkg-map")
    guest.write("/usr/share/pkg-map/x", json.dumps(json.loads((ELEMENT / "pkg-map").read_text())))
    command = (
        "pkg-map",
        "--element",
        "x",
        "--distro",
        distro,
        "--release",
        release,
        "dhcp-client",
        "ifupdown",
        "ndisc6",
    )
    assert guest.run(*command).stdout.split() == packages.split()
