"""The partitions of a Windows image's disk, as a value: where each lies, what it is for, what is on it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from dib_py.errors import TargetError
from dib_py.target.base_system import tags
from dib_py.target.guestfs_appliance import CALLED
from dib_py.target.guestfs_runner import Runner

# GPT type codes, in capitals (UEFI 2.10, section 5.3.3; Microsoft's PARTITION_INFORMATION_GPT)
EFI_SYSTEM = "C12A7328-F81F-11D2-BA4B-00A0C93EC93B"
MICROSOFT_RESERVED = "E3C9E316-0B5C-4DB8-817D-F92DF00215AE"
BASIC_DATA = "EBD0A0A2-B9E5-4433-87C0-68B6B72699C7"
RECOVERY = "DE94BBA4-06D1-4D40-A16A-BFD50179D6AC"
DYNAMIC = ("5808C8AA-7E8F-42E0-85D2-E1E90434CFB3", "AF9B60A0-1431-4F62-BC68-3311714A69AD")  # of the disk manager
DYNAMIC_MBR = "42"

# What sfdisk says of the disk $1, then what blkid says of each filesystem; the sections are ended by NUL.
_LOOK = r"""
udevadm settle
printf '%s\0' "$(blockdev --getss "$1")" "$(blockdev --getsize64 "$1")" "$(sfdisk --json "$1" 2>/dev/null || :)"
nodes=("$1"[0-9]*)
[[ -b ${nodes[0]} ]] || nodes=("$1")
blkid -p -o export "${nodes[@]}" || :
"""


@dataclass(frozen=True)
class Partition:
    """One partition; ``start`` and ``size`` in bytes.

    ``device`` is libguestfs's name of it. ``type`` is the GPT type code, or the MBR one in hexadecimal (``7``), both in
    capitals; ``uuid`` is empty in an MBR. ``fstype`` is blkid's word for what is on it (``ntfs``, ``vfat``,
    ``BitLocker``, ``ReFS``), empty for nothing that it knows.
    """

    number: int
    device: str
    start: int
    size: int
    type: str
    uuid: str = ""
    name: str = ""
    active: bool = False
    fstype: str = ""
    label: str = ""

    @property
    def end(self) -> int:
        """The first byte behind it."""
        return self.start + self.size


@dataclass(frozen=True)
class PartitionTable:
    """``kind`` is ``gpt``, ``dos`` or empty for none; ``id`` the disk's GUID, or its signature as ``0x1234abcd``.

    ``partitions`` are in their order on the disk; a disk without a table has one, number 0, that is all of it.
    """

    kind: str
    id: str
    size: int  # bytes of the disk
    partitions: tuple[Partition, ...]

    def behind(self, partition: Partition) -> tuple[Partition, ...]:
        """The partitions that come after this one on the disk."""
        return tuple(one for one in self.partitions if one.start > partition.start)


def look(runner: Runner, disk: str) -> PartitionTable:
    """The partitions of ``disk`` (its real name in the appliance); TargetError where they can't be read."""
    sector, size, table, filesystems = runner.check(_LOOK, disk, timeout=300).split("\0")
    found = {}
    for block in filesystems.strip().split("\n\n"):
        values = tags(block)
        found[values.get("DEVNAME", "")] = values
    return parse(json.loads(table) if table.strip() else {}, found, disk, int(sector), int(size))


def parse(
    table: dict[str, Any], filesystems: dict[str, dict[str, str]], disk: str, sector: int, size: int
) -> PartitionTable:
    """From ``sfdisk --json`` and what blkid says of each node; libguestfs calls ``disk`` its first one."""
    described = table.get("partitiontable")
    if described is None:
        on_it = filesystems.get(disk, {})
        whole = Partition(0, CALLED, 0, size, "", fstype=on_it.get("TYPE", ""), label=on_it.get("LABEL", ""))
        return PartitionTable("", "", size, (whole,))
    if described["label"] not in ("gpt", "dos"):
        raise TargetError(f"the disk has a partition table of a kind that Windows does not know: {described['label']}")
    sector = int(described.get("sectorsize", sector))
    partitions = [
        _partition(one, filesystems.get(one["node"], {}), disk, sector) for one in described.get("partitions", ())
    ]
    ordered = sorted(partitions, key=lambda one: one.start)
    return PartitionTable(described["label"], described.get("id", ""), size, tuple(ordered))


def _partition(described: dict[str, Any], on_it: dict[str, str], disk: str, sector: int) -> Partition:
    number = described["node"][len(disk) :].removeprefix("p")
    return Partition(
        number=int(number),
        device=f"{CALLED}{number}",
        start=described["start"] * sector,
        size=described["size"] * sector,
        type=str(described["type"]).upper(),
        uuid=described.get("uuid", ""),
        name=described.get("name", ""),
        active=bool(described.get("bootable")),
        fstype=on_it.get("TYPE", ""),
        label=on_it.get("LABEL", ""),
    )
