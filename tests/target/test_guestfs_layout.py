"""Disks that the guestfs target lays out, enlarges and finds its way in again; one appliance serves all tests here."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from dib_py.disk import Disk
from dib_py.disk.layout import (
    Filesystem,
    Layout,
    LogicalVolume,
    Partition,
    PartitionTable,
    PhysicalVolume,
    VolumeGroup,
)
from dib_py.disk.storage_daemon import serving
from dib_py.errors import BaseError, DiskError, TargetError
from dib_py.events import Events
from dib_py.settings import Settings
from dib_py.target.guestfs import GuestfsTarget
from dib_py.target.guestfs_layout import READ_TABLE
from tests.target.machines import guestfs_target

pytestmark = [pytest.mark.appliance, pytest.mark.slow]

MIB = 1024**2
GIB = 1024**3
START = 2 * GIB
UUID = "7e2f5e9c-2c3d-4d1e-9f53-1c8f0c4ad00{}"


def filesystem(number: int, base: str, kind: str, point: str | None, *options: str) -> Filesystem:
    uuid = UUID.format(number)
    return Filesystem(f"mkfs_{base}", base, kind, f"label{number}", uuid, options, mount_point=point)


def efi(root_type: str) -> Layout:
    partitions = (
        Partition("ESP", 1, 64 * MIB, "EF00"),
        Partition("BSP", 2, 8 * MIB, "EF02"),
        Partition("swap", 3, 64 * MIB, "8200"),
        Partition("root", 4, None, "8300"),
    )
    return Layout(
        "image0",
        None,
        table=PartitionTable("gpt", MIB, partitions),
        filesystems=(
            filesystem(1, "ESP", "vfat", "/boot/efi"),
            filesystem(2, "swap", "swap", None),
            filesystem(3, "root", root_type, "/"),
        ),
    )


def logical() -> Layout:
    partitions = (
        Partition("boot", 1, 128 * MIB, "0x83", bootable=True),
        Partition("root", 5, None, "0x83", logical=True),
    )
    filesystems = (filesystem(1, "boot", "ext2", "/boot"), filesystem(2, "root", "ext4", "/"))
    return Layout("image0", None, table=PartitionTable("mbr", MIB, partitions), filesystems=filesystems)


def bare(kind: str) -> Layout:
    return Layout("image0", None, filesystems=(filesystem(1, "image0", kind, "/"),))


def volumes() -> Layout:
    return Layout(
        "image0",
        None,
        table=PartitionTable("gpt", MIB, (Partition("boot", 1, 128 * MIB, "8300"), Partition("pv", 2, None, "8E00"))),
        physical_volumes=(PhysicalVolume("pv", "pv"),),
        groups=(VolumeGroup("vg", ("pv",)),),
        volumes=(LogicalVolume("lv_var", "vg", 256 * MIB, None), LogicalVolume("lv_root", "vg", None, "50%VG")),
        filesystems=(
            filesystem(1, "boot", "ext4", "/boot"),
            filesystem(2, "lv_root", "ext4", "/"),
            filesystem(3, "lv_var", "ext4", "/var"),
        ),
    )


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Disk]:
    directory = tmp_path_factory.mktemp("disk")
    with serving(directory) as daemon, Disk.create(daemon, directory, size=START, capacity=64 * GIB) as disk:
        yield disk


@pytest.fixture(scope="module")
def opened(disk: Disk, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GuestfsTarget]:
    with GuestfsTarget(disk, tmp_path_factory.mktemp("build"), Settings(memory=1024), Events()) as target:
        yield target


_BLANK = f"""
{READ_TABLE}
lvm vgchange -an >/dev/null 2>&1 || :
wipefs -a -f "$1"[0-9]* >/dev/null 2>&1 || :
wipefs -a -f "$1" >/dev/null
blkdiscard -f "$1"
read_table "$1"
udevadm settle
"""


@pytest.fixture
def target(opened: GuestfsTarget, disk: Disk) -> Iterator[GuestfsTarget]:
    """The target on a disk that is blank again and of its first size."""
    engine = opened._appliance.engine_runner
    engine.check(_BLANK, opened._appliance.disk)
    disk.resize(START)
    yield opened
    opened.unmount()


@pytest.mark.parametrize(
    "layout",
    [efi("ext4"), efi("xfs"), efi("btrfs"), logical(), bare("ext4"), bare("xfs"), volumes()],
    ids=["efi-ext4", "efi-xfs", "efi-btrfs", "mbr-logical", "bare-ext4", "bare-xfs", "lvm"],
)
def test_create_mount_and_grow(target: GuestfsTarget, disk: Disk, layout: Layout) -> None:
    target.create(layout)
    mounts = target.layout_mounts(layout)
    assert [mount.path for mount in mounts] == sorted(mount.path for mount in mounts)
    target.mount(mounts)
    target.write("/kept", b"kept")
    size, free, _ = target.usage()
    assert 0.3 * START < size < START
    assert free > 0.2 * START
    for one in layout.filesystems:
        seen = target._appliance.engine_runner.check('blkid -p -o export "$1"', target.expose_devices(layout)[one.base])
        label = one.label.upper() if one.type == "vfat" else one.label
        assert f"LABEL={label}\n" in seen
        assert f"TYPE={one.type}\n" in seen
        if one.type != "vfat":
            assert f"UUID={one.uuid}\n" in seen
    disk.resize(START + GIB)
    target.grow()
    assert target.usage()[0] - size > 0.8 * GIB
    assert target.read("/kept") == b"kept"
    target.sync()


def test_grow_while_not_mounted(target: GuestfsTarget, disk: Disk) -> None:
    layout = efi("ext4")
    target.create(layout)
    disk.resize(START + GIB)
    target.grow()
    target.mount(target.layout_mounts(layout)[:1])
    assert target.usage()[0] > START


def test_what_can_not_grow_says_so(target: GuestfsTarget) -> None:
    table = PartitionTable("gpt", MIB, (Partition("root", 1, GIB, "8300"), Partition("ESP", 2, 64 * MIB, "EF00")))
    filesystems = (filesystem(1, "root", "ext4", "/"), filesystem(2, "ESP", "vfat", "/boot/efi"))
    target.create(Layout("image0", None, table=table, filesystems=filesystems))
    with pytest.raises(DiskError, match="type vfat, which can't grow"):
        target.grow()


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Path]:
    """A directory with room for 48 MiB."""
    directory = tmp_path / "room"
    directory.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=48M", "none", directory], check=True)
    try:
        yield directory
    finally:
        subprocess.run(["umount", directory], check=True)


@pytest.mark.root
def test_going_on_with_volumes_until_this_machine_is_full(
    target: GuestfsTarget, disk: Disk, tmp_path: Path, room: Path
) -> None:
    target.create(volumes())
    target.mount(target.layout_mounts(volumes()))
    target.write("/var/kept", b"kept")
    target.sync()
    disk.snapshot(tmp_path / "next.qcow2")
    layers = disk.chain()[:0:-1]
    overlay = room / "overlay.qcow2"
    with (
        pytest.raises(TargetError, match=f"could not be written: {room} on this machine is full"),
        guestfs_target(tmp_path, layers=layers, overlay=overlay, size=START, capacity=64 * GIB) as (_, again),
    ):
        again.mount(again.layout_mounts(volumes()))
        assert again.read("/var/kept") == b"kept"
        with pytest.raises(DiskError, match="LVM2_member can't shrink"):
            again.shrink(GIB)
        again.mount(again.layout_mounts(volumes()))
        again.sync()
        again._room = room
        again.write("/large", os.urandom(80 * MIB))
        again.sync()


def test_unknown_filesystem(target: GuestfsTarget) -> None:
    with pytest.raises(DiskError, match=r"can't make the zfs filesystem mkfs_image0: it lacks mkfs\.zfs"):
        target.create(bare("zfs"))


def _install_system(target: GuestfsTarget, fstab: str) -> None:
    """As much of an operating system as inspection recognises."""
    for directory in ("bin", "etc", "lib", "root", "sbin", "usr/bin", "var/log", "boot"):
        target.make_directory(f"/{directory}")
    target.write("/etc/os-release", b'NAME="Sample"\nID=debian\nVERSION_ID="12"\nPRETTY_NAME="Debian 12"\n')
    target.write("/etc/debian_version", b"12.5\n")
    target.write("/etc/fstab", fstab.encode())
    target.write("/bin/true", Path("/bin/true").read_bytes(), 0o755)
    target.write("/bin/ls", Path("/bin/ls").read_bytes(), 0o755)


def test_inspection_finds_volumes_and_a_separate_boot(target: GuestfsTarget, tmp_path: Path) -> None:
    target.create(volumes())
    target.mount(target.layout_mounts(volumes()))
    fstab = (
        "LABEL=label2 / ext4 defaults 0 1\nLABEL=label1 /boot ext4 defaults 0 2\nLABEL=label3 /var ext4 defaults 0 2\n"
    )
    _install_system(target, fstab + "/dev/sdz9 /gone ext4 defaults 0 2\n")
    target.unmount()
    cache = tmp_path / "inspections" / "digest.json"
    found = target.inspect(cache)
    assert [mount.path for mount in found.mounts] == ["/", "/var", "/boot"]
    assert found.mounts[0].device == "/dev/vg/lv_root"
    assert (found.distro, found.version, found.root_label, found.root_fstype) == ("debian", "12", "label2", "ext4")
    target.mount(found.mounts)
    assert target.exists("/etc/os-release")
    assert cache.exists()
    assert target.inspect(cache) == found  # with all mounted: it was not looked for again


def test_inspection_finds_btrfs_subvolumes(target: GuestfsTarget) -> None:
    target.create(bare("btrfs"))
    target.mount(target.layout_mounts(bare("btrfs")))
    engine = target._appliance.engine_runner
    engine.check("btrfs subvolume create /sysroot/root; btrfs subvolume create /sysroot/home; umount /sysroot")
    engine.check('mount -o subvol=root "$1" /sysroot', target._appliance.disk)
    _install_system(target, "LABEL=label1 / btrfs subvol=root 0 0\nLABEL=label1 /home btrfs subvol=home 0 0\n")
    target.unmount()
    found = target.inspect()
    assert {mount.path: mount.device for mount in found.mounts} == {
        "/": "btrfsvol:/dev/sda/root",
        "/home": "btrfsvol:/dev/sda/home",
    }
    assert found.root_fstype == "btrfs"
    target.mount(found.mounts)
    assert target.exists("/etc/os-release")


def test_no_operating_system(target: GuestfsTarget) -> None:
    target.create(bare("ext4"))
    with pytest.raises(BaseError, match="no operating system"):
        target.inspect()
