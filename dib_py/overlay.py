"""overlayfs: a writable directory above one that stays as it is, and what it collected.

No redirects and no metadata-only copies: what is in the upper directory can be read without the lower one. In a user
namespace the kernel keeps its notes in ``user.`` attributes instead of ``trusted.`` ones.
"""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path

from dib_py import namespaces

ATTRIBUTES = ("trusted.overlay.", "user.overlay.")  # how the names of overlayfs' own attributes begin

_OPTIONS = "metacopy=off,index=off"


def mount(root: Path, lower: Path, upper: Path, work: Path, flags: int = 0) -> None:
    """Mount at ``root`` what ``lower`` holds, with changes going to ``upper``; OSError as from mount(2).

    The paths have no comma, colon or backslash: those mean something to mount.
    """
    attributes = "userxattr" if _has_own_users() else "redirect_dir=off"  # the first means the second, but refuses it
    data = f"lowerdir={lower},upperdir={upper},workdir={work},{_OPTIONS},{attributes}"
    namespaces.mount("overlay", root, "overlay", flags, data)
    with contextlib.suppress(OSError):
        (work / "work").chmod(0o700)  # made with no rights at all, so that only root could remove it


def _has_own_users() -> bool:
    return Path("/proc/self/uid_map").read_text().split() != ["0", "0", "4294967295"]


def is_whiteout(status: os.stat_result) -> bool:
    """Whether what has this status in an upper directory stands for a deletion."""
    return stat.S_ISCHR(status.st_mode) and status.st_rdev == 0


def make_opaque(path: str | Path) -> None:
    """Have a directory of an upper directory hide the one below it, as overlayfs does with what is made anew."""
    prefix = ATTRIBUTES[1 if _has_own_users() else 0]
    os.setxattr(path, f"{prefix}opaque", b"y", follow_symlinks=False)
