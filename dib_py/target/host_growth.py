"""Make a filesystem fill its device, or smaller than it, on this machine."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dib_py import process
from dib_py.errors import DiskError
from dib_py.target.host_mounts import mount_device, unmount_below
from dib_py.units import MIB

_TIMEOUT = 600
_CAP_SYS_RESOURCE = 24
# the inode tables of a flexible group of 64, with an inode for each 4 KiB (8 MiB a group), and half as much again
FLEXIBLE_TABLES = 768 * MIB


class OnlineGrowthRefused(Exception):
    """The kernel forbids this process to enlarge the filesystem while it is mounted."""


def grow(node: Path, point: Path | None) -> None:
    """Enlarge the filesystem on ``node``, mounted at ``point`` or nowhere; DiskError for a type that can't grow."""
    fstype = process.run(["blkid", "-p", "-s", "TYPE", "-o", "value", node], timeout=60).strip()
    if fstype in ("ext2", "ext3", "ext4"):
        _grow_ext(node, point)
    elif fstype in ("xfs", "btrfs"):
        with _mounted(node, fstype, point) as path:
            command = ["xfs_growfs"] if fstype == "xfs" else ["btrfs", "filesystem", "resize", "max"]
            process.run([*command, path], timeout=_TIMEOUT)
    else:
        raise DiskError(f"the last filesystem is of type {fstype or 'unknown'}, which can't grow")


def may_grow_mounted(fstype: str) -> bool:
    """Whether this process may enlarge a mounted filesystem of that type: ext4 wants CAP_SYS_RESOURCE for it."""
    if not fstype.startswith("ext"):
        return True
    status = Path("/proc/self/status").read_text()
    capabilities = next(int(line.split()[1], 16) for line in status.splitlines() if line.startswith("CapEff:"))
    return bool(capabilities >> _CAP_SYS_RESOURCE & 1)


def shrink(node: Path, size: int) -> None:
    """Cut the unmounted filesystem on ``node`` to ``size`` bytes; DiskError for a type that can't."""
    fstype = process.run(["blkid", "-p", "-s", "TYPE", "-o", "value", node], timeout=60).strip()
    if not fstype.startswith("ext"):
        raise DiskError(f"a filesystem of type {fstype or 'unknown'} can't shrink")
    _check_ext(node)
    # The inode tables of groups that go lie in the first ones (flex_bg) and give their room only to the next resize.
    steps = [size] if size + FLEXIBLE_TABLES >= _length(node) else [size + FLEXIBLE_TABLES, size]
    for step in steps:
        # -f: what resize2fs calls the minimum is an estimate, often twice of what is needed
        process.run(["resize2fs", "-f", node, f"{step // 1024}K"], timeout=_TIMEOUT)


def _length(node: Path) -> int:
    """Bytes of a block device."""
    with node.open("rb") as device:
        return device.seek(0, os.SEEK_END)


def _check_ext(node: Path) -> None:
    try:
        process.run(["e2fsck", "-f", "-p", node], timeout=_TIMEOUT)
    except process.CommandFailed as error:
        if error.returncode > 2:  # less: it was repaired
            raise


def _grow_ext(node: Path, point: Path | None) -> None:
    if point is None:
        _check_ext(node)
    try:
        process.run(["resize2fs", node], timeout=_TIMEOUT)
    except process.CommandFailed as error:
        if point is not None and "Permission denied" in error.output:
            raise OnlineGrowthRefused from error
        raise


@contextmanager
def _mounted(node: Path, fstype: str, point: Path | None) -> Iterator[Path]:
    if point is not None:
        yield point
        return
    with tempfile.TemporaryDirectory(prefix="growing.") as directory:
        mount_device(node, fstype, directory)
        try:
            yield Path(directory)
        finally:
            unmount_below(Path(directory))
