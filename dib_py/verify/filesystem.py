"""Whether a filesystem was left clean, read from its own first bytes: nothing is mounted, nothing is repaired.

ext2, ext3, ext4: ``struct ext4_super_block`` in the kernel's Documentation/filesystems/ext4/super.rst. FAT: the state
byte that Linux and Windows keep behind the BIOS parameter block (fs/fat/inode.c). btrfs: ``struct btrfs_super_block``
in include/uapi/linux/btrfs_tree.h. XFS says it only in its log, which xfs_logprint reads.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from dataclasses import dataclass

HEAD = 0x11000  # bytes from a filesystem's beginning that are looked at: up to the end of btrfs' superblock

_EXT = 1024
_EXT_MAGIC = 0xEF53
_EXT_VALID, _EXT_ERRORS = 0x1, 0x2
_EXT_NEEDS_RECOVERY = 0x4
_FAT_DIRTY = 0x1
_BTRFS = 0x10000
_NO_LOGPRINT = re.compile(r"xfs_logprint: (command )?not found")  # by a shell
_XFS_STATE = re.compile(r"state: <(\w+)>")


@dataclass(frozen=True)
class State:
    """``clean`` is None where the type of filesystem does not say it; ``why`` is what was read, for people."""

    clean: bool | None
    why: str


def state(fstype: str, head: bytes) -> State:
    """The state of a filesystem of this type (blkid's name for it) whose first :data:`HEAD` bytes these are."""
    reader = _READERS.get(fstype)
    if reader is None:
        return State(None, f"{fstype or 'an unknown filesystem'} does not say whether it is clean")
    try:
        return reader(head)
    except struct.error:
        return State(False, f"its {fstype} superblock is cut off")


def xfs_state(printed: str) -> State:
    """The state of an XFS filesystem, by what ``xfs_logprint -t`` printed of it."""
    if _NO_LOGPRINT.search(printed):
        return State(None, "the libguestfs appliance has no xfs_logprint (libguestfs-xfs on Debian and Fedora)")
    found = _XFS_STATE.search(printed)
    if found is None:
        last = printed.strip().splitlines()[-1:] or ["nothing"]
        return State(False, f"its log can't be read; xfs_logprint says: {last[0]}")
    return State(found[1] == "CLEAN", f"its log is {found[1].lower()}")


def _ext(head: bytes) -> State:
    (magic, flags) = struct.unpack_from("<HH", head, _EXT + 0x38)
    (features,) = struct.unpack_from("<I", head, _EXT + 0x60)
    (orphan,) = struct.unpack_from("<I", head, _EXT + 0xE8)
    (errors,) = struct.unpack_from("<I", head, _EXT + 0x194)
    if magic != _EXT_MAGIC:
        return State(False, f"its superblock is gone: its magic is {magic:#06x}, not {_EXT_MAGIC:#06x}")
    faults = [
        "its journal must be replayed (needs_recovery)" if features & _EXT_NEEDS_RECOVERY else "",
        "it was not unmounted" if not flags & _EXT_VALID else "",
        f"errors were found in it ({errors} counted)" if flags & _EXT_ERRORS or errors else "",
        f"deleted files are still to be freed (first inode {orphan})" if orphan else "",
    ]
    found = [fault for fault in faults if fault]
    return State(not found, "; ".join(found) or "its superblock says clean, its journal is empty, no errors counted")


def _fat(head: bytes) -> State:
    (sectors,) = struct.unpack_from("<H", head, 0x16)  # of a FAT; 0 on FAT32, which has a longer parameter block
    (flags,) = struct.unpack_from("<B", head, 0x25 if sectors else 0x41)
    dirty = flags & _FAT_DIRTY
    return State(not dirty, "its boot sector says dirty" if dirty else "its boot sector says clean")


def _btrfs(head: bytes) -> State:
    magic, (log,) = head[_BTRFS + 0x40 : _BTRFS + 0x48], struct.unpack_from("<Q", head, _BTRFS + 0x60)
    if magic != b"_BHRfS_M":
        return State(False, "its superblock is gone")
    return State(not log, "its log tree must be replayed" if log else "its superblock names no log tree")


_READERS: dict[str, Callable[[bytes], State]] = {
    **dict.fromkeys(("ext2", "ext3", "ext4"), _ext),
    **dict.fromkeys(("vfat", "fat", "msdos"), _fat),
    "btrfs": _btrfs,
}
