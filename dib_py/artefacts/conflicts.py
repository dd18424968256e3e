"""Whether recorded artefacts can go to where files are now: a replay must not undo what somebody did there since.

A hook that wrote to a file may have read it before (a log that it appends to, a file that it edits). So its result
holds only for what it found: nothing, the same content, or what the build itself left there.
"""

from __future__ import annotations

import stat
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from dib_py.artefacts import archive
from dib_py.digest import digests
from dib_py.events import Events

KIND = "blake2b"

_BLOCK = 1024**2


@dataclass(frozen=True)
class Conflict:
    """The ``index`` of the first step in a chain that can't be replayed, and ``why``."""

    index: int
    why: str


def digest(path: Path) -> str:
    """What a file's content before a step is known by; OSError."""
    return digests(path, [KIND], "", Events())[KIND]


def find(archives: Sequence[Path | None], roots: Mapping[str, Path], uncaught: Collection[str] = ()) -> Conflict | None:
    """The first step of a chain whose artefacts can't be put to the directories ``roots``, if there is one.

    ``archives`` are those of the chain's steps, None for a step without; ``uncaught`` are areas to which nothing can be
    restored. ValueError for what is no archive; OSError.
    """
    doubtful: dict[str, Conflict] = {}
    met: set[str] = set()
    for index, path in enumerate(archives):
        if path is None:
            continue
        if uncaught and (lost := archive.areas(path) & {*uncaught}):
            doubtful.setdefault("", Conflict(index, f"{roots[min(lost)]} can't be covered, and it left files there"))
        with archive.opened(path) as artefacts:
            for member in artefacts.members():
                area, inner = archive.divided(member.name)
                if not member.isreg() or area not in roots or (member.name in met and member.name not in doubtful):
                    continue
                place = roots[area] / inner
                result = artefacts.tar.extractfile(member)
                assert result is not None  # it is a regular file
                now = _compare(place, archive.time_of(member), member.size, result)
                if now in ("missing", "equal"):
                    doubtful.pop(member.name, None)
                elif member.name not in met and _is_other(place, now, artefacts.before.get(member.name)):
                    doubtful[member.name] = Conflict(index, f"{place} has changed since")
                met.add(member.name)
    return min(doubtful.values(), key=lambda one: one.index, default=None)


def _is_other(place: Path, now: str, before: str | None) -> bool:
    if before is None:  # the step made it; where that has grown since, it may be a log of several builds
        return now == "grown"
    return digest(place) != before


def _compare(place: Path, time: int, size: int, result: IO[bytes]) -> str:
    """What a file is to the result of a step: missing, equal, grown or other."""
    try:
        status = place.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return "missing"
    if not stat.S_ISREG(status.st_mode):
        return "missing"
    if (status.st_size, status.st_mtime_ns) == (size, time):
        return "equal"
    if status.st_size < size:
        return "other"
    with place.open("rb") as file:
        while block := result.read(_BLOCK):
            if file.read(len(block)) != block:
                return "other"
    if status.st_size == size:
        return "equal"
    return "grown" if size else "other"
