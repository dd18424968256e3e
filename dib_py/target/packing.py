"""The guest's files as one tar archive, packed by GNU tar where its filesystems are mounted.

The same on both targets: what tar is told is here. Names begin with ``./`` and are in order, so that archives of the
same tree are alike, but for a process number that tar puts beside files with holes. Nothing of the image changes by it,
not even access times.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

_TAR = (
    "tar",
    "--create",
    "--format=posix",
    "--numeric-owner",
    "--acls",
    "--xattrs",
    "--xattrs-include=*",
    "--sparse",
    "--sort=name",
    "--atime-preserve=system",
    # times of access and change say when the image was built, and names with a process number nothing at all
    "--pax-option=exthdr.name=%d/PaxHeaders/%f,delete=atime,delete=ctime",
    "--warning=no-file-ignored",  # sockets, which no archive has
    "--anchored",
)
_WILD = re.compile(r"([\\*?\[])")


def argv(root: str, points: Iterable[str], foreign: Iterable[str] = ()) -> list[str]:
    """argv of a tar that writes the archive of ``root`` to its standard output.

    ``points`` are where filesystems of the image are mounted, as paths of the guest: their ``lost+found`` is no file of
    the guest's. ``foreign`` is what is mounted there and is none of the image's: it counts as empty.
    """
    left_out = [f"{_literal(point)}/lost+found" for point in points] + [f"{_literal(point)}/*" for point in foreign]
    return [*_TAR, *(f"--exclude={pattern}" for pattern in left_out), f"--directory={root}", "."]


def _literal(point: str) -> str:
    """A path of the guest as a pattern that only the name tar has for it fits."""
    return "." + _WILD.sub(r"\\\1", point.rstrip("/"))
