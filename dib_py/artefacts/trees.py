"""What is in a directory, as cheaply as it can be told, and what changed in it since.

A file counts as unchanged while its inode, mode, owner, size and times are: the change time can't be set back. So that
two changes never fall into one tick of the kernel's clock, a scan that finds something fresh waits the tick out.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from dib_py import mount_table, overlay

TICK = 12_000_000  # nanoseconds; the kernel's clock of file times ticks every 1 to 10 ms

_NOT_OURS = (*overlay.ATTRIBUTES, "security.selinux")  # a label is for this machine's policy to give


class Node(NamedTuple):
    """What tells one state of a directory's entry from another."""

    mode: int
    uid: int
    gid: int
    mtime_ns: int
    identity: tuple[int, ...] = ()  # of what is no directory: whatever else changes with its content
    attributes: tuple[tuple[str, bytes], ...] = ()  # of a directory
    opaque: bool = False  # a directory of an upper directory that hides the one below it

    @property
    def is_directory(self) -> bool:
        return stat.S_ISDIR(self.mode)

    @property
    def is_whiteout(self) -> bool:
        return stat.S_ISCHR(self.mode) and self.identity[-1] == 0

    def has_same_attributes(self, other: Node) -> bool:
        return self._replace(mtime_ns=0, opaque=False) == other._replace(mtime_ns=0, opaque=False)


State = Mapping[str, Node]  # by path in the directory, "" for itself


@dataclass
class Difference:
    """What makes one state of a directory of another: remove ``removed`` with all in it, then put ``present`` in, then
    set the modification times of directories that are as they were (``touched``)."""

    removed: list[str] = field(default_factory=list)
    present: list[str] = field(default_factory=list)
    touched: dict[str, int] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.removed or self.present)


def attributes(path: str | Path) -> tuple[tuple[str, bytes], ...]:
    """The extended attributes of ``path`` itself that belong to its content."""
    return _content(_all_attributes(path))


def _all_attributes(path: str | Path) -> list[tuple[str, bytes]]:
    try:
        names = os.listxattr(path, follow_symlinks=False)
    except OSError:  # a filesystem without them
        return []
    return [(name, os.getxattr(path, name, follow_symlinks=False)) for name in sorted(names)]


def _content(found: list[tuple[str, bytes]]) -> tuple[tuple[str, bytes], ...]:
    return tuple((name, value) for name, value in found if not name.startswith(_NOT_OURS))


def look(path: str | Path, status: os.stat_result | None = None) -> Node:
    """The state of one entry; OSError if there is none."""
    found = status or os.lstat(path)
    mode, uid, gid, mtime_ns = found.st_mode, found.st_uid, found.st_gid, found.st_mtime_ns
    if not stat.S_ISDIR(mode):
        return Node(mode, uid, gid, mtime_ns, (found.st_ino, found.st_size, found.st_ctime_ns, found.st_rdev))
    named = _all_attributes(path)
    opaque = any((f"{prefix}opaque", b"y") in named for prefix in overlay.ATTRIBUTES)
    return Node(mode, uid, gid, mtime_ns, (), _content(named), opaque)


def scan(root: Path, left_out: Iterable[str] = ()) -> dict[str, Node]:
    """The state of ``root``, but for these names directly in it, sockets, and what is mounted there."""
    status = os.lstat(root)
    device, newest = status.st_dev, status.st_ctime_ns
    mounted = _mounted_below(root)  # a bind mount has the same device
    state = {"": look(root, status)}
    directories = [(str(root), "")]
    skipped = frozenset(left_out)
    while directories:
        place, prefix = directories.pop()
        for entry in _entries(place):
            if entry.name in skipped and not prefix:
                continue
            try:
                found = entry.stat(follow_symlinks=False)
            except FileNotFoundError:  # a temporary file
                continue
            path = prefix + entry.name
            if found.st_dev != device or path in mounted or stat.S_ISSOCK(found.st_mode):
                continue
            state[path] = look(entry.path, found)
            newest = max(newest, found.st_ctime_ns)
            if stat.S_ISDIR(found.st_mode):
                directories.append((entry.path, f"{path}/"))
    if 0 <= (age := time.time_ns() - newest) < TICK:
        time.sleep((TICK - age) / 1e9)
    return state


def _entries(directory: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(directory) as entries:
            return list(entries)
    except FileNotFoundError:
        return []


def _mounted_below(root: Path) -> frozenset[str]:
    """What is mounted below ``root``, by path in it."""
    real = Path(os.path.realpath(root))
    return frozenset(str(one.relative_to(real)) for one in mount_table.points() if real in one.parents)


def compare(before: State, after: State, lower: Path | None = None) -> Difference:
    """What was done between two states. ``lower``: they are of an upper directory above this one."""
    difference = Difference()
    if before == after:
        return difference
    anew: set[str] = set()  # directories whose earlier content is gone, whatever they hold now
    alone: set[str] = set()  # directories of an upper directory that have none below them
    for path in sorted(after):
        now = after[path]
        fresh = bool(path) and parent(path) in anew
        below = None if lower is None or parent(path) in alone else lower
        if now.is_directory and (now.opaque or below is not lower):
            alone.add(path)
        was = None if fresh else before.get(path)
        if now == was:
            continue
        if lower is not None and now.is_whiteout:
            if was is None or not was.is_whiteout:  # all of an overlay are one file, which changes with each name
                difference.removed.append(path)
        elif now.is_directory:
            replaces = _replaces(path, was, now, below)
            if replaces:
                difference.removed.append(path)
            origin = was if was is not None and not replaces else _origin(path, now, below)
            if origin is None:
                anew.add(path)
                difference.present.append(path)
            elif not now.has_same_attributes(origin):
                difference.present.append(path)
            elif now.mtime_ns != origin.mtime_ns:
                difference.touched[path] = now.mtime_ns
        else:
            if was is not None and was.is_directory:
                difference.removed.append(path)
            difference.present.append(path)
    difference.removed += [path for path, was in before.items() if path not in after and not was.is_whiteout]
    difference.removed = _topmost(difference.removed)
    return difference


def parent(path: str) -> str:
    return path.rpartition("/")[0]


def _replaces(path: str, was: Node | None, now: Node, lower: Path | None) -> bool:
    """Whether a directory stands where something else was."""
    if was is not None:
        return not was.is_directory or (now.opaque and not was.opaque)
    return now.opaque and lower is not None and os.path.lexists(lower / path)


def _origin(path: str, now: Node, lower: Path | None) -> Node | None:
    """The directory of which one in an upper directory is a copy, made when something in it changed."""
    if lower is None or now.opaque:
        return None
    try:
        found = look(lower / path)
    except OSError:
        return None
    return found if found.is_directory else None


def _topmost(paths: list[str]) -> list[str]:
    """Paths without those that lie in another one."""
    kept: list[str] = []
    for path in sorted(paths, key=lambda one: one.split("/")):
        if not kept or not f"{path}/".startswith(f"{kept[-1]}/"):
            kept.append(path)
    return kept
