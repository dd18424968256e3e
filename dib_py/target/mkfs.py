"""The command that makes a filesystem of a layout, the same on this machine and in the appliance."""

from __future__ import annotations

from dib_py.disk.layout import Filesystem
from dib_py.errors import DiskError


def mkfs_argv(filesystem: Filesystem, device: str, size: int | None = None) -> list[str]:
    """argv that makes ``filesystem`` on ``device``, of ``size`` bytes (None: all of the device).

    DiskError for a type that can't be labelled, or can't be smaller than its device.
    """
    kind, label, uuid = filesystem.type, filesystem.label, filesystem.uuid
    if kind in ("ext2", "ext3", "ext4"):
        room = [] if size is None else [f"{size // 1024}k"]
        return [f"mkfs.{kind}", "-F", "-q", *filesystem.options, "-L", label, "-U", uuid, device, *room]
    if kind == "xfs":
        room = [] if size is None else ["-d", f"size={size}"]
        return ["mkfs.xfs", "-f", "-q", *filesystem.options, *room, "-L", label, "-m", f"uuid={uuid}", device]
    if kind == "btrfs":
        room = [] if size is None else ["-b", str(size)]
        return ["mkfs.btrfs", "-f", "-q", *filesystem.options, *room, "-L", label, "-U", uuid, device]
    if size is not None:
        raise DiskError(f"a {kind} filesystem can't fill a disk without partitions that grows")
    if kind in ("vfat", "fat", "msdos"):
        return ["mkfs.vfat", *filesystem.options, "-n", label.upper(), device]
    if kind == "swap":
        return ["mkswap", *filesystem.options, "-L", label, "-U", uuid, device]
    raise DiskError(
        f"filesystem {filesystem.name} has the type {kind}, which can't be made here",
        hint="ext2, ext3, ext4, xfs, btrfs, vfat and swap can",
    )
