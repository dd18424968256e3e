"""Disks of phony guests, as an installation lays them out: NTFS by libguestfs, one appliance for all that a test needs.

With UEFI: ESP, reserved partition, C:. With a BIOS: "System Reserved" and C:, behind a master boot record.
"""

from __future__ import annotations

import os
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dib_py.target.probe import kvm_works
from dib_py.windows.partitions import BASIC_DATA, EFI_SYSTEM, MICROSOFT_RESERVED
from tests.windows import phony_hives
from tests.windows.phony import Guest, Planted, plant

SECTOR = 512
MIB = 1024**2
SIZE = 1024 * MIB
C_UEFI, C_BIOS = "3", "2"  # the partitions' numbers


@contextmanager
def appliance(scratch: Path, *disks: tuple[Path, bool]) -> Iterator[Any]:
    """A launched appliance with these images and whether each is read-only; it is gone when this ends."""
    import guestfs

    handle = guestfs.GuestFS(python_return_dict=True)
    try:
        scratch.mkdir(parents=True, exist_ok=True)
        handle.set_tmpdir(str(scratch))
        handle.set_backend("direct")
        if not kvm_works(os.environ).works:
            handle.set_backend_setting("force_tcg", "1")
        handle.set_memsize(768)
        for disk, readonly in disks:
            handle.add_drive_opts(str(disk), format="qcow2", readonly=readonly, cachemode="unsafe")
        handle.launch()
        yield handle
        handle.shutdown()
    finally:
        handle.close()


def make(wanted: Mapping[Path, Guest], scratch: Path) -> None:
    """Write a qcow2 image of each guest to its path."""
    import guestfs

    for path in wanted:
        guestfs.GuestFS(python_return_dict=True).disk_create(str(path), "qcow2", SIZE)
    with appliance(scratch, *((path, False) for path in wanted)) as handle:
        devices = handle.list_devices()
        for number, (device, guest) in enumerate(zip(devices, wanted.values(), strict=True)):
            fill(handle, device, plant(guest, scratch / str(number)))


def fill(handle: Any, device: str, planted: Planted) -> None:
    """Partition and format a disk in the appliance, and put the guest's files there."""
    boot, system = _gpt(handle, device) if planted.guest.uefi else _mbr(handle, device)
    _copy(handle, planted.system, system, "permissions")
    _copy(handle, planted.boot, boot, "" if planted.guest.uefi else "permissions")


def _gpt(handle: Any, device: str) -> tuple[str, str]:
    handle.part_init(device, "gpt")
    handle.part_set_disk_guid(device, str(phony_hives.DISK))
    partitions = (
        (MIB, 64 * MIB, EFI_SYSTEM, phony_hives.ESP),
        (65 * MIB, 16 * MIB, MICROSOFT_RESERVED, phony_hives.RESERVED),
        (81 * MIB, SIZE - 82 * MIB, BASIC_DATA, phony_hives.SYSTEM_PARTITION),
    )
    for number, (start, size, kind, guid) in enumerate(partitions, 1):
        handle.part_add(device, "p", start // SECTOR, (start + size) // SECTOR - 1)
        handle.part_set_gpt_type(device, number, kind)
        handle.part_set_gpt_guid(device, number, str(guid))
    handle.mkfs("vfat", f"{device}1", label="SYSTEM")
    handle.mkfs("ntfs", f"{device}{C_UEFI}", label="Windows")
    return f"{device}1", f"{device}{C_UEFI}"


def _mbr(handle: Any, device: str) -> tuple[str, str]:
    handle.part_init(device, "mbr")
    start, boundary = phony_hives.BIOS_BOOT, phony_hives.BIOS_SYSTEM
    handle.part_add(device, "p", start // SECTOR, boundary // SECTOR - 1)
    handle.part_add(device, "p", boundary // SECTOR, (SIZE - MIB) // SECTOR - 1)
    for number in (1, 2):
        handle.part_set_mbr_id(device, number, 7)
    handle.part_set_bootable(device, 1, True)
    handle.pwrite_device(device, phony_hives.SIGNATURE.to_bytes(4, "little"), 0x1B8)
    handle.mkfs("ntfs", f"{device}1", label="System Reserved")
    handle.mkfs("ntfs", f"{device}{C_BIOS}")
    return f"{device}1", f"{device}{C_BIOS}"


def _copy(handle: Any, tree: Path, device: str, options: str) -> None:
    handle.mount_options(options, device, "/")
    archive = tree.with_suffix(".tar")
    with tarfile.open(archive, "w") as packed:
        packed.add(tree, ".", filter=_everybody_reads)
    handle.tar_in(str(archive), "/")
    archive.unlink()
    handle.umount("/")


def _everybody_reads(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    member.mode = 0o755
    return member
