"""What a new disk looks like: the block-device YAML as a value.

``layout_yaml`` reads it, ``partitions`` says where partitions lie, ``fstab`` writes the guest's table of filesystems.
Nothing here touches a device: a target carries a layout out.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Partition:
    """One partition; ``number`` counts from 1, that of an MBR's logical ones from 5.

    ``size`` is in bytes; None means ``percent`` of what the partitions before it leave, so that 100 takes all the rest.
    """

    name: str
    number: int
    size: int | None
    type: str  # MBR: hex like "0x83"; GPT: sgdisk's code like "8300"
    bootable: bool = False
    percent: float = 100.0
    logical: bool = False

    @property
    def fills(self) -> bool:
        """Whether it takes all that is left."""
        return self.size is None and self.percent == 100


@dataclass(frozen=True)
class PartitionTable:
    """The partitions of the disk, in their order on it."""

    label: str  # "mbr" or "gpt"
    align: int  # bytes
    partitions: tuple[Partition, ...]


@dataclass(frozen=True)
class Filesystem:
    """A filesystem, or swap, to make on ``base`` (a partition's, logical volume's or disk's name)."""

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
class PhysicalVolume:
    """A partition or disk that LVM may use, with further options for pvcreate."""

    name: str
    base: str
    options: tuple[str, ...] = ()


@dataclass(frozen=True)
class VolumeGroup:
    """Physical volumes as one; ``devices`` are the names of what these lie on, ``options`` are for vgcreate."""

    name: str
    devices: tuple[str, ...]
    options: tuple[str, ...] = ()


@dataclass(frozen=True)
class LogicalVolume:
    """A part of a volume group, as lvcreate makes it; either ``size`` or ``extents`` is there."""

    name: str
    group: str
    size: int | None  # bytes, whole physical extents of 4 MiB
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
    physical_volumes: tuple[PhysicalVolume, ...] = ()
    groups: tuple[VolumeGroup, ...] = ()
    volumes: tuple[LogicalVolume, ...] = ()
    filesystems: tuple[Filesystem, ...] = ()
    source: str = field(default="", compare=False)  # the element or file that it comes from, for messages
    warnings: tuple[str, ...] = field(default=(), compare=False)  # file:line: what is there and means nothing

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

    @property
    def growable(self) -> bool:
        """Whether a larger disk is a larger root: it is all of the disk, or lies on a last partition that fills it."""
        if self.table is None:
            return self.root.base == self.name
        *before, last = self.table.partitions
        return self.root.base == last.name and last.fills and all(one.size is not None for one in before)
