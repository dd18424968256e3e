"""What is found out about a Linux, from trees with only the files that tell it."""

from __future__ import annotations

from pathlib import Path

import pytest

from dib_py.inside.linux import BIOS_BOOT, CloudInit, LinuxFacts, inspect
from dib_py.inside.packages import Packages
from dib_py.target import Inspection, Mount
from dib_py.windows.partitions import EFI_SYSTEM, Partition, PartitionTable
from tests.inside.here import DirectoryFiles

MIB = 1024**2
FOUND = Inspection((Mount("/dev/sda1", "/", "ext4"),), "debian", "12", "x86_64", "root", "ext4")
ROOT = Partition(1, "/dev/sda1", 200 * MIB, 800 * MIB, "0FC63DAF-8483-4772-8E79-3D69D8477DE4", fstype="ext4")
ESP = Partition(15, "/dev/sda15", MIB, 100 * MIB, EFI_SYSTEM, fstype="vfat")
GRUB = Partition(14, "/dev/sda14", 101 * MIB, MIB, BIOS_BOOT)
CODE = b"\xeb\x63\x90".ljust(512, b"\0")
EVERYTHING = {
    "etc/os-release": 'ID=debian\nPRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\n',
    "etc/hostname": "phony\n",
    "etc/selinux/config": "# comment\nSELINUX=permissive\nSELINUXTYPE=targeted\n",
    "etc/cloud/cloud.cfg": "datasource_list: [ NoCloud ]\n",
    "etc/cloud/cloud.cfg.d/90_dpkg.cfg": "datasource_list: [ ConfigDrive, 'OpenStack', None ]\n",
    "boot/vmlinuz-6.1.0-18-amd64": "",
    "boot/vmlinuz-6.1.0-9-amd64": "",
    "boot/vmlinuz-0-rescue-abc": "",
    "boot/efi/EFI/BOOT/BOOTX64.EFI": "",
    "usr/lib/systemd/systemd": "",
    "usr/sbin/qemu-ga": "",
    "usr/sbin/sshd": "",
}


def facts(tmp_path: Path, content: dict[str, str], table: PartitionTable, code: bytes = CODE) -> LinuxFacts:
    versions = {"cloud-init:all": "22.4.2", "bash:amd64": "5"} if "etc/cloud/cloud.cfg" in content else {}
    packages = Packages("dpkg" if versions else "", versions)
    return inspect(DirectoryFiles.of(tmp_path, content), FOUND, table, packages, code)


def gpt(*partitions: Partition) -> PartitionTable:
    return PartitionTable("gpt", "", 1000 * MIB, partitions)


def test_a_cloud_image(tmp_path: Path) -> None:
    found = facts(tmp_path, EVERYTHING, gpt(ROOT, GRUB, ESP))
    assert found == LinuxFacts(
        distribution="debian",
        version="12",
        title="Debian GNU/Linux 12 (bookworm)",
        architecture="x86_64",
        boot_modes=("UEFI", "BIOS"),
        kernels=("6.1.0-18-amd64", "6.1.0-9-amd64"),
        init="systemd",
        hostname="phony",
        package_manager="dpkg",
        packages=2,
        cloud_init=CloudInit("22.4.2", ("ConfigDrive", "OpenStack", "None")),
        guest_agent=True,
        ssh_server=True,
        selinux="permissive",
    )


def test_a_bare_one(tmp_path: Path) -> None:
    found = facts(tmp_path, {"lib/modules/5.4.0/x": "", "lib/modules/extra": ""}, gpt(ROOT), bytes(512))
    assert found.boot_modes == ()
    assert found.kernels == ("5.4.0",)
    assert found.cloud_init is None
    assert not (found.guest_agent or found.ssh_server or found.init or found.selinux or found.hostname or found.title)


@pytest.mark.parametrize(
    ("table", "content", "code", "modes"),
    [
        (gpt(ROOT, ESP), {"boot/efi/EFI/debian/shimx64.efi": ""}, CODE, ("UEFI",)),
        (gpt(ROOT, ESP), {}, CODE, ()),  # an ESP with nothing on it
        (gpt(ROOT, GRUB), {}, CODE, ("BIOS",)),
        (gpt(ROOT, GRUB), {}, bytes(440) + b"\1" * 72, ()),  # only a table
        (PartitionTable("dos", "", 1000 * MIB, (ROOT,)), {}, CODE, ("BIOS",)),
    ],
)
def test_how_it_starts(
    tmp_path: Path, table: PartitionTable, content: dict[str, str], code: bytes, modes: tuple[str, ...]
) -> None:
    assert facts(tmp_path, content, table, code).boot_modes == modes


def test_cloud_init_without_a_package(tmp_path: Path) -> None:
    assert facts(tmp_path, {"usr/bin/cloud-init": ""}, gpt(ROOT)).cloud_init == CloudInit("", ())
