"""How large things are: sizes as people write them, the size that a finished image gets, and the host's room for it."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import NamedTuple

from dib_py.errors import DiskError
from dib_py.units import GIB, KIB, MIB

UNITS = {
    "TiB": 1024**4,
    "GiB": GIB,
    "MiB": MIB,
    "KiB": KIB,
    "TB": 1000**4,
    "GB": 1000**3,
    "MB": 1000**2,
    "KB": 1000,
    "T": 1000**4,
    "G": 1000**3,
    "M": 1000**2,
    "K": 1000,
    "B": 1,
    "": 1,
}
_SIZE = re.compile(r"(\d+(?:\.\d*)?|\.\d+)? ?([A-Za-z]*)")
_PERCENT = re.compile(r"(\d+(?:\.\d*)?|\.\d+) ?%")

EFI_KIB = 525 * 1024  # what diskimage-builder adds for an EFI system partition
_ROUNDING_KIB = 64
_SMALL = 0.1
_MORE_ROOM = "free some space there, or set TMPDIR to a directory that has more"


class Usage(NamedTuple):
    """How full a filesystem is, in bytes; ``available`` leaves out what is kept back for root."""

    size: int
    free: int
    available: int


def parse_size(text: str) -> int:
    """Bytes, from ``10GiB``, ``1.5 G`` or ``4096``; without a number the unit counts once.

    GiB is 1024**3 and G is 1000**3, as in diskimage-builder. Raises ValueError, which says what would be right.
    """
    match = _SIZE.fullmatch(text.strip())
    if match is None or match[2] not in UNITS or not text.strip():
        known = ", ".join(unit for unit in UNITS if unit)
        raise ValueError(f"'{text}' is no size; write a number and one of {known}")
    return int(float(match[1] or 1) * UNITS[match[2]])


def parse_percent(text: str) -> float | None:
    """The number in ``50%``, or None for what is no percentage; ValueError unless it is above 0 and at most 100."""
    match = _PERCENT.fullmatch(text.strip())
    if match is None:
        return None
    percent = float(match[1])
    if not 0 < percent <= 100:
        raise ValueError(f"{text} is not between 0 % and 100 %")
    return percent


def dib_size_kib(
    used_kib: int,
    *,
    size_kib: int | None = None,
    extra_mib: float | None = None,
    journal_mib: int | None = None,
    efi: bool = False,
) -> int:
    """The size that diskimage-builder gives a disk, in KiB.

    ``used_kib`` is what the files take, ``size_kib`` a size that was asked for, ``journal_mib`` the journal of an ext4
    root (None for other filesystems), ``efi`` whether a ``block-device-efi*`` element takes part.
    """
    if size_kib is not None:
        total = size_kib
    else:
        total = int(used_kib + extra_mib * 1024) if extra_mib is not None else int(used_kib / 0.6)
        total += (journal_mib or 0) * 1024
    if efi:
        total += EFI_KIB
    return -(-total // _ROUNDING_KIB) * _ROUNDING_KIB


def beside_partitions(size: int, others: int) -> int:
    """The size, in bytes, of a disk whose root filesystem shares it with partitions that take ``others``.

    diskimage-builder's ``size`` counts on no others than an EFI system partition, and has room for small ones.
    """
    return size if others <= size * _SMALL else size + others


def shown(size: int) -> str:
    """Bytes as a person reads them: ``1.5 GiB``."""
    for unit in ("TiB", "GiB", "MiB", "KiB"):
        if size >= UNITS[unit]:
            return f"{size / UNITS[unit]:.4g} {unit}"
    return f"{size} bytes"


def check_space(directory: Path, needed: int) -> None:
    """Raise DiskError unless the filesystem of ``directory`` has ``needed`` bytes free."""
    free = shutil.disk_usage(directory).free
    if free < needed:
        raise DiskError(
            f"{directory} has {shown(free)} free, and the build needs about {shown(needed)}",
            hint=_MORE_ROOM,
        )


def explain_no_room(directory: Path) -> str:
    """What to say of a failure while ``directory``, where the build writes, is full; empty where it is not."""
    if shutil.disk_usage(directory).free >= 16 * MIB:
        return ""
    return f"{directory} on this machine is full: {_MORE_ROOM}"
