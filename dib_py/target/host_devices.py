"""The block devices of a disk on this machine: loops on the storage daemon's FUSE export, or real partition nodes.

Until :meth:`Devices.expose`, each partition is a loop of its own, by offset and size, which needs no partition parser
in the kernel and ends by itself. Afterwards the whole disk is one loop with partition nodes, as bootloaders want it;
those nodes outlive the loop, so they are removed by hand. Devices have names that stay: ``image0`` and ``image0p1``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dib_py import process
from dib_py.disk import Disk, gpt
from dib_py.disk.layout import Layout
from dib_py.disk.partitions import sfdisk_script
from dib_py.errors import DiskError
from dib_py.target.loop import Loop, remove_partitions

DISK_NAME = "image0"
_RESERVE = 1024**2  # bytes at the disk's end that no partition takes: the second GPT
_EXTENDED = {"5", "f", "85"}
_PATIENT = ("--no-reread", "--no-tell-kernel", "--quiet")


@dataclass(frozen=True)
class PartitionEntry:
    """One line of a partition table; ``start`` and ``length`` in bytes, ``name`` and ``uuid`` as far as it has them."""

    number: int
    start: int
    length: int
    extended: bool
    uuid: str
    name: str

    @property
    def device(self) -> str:
        return partition_device(self.number)


def partition_device(number: int) -> str:
    return f"{DISK_NAME}p{number}"


class Devices:
    """The devices of one disk, from its attaching to :meth:`close`."""

    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        self._backing = disk.fuse()
        self._whole = Loop.attach(self._backing, size=disk.size, sector_size=disk.sector_size)
        self._loops: dict[int, Loop] = {}
        self.exposed = False
        self._fit_table()
        self.table = self._read_table()

    @property
    def whole(self) -> Path:
        return self._whole.path

    def path(self, device: str) -> Path:
        """The node of the device called so; DiskError if the disk has none of that name."""
        if device == DISK_NAME:
            return self._whole.path
        entry = next((entry for entry in self.table if entry.device == device and not entry.extended), None)
        if entry is None:
            raise DiskError(f"the disk has no device {device}")
        if self.exposed:
            return self._whole.partition_node(entry.number)
        if entry.number not in self._loops:
            self._loops[entry.number] = Loop.attach(
                self._backing, offset=entry.start, size=entry.length, sector_size=self._disk.sector_size
            )
        return self._loops[entry.number].path

    def candidates(self) -> list[str]:
        """The devices that may hold filesystems."""
        if not self.table:
            return [DISK_NAME]
        return [entry.device for entry in self.table if not entry.extended]

    def partition(self, layout: Layout) -> None:
        """Write the layout's partition table."""
        wipe = ("--wipe=always", "--wipe-partitions=always")
        process.run(["sfdisk", *_PATIENT, *wipe, self.whole], input=sfdisk_script(layout, self._disk.size), timeout=60)
        self.table = self._read_table()

    def let_go(self) -> None:
        """Detach the partitions' loops; nothing may be mounted from them."""
        for loop in self._loops.values():
            loop.close()
        self._loops.clear()

    def expose(self) -> None:
        """Make partition nodes; nothing may be mounted."""
        if self.exposed or not self.table:
            return
        self.let_go()
        self._whole.flush()
        self._whole.add_partitions()
        self.exposed = True

    def write_back(self) -> list[Callable[[], None]]:
        """What writes to the disk all that programs wrote to it directly, beside the filesystems; OSError as from
        fsync(2)."""
        return [loop.write_back for loop in (self._whole, *self._loops.values())]

    def nodes(self) -> list[Path]:
        """The nodes that a bootloader in the guest needs; none before :meth:`expose`."""
        if not self.exposed:
            return []
        return [self.whole, *(self._whole.partition_node(entry.number) for entry in self.table)]

    def grow(self) -> str:
        """Enlarge the last partition to the end of the disk, which has grown, and return its device."""
        # the kernel asks the storage daemon for the new size now, not when what it knows is too old
        process.run(["stat", "--cached=never", "--format=%s", self._backing], timeout=30)
        self._whole.resize(self._disk.size)
        if self.table:
            if self._label() == "gpt":
                process.run(["sfdisk", *_PATIENT, "--relocate", "gpt-bak-std", self.whole], timeout=60)
            self._end_at(self._disk.size, grow=True)
        return self.last

    @property
    def last(self) -> str:
        """The device that lies at the end of the disk."""
        return DISK_NAME if not self.table else self._last_entry.device

    @property
    def _last_entry(self) -> PartitionEntry:
        return max((entry for entry in self.table if not entry.extended), key=lambda entry: entry.start)

    def room(self, size: int) -> int:
        """Bytes that the last device has on a disk of ``size`` bytes."""
        return size - _RESERVE - self._last_entry.start if self.table else size

    def shrink(self, size: int) -> None:
        """Let the last partition and the table end within ``size`` bytes, to which the disk is cut afterwards."""
        if self.table:
            self._end_at(size, grow=False)
        dump = process.run(["sfdisk", "--dump", self.whole], timeout=60) if self.table else ""
        self._whole.resize(size)
        if "label: gpt" in dump.splitlines():
            # a table whose copy is out of reach is none any more; its own dump makes one for the new size
            lines = [line for line in dump.splitlines() if not line.startswith(("last-lba:", "device:"))]
            process.run(["sfdisk", *_PATIENT, self.whole], input="\n".join(lines) + "\n", timeout=60)

    def _end_at(self, size: int, *, grow: bool) -> None:
        """Write the table so that the last partition, and an extended one around it, ends within ``size`` bytes."""
        last = self._last_entry
        affected = [entry for entry in self.table if entry == last or (entry.extended and entry.start < last.start)]
        for entry in sorted(affected, key=lambda entry: entry.extended, reverse=grow):  # the outer one grows first
            self._write_length(entry, size - _RESERVE - entry.start, grow=grow)
        self.table = self._read_table()
        length = self._last_entry.length
        if self.exposed:
            process.run(["partx", "--update", "--nr", str(last.number), self.whole], timeout=30)
        elif last.number in self._loops:
            self._loops[last.number].resize(length)

    def close(self) -> None:
        """Detach all; partition nodes go first. DiskError for one that is still in use."""
        self.let_go()
        try:
            if self.exposed:
                remove_partitions(self.whole)
                self.exposed = False
        finally:
            self._whole.close()

    def _write_length(self, entry: PartitionEntry, room: int, *, grow: bool) -> None:
        sector = self._disk.sector_size
        length = room // sector
        if (length * sector > entry.length) == grow:
            line = f"{entry.start // sector}, {length}\n"
            options = [*_PATIENT, "--force", "-N", str(entry.number)]
            process.run(["sfdisk", *options, self.whole], input=line, timeout=60)

    def _fit_table(self) -> None:
        """A disk that was served with more capacity than its size has the second copy of its GPT behind its end."""
        size, sector = self._disk.size, self._disk.sector_size
        with self.whole.open("r+b") as device:
            start = device.read(gpt.leading_bytes(sector))
            if gpt.ends_beyond(start, size, sector):
                for offset, data in gpt.fitted(start, size, sector).items():
                    device.seek(offset)
                    device.write(data)

    def _label(self) -> str:
        return process.run(["blkid", "-p", "-s", "PTTYPE", "-o", "value", self.whole], timeout=60).strip()

    def _read_table(self) -> tuple[PartitionEntry, ...]:
        try:
            described = process.run(["sfdisk", "--json", self.whole], timeout=60)
        except process.CommandFailed as error:
            if "does not contain a recognized partition table" in error.output:
                return ()
            raise DiskError(f"the disk's partition table can't be read: {error.output.strip()}") from error
        table = json.loads(described)["partitiontable"]
        sector = int(table.get("sectorsize", self._disk.sector_size))
        return tuple(
            PartitionEntry(
                _number(one),
                int(one["start"]) * sector,
                int(one["size"]) * sector,
                table["label"] == "dos" and one["type"].lower() in _EXTENDED,
                one.get("uuid") or f"{int(table.get('id', '0'), 16):08x}-{_number(one):02x}",
                one.get("name", ""),
            )
            for one in table.get("partitions", ())
        )


def _number(described: dict[str, Any]) -> int:
    return int(re.sub(r".*\D", "", described["node"]))
