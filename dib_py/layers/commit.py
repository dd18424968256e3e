"""How layers get into the store, and how one takes the place of several.

Everything is staged on the store's filesystem first; what is left to do under the store's lock is renaming, the record
last. So a kill or a full disk, whenever it comes, costs what was not committed yet and nothing else.
"""

from __future__ import annotations

import dataclasses
import itertools
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dib_py.layers import eviction, locks, running
from dib_py.layers.eviction import allocated
from dib_py.layers.integrity import digest_of
from dib_py.layers.places import write_file
from dib_py.layers.record import Record

if TYPE_CHECKING:
    from dib_py.layers.store import Store


@dataclass(frozen=True)
class Files:
    """What there is of a step beside its record; no layer for one that was merged into a later one."""

    layer: Path | None
    log: Path | None = None
    artefacts: Path | None = None


class Committer:
    """Commits for one session, whose ``directory`` is on the store's filesystem. Methods raise OSError."""

    def __init__(self, store: Store, directory: Path, use: Callable[[Sequence[str]], None]) -> None:
        self._store = store
        self._directory = directory
        self._use = use
        self._numbers = itertools.count()

    def put(self, record: Record, files: Files) -> bool:
        """Add a complete record and its files; False if there is a good one, or it does not lie on what is there."""
        places, key = self._store.places, record.key
        seen = self._store.record(key)
        if seen is not None and self._store.chain(key) is not None:
            return False
        moves = self._stage(record, files)
        try:
            with locks.held(places.lock):
                if not self._fits(record, seen):
                    return False
                self._use([key])
                eviction.remove_files(places, key, self._store.verifier.forget)  # what is there is no good
                _move_all(moves)
            if record.digest:
                self._store.verifier.remember(places.layer(key), record.digest)
            if record.archive:
                self._store.verifier.remember(places.artefacts(key), record.archive)
            return True
        finally:
            for source, _ in moves:
                if source != files.layer:
                    source.unlink(missing_ok=True)

    def merge(self, key: str, layer: Path, merged: Sequence[str]) -> bool:
        """As Session.merge. At every moment the record names a digest that the file at the layer's place has."""
        places = self._store.places
        digest = digest_of(layer)
        layer.chmod(0o600)
        with locks.held(places.lock):
            top = self._store.record(key)
            below = [record for one in merged if (record := self._store.record(one)) is not None]
            if top is None or not top.digest or not self._only_below(top, merged):
                return False
            backing = below[-1].backing
            if top.pending:  # a merge was killed
                top = dataclasses.replace(top, digest=digest_of(places.layer(key)))
            self._replace(dataclasses.replace(top, pending=digest))
            layer.rename(places.layer(key))
            self._store.verifier.remember(places.layer(key), digest)
            size = allocated(places.layer(key))
            self._replace(dataclasses.replace(top, digest=digest, pending="", backing=backing, allocated=size))
            for record in below:
                self._replace(dataclasses.replace(record, digest="", backing=backing, allocated=0))
                places.layer(record.key).unlink(missing_ok=True)
                self._store.verifier.forget(places.layer(record.key))
        return True

    def fresh(self, suffix: str) -> Path:
        """A path in the session's directory that nothing has."""
        return self._directory / f"{next(self._numbers)}.{suffix}"

    def _fits(self, record: Record, seen: Record | None) -> bool:
        """Whether nothing good is there, and the step before is the very run that this one was made on."""
        there = self._store.record(record.key)
        if there is not None and (seen is None or there.content != seen.content):
            return False  # committed a moment ago
        if record.key in running.used(self._store.places.builds, but=self._directory):
            return False  # damaged, but somebody has it open
        if not record.parent_content:
            return not record.backing
        parent = self._store.record(record.parent)
        if parent is None or parent.content != record.parent_content:
            return False
        return record.backing == (parent.key if parent.digest else parent.backing)

    def _stage(self, record: Record, files: Files) -> list[tuple[Path, Path]]:
        """Get everything ready; returns what is to be renamed to what, the record last."""
        places = self._store.places
        moves = []
        if files.layer is not None:
            files.layer.chmod(0o600)
            moves.append((files.layer, places.layer(record.key)))
        try:
            for source, target in (
                (files.artefacts, places.artefacts(record.key)),
                (files.log, places.log(record.key)),
            ):
                if source is not None:
                    moves.append((self.fresh("copy"), target))
                    shutil.copyfile(source, moves[-1][0])
                    moves[-1][0].chmod(0o600)
            moves.append((self.fresh("json"), places.record(record.key)))
            _write_record(record, moves[-1][0], self._store.stamp())
        except OSError:
            for source, _ in moves:
                if source != files.layer:
                    source.unlink(missing_ok=True)
            raise
        return moves

    def _only_below(self, top: Record, merged: Sequence[str]) -> bool:
        """Whether ``merged`` are the next layers below, nobody else uses them, and nothing else lies on them."""
        below = top.backing
        for key in merged:
            record = self._store.record(key)
            if key != below or record is None or not record.digest:
                return False
            below = record.backing
        if not merged or running.used(self._store.places.builds, but=self._directory) & {top.key, *merged}:
            return False
        lying_on = {record.key for record in self._store.records() if record.digest and record.backing in merged}
        return lying_on == {top.key, *merged[:-1]}

    def _replace(self, record: Record) -> None:
        """Write a record anew; its place in the order of use stays."""
        path = self._store.places.record(record.key)
        fresh = self.fresh("json")
        _write_record(record, fresh, path.stat().st_mtime_ns)
        fresh.rename(path)


def _write_record(record: Record, path: Path, stamp: int) -> None:
    write_file(path, record.to_json().encode())
    os.utime(path, ns=(stamp, stamp))


def _move_all(moves: Sequence[tuple[Path, Path]]) -> None:
    """Rename all or, where that fails, none."""
    done: list[tuple[Path, Path]] = []
    try:
        for source, target in moves:
            source.rename(target)
            done.append((source, target))
    except OSError:
        for source, target in reversed(done):
            target.rename(source)
        raise
