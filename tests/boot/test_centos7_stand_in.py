"""CentOS 7 for clouds, on a stand-in (tools/centos7-stand-in): the README's command, and each setting inside."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.building import add_hook
from tests.centos7 import build
from tests.package_repository import serving

sys.path.insert(0, str(Path(__file__).parent))
from guest import Guest

pytestmark = [pytest.mark.slow, pytest.mark.root]

LOGIN_WITHIN = 900  # seconds; about 100 on two idle cores
COMMAND = ("centos7", "vm", "cloud-init", "growroot", "qga")
MORE = ("console", "nozeroconf", "no-hardcoded-mac", "acpid", "epel", "openssh-server", "cloud-init-nocloud")
THEIRS = ("yum", "rpm-distro", "epel")
# what the base has of the machine that it ran on
MACHINE_ID = "3b5f0c1d7e6a4c2f9d8b1a0e5c7f4d21"
ADDRESS = "52:54:00:7C:05:17"
USER_DATA = """\
#cloud-config
runcmd:
  - [sh, -c, "echo user data ran > /dev/ttyS0"]
"""


def test_diskimage_builders_own_elements_run(centos7: Path, tmp_path: Path) -> None:
    """``yum``, ``rpm-distro`` and ``epel`` of diskimage-builder, unmodified, below somebody's operating system."""
    diskimage_builder = pytest.importorskip("diskimage_builder")
    theirs = Path(diskimage_builder.__file__).parent / "elements"
    system = tmp_path / "elements" / "somebodys"
    (system / "environment.d").mkdir(parents=True)
    (system / "element-provides").write_text("operating-system\n")
    (system / "element-deps").write_text("rpm-distro\nyum\n")
    exports = {"DISTRO_NAME": "centos", "DIB_RELEASE": "7", "DIB_INIT_SYSTEM": "systemd", "YUM": "yum"}
    (system / "environment.d/10-somebodys").write_text("".join(f"export {k}={v}\n" for k, v in exports.items()))
    base = "s|^#baseurl=http://mirror.centos.org/centos|baseurl=$DIB_DISTRIBUTION_MIRROR|"
    add_hook(
        tmp_path, "somebodys", "pre-install.d/00-02-mirror", f'sed -i "/^mirrorlist/d; {base}" /etc/yum.repos.d/*.repo'
    )
    add_hook(tmp_path, "somebodys", "finalise.d/98-see", "cat /etc/yum.repos.d/epel.repo /etc/sysconfig/network")
    for name in THEIRS:
        (tmp_path / "elements" / name).symlink_to(theirs / name)
    with serving(centos7 / "repo") as server:
        arguments = ("--target", "host", "-n", "-o", "theirs.qcow2", "somebodys", "epel")
        printed = build(tmp_path, centos7, server.port, *arguments, ELEMENTS_PATH=str(tmp_path / "elements"))
        assert f"| baseurl=http://127.0.0.1:{server.port}/epel/7/$basearch" in printed
    for hook in ("01-00-centos-python3", "01-override-yum-arch", "05-rpm-epel-release", "99-reset-yum-conf"):
        assert f"{hook} completed" in printed
    assert "| NOZEROCONF=yes" in printed
    assert (tmp_path / "theirs.qcow2").exists()


