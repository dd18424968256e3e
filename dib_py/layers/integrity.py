"""Whether a layer is what was committed, down to the base: the records link up and every file has its digest.

A layer is used only on the very run that it was made on. Digests are remembered while a file is the same, so that only
the first look at a layer reads it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from dib_py.digest import Memory, digests
from dib_py.events import Events
from dib_py.layers.places import Places
from dib_py.layers.record import Record

KIND = "blake2b"
_THREADS = min(8, os.cpu_count() or 1)


class Broken(Exception):
    """A layer can't be used; the message says why."""


@dataclass(frozen=True)
class Links:
    """The steps that lead to a layer, and those of them whose layers are in files; both from the base up."""

    steps: tuple[Record, ...]
    layers: tuple[Record, ...]


def links(key: str, record_of: Callable[[str], Record | None]) -> Links:
    """What lies below a layer, by the records alone; raises Broken where they don't fit together."""
    steps: list[Record] = []
    layers: list[Record] = []
    due, wanted, content = key, key, ""
    while True:
        record = record_of(wanted)
        if record is None:
            raise Broken(f"{wanted}: there is no good record")
        if steps and record.content != content:
            raise Broken(f"{steps[-1].key} was made on another run of {wanted}")
        steps.append(record)
        if record.key == due:
            if not record.digest:
                raise Broken(f"{due}: its layer was merged into a later one")
            layers.append(record)
            due = record.backing
        if not record.parent_content:
            break
        wanted, content = record.parent, record.parent_content
    if due:
        raise Broken(f"{due}: nothing leads to it")
    return Links(tuple(reversed(steps)), tuple(reversed(layers)))


class Verifier:
    """Compares files with their records, several at a time; safe to be used by several threads."""

    def __init__(self, places: Places, memory: Memory) -> None:
        self._places = places
        self._memory = memory

    def verify(self, found: Links) -> None:
        """Raise Broken unless every layer and every archive of artefacts has its digest."""
        wanted = [(self._places.layer(one.key), {one.digest, one.pending}) for one in found.layers]
        wanted += [
            (self._places.artefacts(one.key), {one.archive}) for one in found.steps if one.artefacts or one.archive
        ]
        with ThreadPoolExecutor(_THREADS) as pool:
            for (path, _), good in zip(wanted, pool.map(lambda one: self._has(*one), wanted), strict=True):
                if not good:
                    raise Broken(f"{path} is damaged or gone")

    def remember(self, path: Path, digest: str) -> None:
        """The file at ``path`` was just put there, and this is its digest."""
        self._memory.remember(path, {KIND: digest})

    def forget(self, path: Path) -> None:
        self._memory.forget(path)

    def notes(self, paths: Iterable[Path]) -> set[Path]:
        """Where the digests of these files are remembered."""
        return {self._memory.file(path) for path in paths}

    def _has(self, path: Path, wanted: set[str]) -> bool:
        try:
            return self._memory.digests(path, [KIND], "", Events())[KIND] in wanted
        except OSError:
            return False


def digest_of(path: Path) -> str:
    """The digest that records name files by; OSError."""
    return digests(path, [KIND], "", Events())[KIND]
