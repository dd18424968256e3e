"""Keeps the store under its cap: overlays of failed steps go first, then what nothing can use, then the least recently
used leaves. A leaf is a layer that none lies on; what a running build uses stays.

All of this is done under the store's lock. The record of a layer goes before its files, so whatever a kill leaves was
never used by anybody, and goes as a stray file the next time.
"""

from __future__ import annotations

import heapq
import os
import shutil
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from dib_py.layers import running
from dib_py.layers.places import Places
from dib_py.layers.record import Record, is_of_the_future

LOW_WATER = 0.95  # of the cap: evicting a little more now means to look less often
_KEPT_BY_KEY = ("layers", "logs", "artefacts", "outputs")

Forget = Callable[[Path], None]


@dataclass(frozen=True)
class Entry:
    """What the store has of one key: ``size`` in bytes of all its files, ``used`` its place in the order of use.

    ``record`` is None for one that can't be read, perhaps because it is for a newer dib-py (``future``).
    """

    key: str
    record: Record | None
    size: int
    used: int
    future: bool = False

    @property
    def parent(self) -> str:
        """The key of the step before, "" where there is none or it is not known."""
        return self.record.parent if self.record and self.record.parent_content else ""

    @property
    def merged(self) -> bool:
        """Its layer is part of a later one."""
        return self.record is not None and not self.record.digest


class Contents:
    """All that is in a store, as it is now."""

    def __init__(self, places: Places, record_of: Callable[[str], Record | None]) -> None:
        self.entries: dict[str, Entry] = {}
        self._after: dict[str, set[str]] = defaultdict(set)
        for path in places.records.glob("[!.]*.json"):
            with suppress(FileNotFoundError):
                entry = _entry(places, path, record_of(path.stem))
                self.entries[entry.key] = entry
                self._after[entry.parent].add(entry.key)

    def is_leaf(self, key: str) -> bool:
        return key in self.entries and not self._after.get(key)

    def above(self, key: str) -> list[str]:
        """The key and all that came after it, the last steps first."""
        found, todo = [], [key]
        while todo:
            found.append(todo.pop())
            todo += sorted(self._after.get(found[-1], ()))
        return [one for one in reversed(found) if one in self.entries]

    def below(self, key: str) -> list[str]:
        """The key and all that it came after, the first step last."""
        found = []
        while key in self.entries:
            found.append(key)
            key = self.entries[key].parent
        return found

    def usable(self, key: str) -> bool:
        """Whether a layer's records lead to the base."""
        record = self.entries[key].record
        if record is None:
            return self.entries[key].future
        if not record.digest:
            return False
        while record.parent_content:
            parent = self.entries.get(record.parent)
            if parent is None or parent.record is None or parent.record.content != record.parent_content:
                return False
            record = parent.record
        return True

    def drop(self, key: str) -> list[Entry]:
        """Leave out a leaf with the steps that were merged into it; returns them in the order to remove them."""
        dropped = [self._drop(key)]
        while (parent := self.entries.get(dropped[-1].parent)) and parent.merged and self.is_leaf(parent.key):
            dropped.append(self._drop(parent.key))
        return dropped

    def _drop(self, key: str) -> Entry:
        entry = self.entries.pop(key)
        self._after[entry.parent].discard(key)
        return entry


def _entry(places: Places, path: Path, record: Record | None) -> Entry:
    own = path.stat()
    size = own.st_blocks * 512 + sum(map(allocated, places.beside_record(path.stem)))
    future = record is None and is_of_the_future(path.read_text(errors="replace"))
    return Entry(path.stem, record, size, own.st_mtime_ns, future)


def allocated(path: Path) -> int:
    """Bytes that a file takes on its filesystem; 0 for none."""
    try:
        return path.stat().st_blocks * 512
    except FileNotFoundError:
        return 0


def total(places: Places) -> int:
    """Bytes of everything that counts: all but what running builds have not committed."""
    return sum(_allocated_below(places.top / name) for name in ("records", *_KEPT_BY_KEY, "failed"))


def _allocated_below(directory: Path) -> int:
    size = 0
    with suppress(FileNotFoundError), os.scandir(directory) as entries:
        for entry in entries:
            with suppress(FileNotFoundError):
                is_directory = entry.is_dir(follow_symlinks=False)
                size += _allocated_below(Path(entry)) if is_directory else entry.stat().st_blocks * 512
    return size


def failures(places: Places) -> list[Path]:
    """The directories of failed steps, the oldest first."""
    return sorted((path for path in places.failed.glob("[0-9]*") if path.name.isdigit()), key=lambda one: int(one.name))


def evict(places: Places, cap: int, record_of: Callable[[str], Record | None], forget: Forget) -> list[Entry]:
    """Remove what goes first until the store has at most ``cap`` bytes; returns the layers that went."""
    remove_strays(places)
    excess = total(places) - cap
    if excess <= 0:
        return []
    excess += cap - int(cap * LOW_WATER)
    for directory in failures(places):
        if excess > 0:
            excess -= _allocated_below(directory)
            shutil.rmtree(directory, ignore_errors=True)
    gone: list[Entry] = []
    for group in in_order(Contents(places, record_of), running.used(places.builds)):
        if excess <= 0:
            break
        for entry in group:
            excess -= entry.size
            gone.append(entry)
            remove_files(places, entry.key, forget)
    return gone


def in_order(contents: Contents, used: Collection[str]) -> Iterator[list[Entry]]:
    """What may go, in the order in which it goes, each dropped from ``contents``: a layer with what merged into it."""
    queue: list[tuple[bool, int, str]] = []

    def offer(key: str) -> None:
        if contents.is_leaf(key) and key not in used:
            heapq.heappush(queue, (contents.usable(key), contents.entries[key].used, key))

    for key in contents.entries:
        offer(key)
    while queue:
        dropped = contents.drop(heapq.heappop(queue)[-1])
        offer(dropped[-1].parent)
        yield dropped


def remove_files(places: Places, key: str, forget: Forget) -> None:
    """Remove everything of one key, the record first."""
    places.record(key).unlink(missing_ok=True)
    for path in places.beside_record(key):
        path.unlink(missing_ok=True)
    forget(places.layer(key))
    forget(places.artefacts(key))


def remove_strays(places: Places) -> list[Path]:
    """Remove what a kill left: files of keys without a record, and unfinished ones."""
    known = {path.stem for path in places.records.glob("*.json")}
    strays = [path for name in _KEPT_BY_KEY for path in (places.top / name).iterdir() if path.stem not in known]
    strays += places.top.glob(".*.new")
    for path in strays:
        path.unlink(missing_ok=True)
    return strays