@pytest.fixture(scope="module")
def directory(centos7: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where images are built: ``plain.qcow2`` with the README's command, ``ready.qcow2`` with more on top of it."""
    directory = tmp_path_factory.mktemp("centos7")
    with serving(centos7 / "repo") as server:
        host = ("--target", "host")
        build(directory, centos7, server.port, *host, "-o", "plain.qcow2", *COMMAND)
        build(directory, centos7, server.port, *host, "-o", "ready.qcow2", *COMMAND, *MORE)
        yield directory


@pytest.fixture(scope="module")
def guest(directory: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guest]:
    image = directory / "ready.qcow2"
    with Guest(image, tmp_path_factory.mktemp("guest"), gib=10, user_data=USER_DATA) as guest:
        yield guest


def test_the_command_makes_an_image_that_has_a_bootloader_and_no_backing_file(directory: Path) -> None:
    printed = subprocess.run(["qemu-img", "info", "--output=json", directory / "plain.qcow2"], stdout=subprocess.PIPE)
    info = json.loads(printed.stdout)
    assert info["format"] == "qcow2" and "backing-filename" not in info
    first = subprocess.run(
        ["qemu-img", "dd", "-f", "qcow2", "-O", "raw", "bs=512", "count=1", "if=plain.qcow2", "of=first"], cwd=directory
    )
    assert first.returncode == 0
    sector = (directory / "first").read_bytes()
    assert b"GRUB" in sector and sector[510:512] == b"\x55\xaa"


def test_boots_to_a_login_prompt_on_the_serial_console(guest: Guest) -> None:
    console = guest.login("seeded login:", LOGIN_WITHIN)
    assert "CentOS Linux 7 (Core)" in console
    assert "Linux version" in console  # the kernel's own messages are there too


def test_agent_refuses_nothing_and_changes_passwords(guest: Guest) -> None:
    assert guest.agent("guest-ping", timeout=300) == {}
    refused = [it["name"] for it in guest.agent("guest-info")["supported_commands"] if not it["enabled"]]
    assert set(refused) <= {"guest-get-devices"}  # of Windows only
    before = guest.run(["sed", "-n", "s/^root://p", "/etc/shadow"])
    guest.agent("guest-set-user-password", username="root", password="Y2hhbmdlZA==", crypted=False)
    assert guest.run(["sed", "-n", "s/^root://p", "/etc/shadow"]) != before
    frozen = guest.agent("guest-fsfreeze-freeze")
    assert guest.agent("guest-fsfreeze-thaw") == frozen >= 1


def test_agent_is_configured_as_on_centos_7(guest: Guest) -> None:
    lines = guest.run(["cat", "/etc/sysconfig/qemu-ga"]).splitlines()
    settings = [line for line in lines if line and not line.startswith("#")]
    assert sorted(settings) == [
        'BLACKLIST_RPC=""',
        'DEVPATH="/dev/virtio-ports/org.qemu.guest_agent.0"',
        "FSFREEZE_HOOK_ENABLE=1",
        "FSFREEZE_HOOK_PATHNAME=/etc/qemu-ga/fsfreeze-hook",
        'LOGFILE="/var/log/qemu-ga/qemu-ga.log"',
        'PIDFILE="/var/run/qemu-ga.pid"',
        'TRANSPORT_METHOD="virtio-serial"',
    ]


def test_cloud_init_applied_the_seed(guest: Guest) -> None:
    guest.wait_for("user data ran", LOGIN_WITHIN)
    assert guest.run(["hostname"]).strip() == "seeded"
    assert guest.run(["id", "-un", "centos"]).strip() == "centos"


def test_root_has_grown_to_the_disk(guest: Guest) -> None:
    root = guest.root_filesystem()
    assert root["type"] == "xfs"
    assert root["total-bytes"] > 9.5 * 1024**3  # of 10; the base has 8


def test_initramfs_of_every_kernel_has_what_grows_the_root(guest: Guest) -> None:
    kernels = guest.run(["rpm", "-q", "--qf", "%{VERSION}-%{RELEASE}.%{ARCH}\n", "kernel"]).split()
    assert kernels
    for kernel in kernels:
        listed = guest.run(["lsinitrd", f"/boot/initramfs-{kernel}.img"], timeout=300)
        assert "usr/bin/growpart" in listed and "growroot" in listed


def test_consoles(guest: Guest) -> None:
    arguments = guest.run(["cat", "/proc/cmdline"]).split()
    assert [word for word in arguments if word.startswith("console=")] == ["console=tty0", "console=ttyS0,115200n8"]
    assert not {"rhgb", "quiet"} & set(arguments)
    assert re.search(r"root=(LABEL|UUID)=", " ".join(arguments))
    for file in ("/boot/grub2/grub.cfg", "/etc/default/grub"):
        text = guest.run(["cat", file])
        assert not re.search(r"\b(rhgb|quiet)\b", text) and "/dev/loop" not in text


def test_no_zeroconf_route(guest: Guest) -> None:
    network = guest.run(["cat", "/etc/sysconfig/network"]).splitlines()
    assert network.count("NOZEROCONF=yes") == 1 and "NETWORKING=yes" in network
    routes = guest.run(["ip", "route"])
    assert "10.0.2.0/24" in routes and "169.254" not in routes


def test_nothing_is_left_of_the_machine_that_the_base_was_made_on(guest: Guest) -> None:
    machine = guest.run(["cat", "/etc/machine-id"]).strip()
    assert re.fullmatch("[0-9a-f]{32}", machine) and machine != MACHINE_ID
    interface = guest.run(["cat", "/etc/sysconfig/network-scripts/ifcfg-eth0"])
    assert ADDRESS.lower() not in interface.lower() and "UUID" not in interface
    assert ADDRESS.lower() not in guest.run(["cat", "/etc/udev/rules.d/70-persistent-net.rules"])  # cloud-init's now
    assert "192.0.2.17" not in guest.run(["sh", "-c", "cat /var/lib/dhclient/*"])


def test_yum_is_as_it_was_and_points_at_the_mirror(guest: Guest) -> None:
    settings = guest.run(["cat", "/etc/yum.conf"])
    assert "keepcache=0" in settings and "dib-py" not in settings
    base = guest.run(["cat", "/etc/yum.repos.d/CentOS-Base.repo"])
    assert re.search(r"^baseurl=http://127\.0\.0\.1:\d+/\$releasever/os/\$basearch/$", base, re.MULTILINE)
    assert "\nmirrorlist" not in base
    assert guest.run(["find", "/var/cache/yum", "-mindepth", "1"]) == ""
    assert guest.run(["rpm", "-q", "--qf", "%{NAME} ", "epel-release", "cloud-utils-growpart"]).split() == [
        "epel-release",
        "cloud-utils-growpart",
    ]


def test_nothing_failed(guest: Guest) -> None:
    assert guest.failed_units() == ""


def test_power_button_ends_it(guest: Guest) -> None:
    guest.power_button()
    guest.wait_for_end(300)
