"""What a new disk looks like: the block-device YAML as a value.

The grammar is diskimage-builder's (``local_loop, partitioning, lvm, mkfs, mount, fstab``). Nothing here touches a
device: a target carries a layout out.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Partition:
    """One partition; ``size`` in bytes, or None for all that is left; ``number`` from 1, logical MBR ones from 5."""

    name: str
    number: int
    size: int | None
    type: str  # MBR: hex like "0x83"; GPT: sgdisk's code like "8300"
    bootable: bool = False


@dataclass(frozen=True)
class PartitionTable:
    label: str  # "mbr" or "gpt"
    align: int  # bytes
    partitions: tuple[Partition, ...]


@dataclass(frozen=True)
class Filesystem:
    """A filesystem to make on ``base`` (a partition's, logical volume's or disk's name)."""

    name: str
    base: str
    type: str
    label: str
    uuid: str
    options: tuple[str, ...] = ()
    mount_point: str | None = None  # "/" for the root; None for swap and for what is not mounted
    fstab_options: str | None = None  # None: no fstab line
    fstab_dump: int = 0
    fstab_pass: int = 2


@dataclass(frozen=True)
class VolumeGroup:
    name: str
    devices: tuple[str, ...]  # partition names
    options: tuple[str, ...] = ()


@dataclass(frozen=True)
class LogicalVolume:
    name: str
    group: str
    size: int | None  # bytes
    extents: str | None  # lvcreate -l
    type: str | None = None  # thin, thin-pool
    thin_pool: str | None = None
    options: tuple[str, ...] = ()


@dataclass(frozen=True)
class Layout:
    """The whole of a new disk, in the order in which it is made."""

    name: str  # the disk's: "image0"
    size: int | None  # bytes; None: the engine decides
    sector_size: int = 512
    table: PartitionTable | None = None  # None: one filesystem on the bare disk
    groups: tuple[VolumeGroup, ...] = ()
    volumes: tuple[LogicalVolume, ...] = ()
    filesystems: tuple[Filesystem, ...] = ()
    source: str = field(default="", compare=False)  # the element or file that it comes from, for messages

    @property
    def root(self) -> Filesystem:
        return next(fs for fs in self.filesystems if fs.mount_point == "/")

    @property
    def mounted(self) -> tuple[Filesystem, ...]:
        """The filesystems that are mounted, parents before children."""
        return tuple(
            sorted(
                (fs for fs in self.filesystems if fs.mount_point is not None),
                key=lambda fs: fs.mount_point or "",
            )
        )
