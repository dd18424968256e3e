"""Where partitions lie: from a layout and the disk's size to sectors, and to a script that sfdisk carries out."""

from __future__ import annotations

import re
from dataclasses import dataclass

from dib_py.disk.layout import Layout, Partition, PartitionTable
from dib_py.disk.size import shown
from dib_py.errors import DiskError
from dib_py.units import MIB

# sgdisk's codes, in which block-device files speak, and the type GUIDs that they stand for
GPT_TYPES = {
    "0700": "EBD0A0A2-B9E5-4433-87C0-68B6B72699C7",
    "0C01": "E3C9E316-0B5C-4DB8-817D-F92DF00215AE",
    "2700": "DE94BBA4-06D1-4D40-A16A-BFD50179D6AC",
    "4100": "9E1A2D38-C612-4316-AA26-8B49521E5A8B",
    "8200": "0657FD6D-A4AB-43C4-84E5-0933C84B4F4F",
    "8300": "0FC63DAF-8483-4772-8E79-3D69D8477DE4",
    "8301": "8DA63339-0007-60C0-C436-083AC8230908",
    "8302": "933AC7E1-2EB4-4F13-B844-0E14E2AEF915",
    "8303": "44479540-F297-41B2-9AF7-D131D5F0458A",
    "8304": "4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709",
    "8305": "B921B045-1DF0-41C3-AF44-4C6F280D3FAE",
    "8306": "3B8F8425-20E0-4F3B-907F-1A25A76F98E8",
    "8307": "69DAD710-2CE4-4E3C-B16C-21A1D49ABED3",
    "8309": "CA7D7CCB-63ED-4C53-861C-1742536059CC",
    "8310": "4D21B016-B534-45C2-A9FB-5C16E091FD2D",
    "8E00": "E6D6D379-F507-44C2-A23C-238F2A3DF928",
    "EA00": "BC13C2FF-59E6-4262-A352-B275FD6F7172",
    "EF00": "C12A7328-F81F-11D2-BA4B-00A0C93EC93B",
    "EF01": "024DEE41-33E7-11D3-9D69-0008C781F39F",
    "EF02": "21686148-6449-6E6F-744E-656564454649",
    "FD00": "A19D880F-05FC-4D3B-A006-743F0F84911E",
}
_GUID = re.compile(r"[0-9A-F]{8}(-[0-9A-F]{4}){3}-[0-9A-F]{12}")
_EXTENDED_TYPE = "f"
_RESERVE = MIB  # at the disk's end: the second GPT, and what rounding takes
_MBR_SECTORS = 2**32


class DoesNotFit(DiskError):
    """The disk has too little left for ``partition``."""

    def __init__(self, partition: str, message: str, *, where: str) -> None:
        hint = "ask for a larger disk with --image-size, or for a smaller partition"
        super().__init__(message, hint=hint, where=where)
        self.partition = partition


@dataclass(frozen=True)
class Place:
    """A partition on a disk; ``start`` and ``length`` in bytes, ``type`` as sfdisk writes it.

    ``extended`` marks the container of an MBR's logical partitions, which has no name.
    """

    number: int
    start: int
    length: int
    type: str
    name: str
    bootable: bool = False
    extended: bool = False


def gpt_type(code: str) -> str | None:
    """The type GUID for sgdisk's code, or for a GUID itself; None for what is neither."""
    upper = code.upper()
    upper = upper[2:] if upper.startswith("0X") else upper
    return upper if _GUID.fullmatch(upper) else GPT_TYPES.get(upper.rjust(4, "0"))


def mbr_type(code: str) -> str | None:
    """The type byte in hexadecimal as sfdisk writes it, from ``0x83`` or ``83``; None for what is none."""
    try:
        value = int(code, 16)
    except ValueError:
        return None
    return f"{value:x}" if 0 < value < 256 else None


def place(layout: Layout, disk_size: int) -> tuple[Place, ...]:
    """Where each partition lies on a disk of ``disk_size`` bytes, in the order of their starts.

    Lengths are whole MiB. The container of logical partitions reaches to the end of the last one's room. A layout
    without a table has no places. Raises DiskError when the partitions need more than there is.
    """
    if layout.table is None:
        return ()
    table = layout.table
    if table.label == "mbr" and disk_size // layout.sector_size > _MBR_SECTORS:
        raise DiskError(f"an mbr can't describe a disk of {shown(disk_size)}", hint="use a gpt", where=layout.source)
    places: list[Place] = []
    container: Place | None = None
    free_from = table.align
    for partition in table.partitions:
        if partition.logical and container is None:
            number = 1 + sum(1 for one in table.partitions if not one.logical)
            end = (disk_size - _RESERVE) // layout.sector_size * layout.sector_size
            container = Place(number, free_from, end - free_from, _EXTENDED_TYPE, "", extended=True)
            places.append(container)
        # in front of each logical partition lies the sector that leads to the next
        start = free_from + table.align if partition.logical else free_from
        length = _length(partition, disk_size - _RESERVE - start, layout)
        places.append(
            Place(partition.number, start, length, _type(table, partition), partition.name, partition.bootable)
        )
        free_from = -(-(start + length) // table.align) * table.align
    return tuple(places)


def smallest_disk(layout: Layout) -> int:
    """Bytes that the partitions of a fixed size need, each percentage counted as the least that can be."""
    if layout.table is None:
        return MIB
    align = layout.table.align
    total = align + _RESERVE
    for partition in layout.table.partitions:
        total += -(-(partition.size or align) // align) * align + (align if partition.logical else 0)
    return total


def sfdisk_script(layout: Layout, disk_size: int) -> str:
    """What ``sfdisk DEVICE`` reads to make the layout's partition table on a disk of ``disk_size`` bytes.

    The device may be larger than that. Give sfdisk ``--wipe always --wipe-partitions always --no-reread``.
    """
    if layout.table is None:
        raise DiskError("a disk without partitions needs no sfdisk", where=layout.source)
    gpt = layout.table.label == "gpt"
    sector = layout.sector_size
    lines = [f"label: {'gpt' if gpt else 'dos'}", "unit: sectors", ""]
    for one in place(layout, disk_size):
        fields = [f"start={one.start // sector}", f"size={one.length // sector}", f"type={one.type}"]
        if gpt:
            fields.append(f'name="{one.name}"')
        elif one.bootable:
            fields.append("bootable")
        lines.append(f"{one.number} : " + ", ".join(fields))
    return "\n".join(lines) + "\n"


def _length(partition: Partition, free: int, layout: Layout) -> int:
    wanted = partition.size if partition.size is not None else int(free * partition.percent / 100)
    unit = MIB if wanted >= MIB else layout.sector_size
    length = wanted // unit * unit
    if length > free or length <= 0:
        needs, left = shown(length or MIB), shown(max(free, 0))
        message = f"partition {partition.name} needs {needs}, and the disk has {left} left for it"
        raise DoesNotFit(partition.name, message, where=layout.source)
    return length


def _type(table: PartitionTable, partition: Partition) -> str:
    known = gpt_type(partition.type) if table.label == "gpt" else mbr_type(partition.type)
    if known is None:
        raise DiskError(f"partition {partition.name} has the unknown type {partition.type}")
    return known
