"""What an image's partition table tells before it is booted: by which firmware, and whether it may hold Windows.

An image with an EFI system partition is booted by UEFI. Many can be booted by BIOS too, which is what clouds do where
nothing else was asked for: the second boot of such an image is one by BIOS.
"""

from __future__ import annotations

import enum
import struct
from dataclasses import dataclass
from pathlib import Path

from dib_py.disk.partitions import GPT_TYPES
from dib_py.errors import HostError
from dib_py.process import run

_OVMF = (  # code and variables, as Debian, Fedora and Arch Linux have them
    ("/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd"),
    ("/usr/share/OVMF/OVMF_CODE.fd", "/usr/share/OVMF/OVMF_VARS.fd"),
    ("/usr/share/edk2/ovmf/OVMF_CODE.fd", "/usr/share/edk2/ovmf/OVMF_VARS.fd"),
    ("/usr/share/edk2/x64/OVMF_CODE.4m.fd", "/usr/share/edk2/x64/OVMF_VARS.4m.fd"),
)
_START = 24 * 1024  # bytes of a disk that hold its table, whatever the size of its sectors
_SECTOR_SIZES = (512, 4096)
_GPT = b"EFI PART"
_GPT_ENTRIES = struct.Struct("<QII")  # of the header at 72: first sector, number and size of the entries
_BOOT_CODE = slice(0, 440)
_MBR_TABLE = slice(446, 510)
_MBR_EFI = 0xEF
_MBR_NTFS = 0x07


class Firmware(enum.Enum):
    BIOS = "BIOS"
    UEFI = "UEFI"


@dataclass(frozen=True)
class Ovmf:
    """UEFI for virtual machines: what it runs, and the variables that a new machine starts with."""

    code: Path
    variables: Path


def ovmf() -> Ovmf:
    """Where this machine has it; HostError if it has none."""
    for code, variables in _OVMF:
        if Path(code).exists() and Path(variables).exists():
            return Ovmf(Path(code), Path(variables))
    raise HostError(
        "the image has an EFI system partition, and there is no UEFI firmware for qemu on this machine",
        hint="install the package ovmf",
    )


def boots(image: Path, image_format: str, scratch: Path) -> tuple[Firmware, Firmware]:
    """The firmware of the first boot and of the second one; ``scratch`` is a file that may be written."""
    run(
        [
            *("qemu-img", "dd", "-f", image_format, "-O", "raw", f"bs={_START}", "count=1"),
            *(f"if={image.absolute()}", f"of={scratch}"),
        ],
        timeout=60,
    )
    return ways(scratch.read_bytes())


def lacks_bootloader(start: bytes) -> bool:
    """Whether BIOS would start a first sector that holds no program: it only looks whether the sector is marked."""
    return ways(start)[0] is Firmware.BIOS and start[510:512] == b"\x55\xaa" and not any(start[_BOOT_CODE])


def ways(start: bytes) -> tuple[Firmware, Firmware]:
    """As :func:`boots`, from the first bytes of the disk."""
    types = _gpt_types(start)
    if types is None:
        efi, bios = _MBR_EFI in _mbr_types(start), any(start[_BOOT_CODE])
    else:
        efi, bios = GPT_TYPES["EF00"] in types, GPT_TYPES["EF02"] in types
    if not efi:
        return Firmware.BIOS, Firmware.BIOS
    return Firmware.UEFI, Firmware.BIOS if bios else Firmware.UEFI


def may_hold_windows(start: bytes) -> bool:
    """Whether a partition is of a type that Windows is on; older tools gave it to Linux' own partitions too."""
    types = _gpt_types(start)
    return _MBR_NTFS in _mbr_types(start) if types is None else GPT_TYPES["0700"] in types


def _mbr_types(start: bytes) -> set[int]:
    return set(start[_MBR_TABLE][4::16]) if start[510:512] == b"\x55\xaa" else set()


def _gpt_types(start: bytes) -> set[str] | None:
    """The types of a GPT's partitions, None if there is no GPT."""
    for sector in _SECTOR_SIZES:
        if start[sector : sector + len(_GPT)] == _GPT:
            first, count, size = _GPT_ENTRIES.unpack_from(start, sector + 72)
            table = start[first * sector : first * sector + min(count, 128) * size] if size >= 128 else b""
            entries = (table[at : at + 16] for at in range(0, len(table), size or 1))
            return {_guid(entry) for entry in entries if len(entry) == 16}
    return None


def _guid(raw: bytes) -> str:
    first, second, third = struct.unpack("<IHH", raw[:8])
    return f"{first:08X}-{second:04X}-{third:04X}-{raw[8:10].hex()}-{raw[10:].hex()}".upper()
