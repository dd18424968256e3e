"""Whether a layout is one that can boot in the way that the block-device element says."""

from __future__ import annotations

from collections.abc import Iterator

from dib_py.disk.layout import Layout
from dib_py.disk.partitions import gpt_type, mbr_type
from dib_py.errors import DiskError

EFI_MOUNT_POINT = "/boot/efi"
_BIOS_MACHINES = ("amd64", "x86_64", "i386", "i686")


def check_boot(layout: Layout, kind: str, element: str, arch: str) -> Iterator[str]:
    """Warnings; DiskError where the image can't boot. ``kind`` is ``DIB_BLOCK_DEVICE``, which ``element`` exports."""
    said = f"{element or 'DIB_BLOCK_DEVICE'} is for disks that boot by"
    has_efi = _has_efi_partition(layout)
    if kind == "efi" and not has_efi:
        raise DiskError(
            f"{said} UEFI, but the layout has no EFI system partition with vfat at {EFI_MOUNT_POINT}",
            hint="add one (type EF00), or take block-device-gpt or block-device-mbr",
            where=layout.source,
        )
    if kind in ("mbr", "gpt") and arch in _BIOS_MACHINES:
        if layout.table is not None and layout.table.label == "gpt" and not _has(layout, "EF02", ""):
            yield f"{layout.source}: {said} BIOS, and the layout has no partition of type EF02 for GRUB to lie in"
        if has_efi:
            yield f"{layout.source}: {said} BIOS, so nothing is put into the layout's EFI system partition"


def _has_efi_partition(layout: Layout) -> bool:
    at = next((fs for fs in layout.mounted if fs.mount_point == EFI_MOUNT_POINT), None)
    return at is not None and at.type == "vfat" and _has(layout, "EF00", "ef", at.base)


def _has(layout: Layout, gpt_code: str, mbr_code: str, name: str = "") -> bool:
    """Whether the layout has a partition of a type (and name)."""
    if layout.table is None:
        return False
    type_of, wanted = (gpt_type, gpt_type(gpt_code)) if layout.table.label == "gpt" else (mbr_type, mbr_code)
    return any(type_of(one.type) == wanted for one in layout.table.partitions if name in ("", one.name))
