"""A running build, as the store sees it: where its overlays are until they are committed, and what must stay for it."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dib_py import keys
from dib_py.errors import DiskError
from dib_py.layers import eviction, locks
from dib_py.layers.commit import Committer, Files
from dib_py.layers.eviction import allocated
from dib_py.layers.integrity import digest_of
from dib_py.layers.locks import Flight
from dib_py.layers.places import write_file
from dib_py.layers.record import Record
from dib_py.layers.running import Running

if TYPE_CHECKING:
    from dib_py.layers.store import Store

KEPT_FAILURES = 3


class Session:
    """What one build does in the store; a context manager. Methods may be called from any thread.

    In a store that can't be written, nothing is committed or kept, and the overlays are in a directory of their own.
    DiskError is raised for a filesystem that is full or fails.
    """

    def __init__(self, store: Store, scratch: Path | None = None) -> None:
        self._store = store
        self._process = os.getpid()
        self._contents: dict[str, str] = {}  # what this build's run of each step left in the disk
        self._lost: set[str] = set()  # steps whose runs others committed first, or that lie on such a run
        self._one_at_a_time = threading.Lock()
        self._running: Running | None = None
        with self._told():
            if store.writable:
                self._running = Running(store.places.builds)
                self.directory = self._running.directory
            else:
                self.directory = Path(tempfile.mkdtemp(prefix="layers.", dir=scratch))
        self._committer = Committer(store, self.directory, self._keep_off)

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *exc: object) -> None:
        if os.getpid() != self._process:
            if self._running is not None:
                self._running.leave()
        elif self._running is None:
            shutil.rmtree(self.directory, ignore_errors=True)
        else:
            self._running.end()
            with suppress(OSError):
                self._store.evict()

    def overlay(self) -> Path:
        """A fresh path for the next overlay."""
        return self._committer.fresh("qcow2")

    def layer_name(self, key: str) -> str:
        """What a header calls the layer of a key."""
        return self._store.places.layer(key).name

    def use(self, keys: Iterable[str]) -> None:
        """Keep others from removing or merging these layers and those below them, and mark them as just used.

        What is not there is left out. Call it before :meth:`Store.chain`, whose answer holds from then on.
        """
        if self._running is None:
            return
        with self._told(), locks.held(self._store.places.lock):
            found: list[str] = []
            for key in keys:
                while key not in self._contents and (record := self._store.record(key)):
                    self._contents[key] = record.content
                    found.append(key)
                    key = record.parent if record.parent_content else ""
            self._keep_off(found)
            for key in reversed(found):
                stamp = self._store.stamp()
                with suppress(FileNotFoundError):
                    os.utime(self._store.places.record(key), ns=(stamp, stamp))

    def commit(self, record: Record, layer: Path, *, log: Path | None = None, artefacts: Path | None = None) -> bool:
        """Put the layer of a step that succeeded into the store; ``layer`` is moved there, the other files stay.

        Steps are committed in their order, and nothing is changed in the files after that. False if somebody else's
        run of this step, or of one before it, was there first: then the layer stays where it is, to be gone on with,
        but nothing that lies on it can be committed.
        """
        if self._running is None:
            return False
        with self._one_at_a_time, self._told():
            complete = self._completed(record, layer, artefacts)
            if complete is not None and self._committer.put(complete, Files(layer, log, artefacts)):
                self._contents[record.key] = complete.content
                self._store.make_room(complete.allocated)
                return True
            self._lost.add(record.key)
            self._contents.pop(record.key, None)
            return False

    def commit_part(self, record: Record, *, log: Path | None = None) -> bool:
        """Put the record of a step into the store whose work is in the layer of one that follows; as :meth:`commit`.

        It leaves nothing in the disk by itself, so each run of it after the same run of the step before is the same.
        """
        if self._running is None:
            return False
        with self._one_at_a_time, self._told():
            parent_content = self._contents.get(record.parent, "")
            if not parent_content and not self._is_first(record):
                self._lost.add(record.key)
                return False
            content = keys.digest([parent_content.encode(), record.key.encode()])
            complete = dataclasses.replace(record, content=content, parent_content=parent_content)
            known = self._store.record(record.key)
            if known is not None and (known.content, known.backing) == (content, record.backing):
                self._keep_off([record.key])
            elif not self._committer.put(complete, Files(None, log)):
                self._lost.add(record.key)
                return False
            self._contents[record.key] = content
            return True

    def install(self, record: Record, files: Files) -> bool:
        """The same for a complete record from another store, whose files are known to be what it says.

        False if there is one already, or the step before it is missing or another run's.
        """
        if self._running is None:
            return False
        with self._one_at_a_time, self._told():
            return self._committer.put(record, files)

    def merge(self, key: str, layer: Path, merged: Sequence[str]) -> bool:
        """Put ``layer``, which holds all of them, in the place of a key's and those ``merged``, the next below first.

        False, and nothing is done, where they are not so any more, or somebody else uses one or has one lying on it.
        """
        if self._running is None:
            return False
        with self._one_at_a_time, self._told():
            return self._committer.merge(key, layer, merged)

    def flight(self, key: str, *, waiting: Callable[[], None]) -> Flight | None:
        """The right to make the layer of a key; calls ``waiting`` once if somebody else has it, and waits.

        The layer may be there when this returns. None in a store that can't be written.
        """
        if self._running is None:
            return None
        with self._told():
            return locks.take_flight(self._store.places.flight(key), waiting)

    def try_flight(self, key: str) -> Flight | None:
        """The same without waiting: None if somebody else has it."""
        if self._running is None:
            return None
        with self._told():
            return locks.try_flight(self._store.places.flight(key))

    def keep_failed(self, overlay: Path, failure: Mapping[str, Any]) -> str:
        """Keep the overlay of a step that failed, with what is known of it; returns its id, "" if it can't be kept."""
        if self._running is None:
            return ""
        directory = self._committer.fresh("failed")
        with self._told():
            directory.mkdir(mode=0o700)
            write_file(directory / "failure.json", json.dumps(failure).encode())
            overlay.chmod(0o600)
            overlay.rename(directory / "overlay.qcow2")
            with locks.held(self._store.places.lock):
                kept = eviction.failures(self._store.places)
                for old in kept[: max(0, len(kept) + 1 - KEPT_FAILURES)]:
                    shutil.rmtree(old, ignore_errors=True)
                final = self._store.places.failed / str(int(kept[-1].name) + 1 if kept else 1)
                directory.rename(final)
        return final.name

    # -- how
    def _keep_off(self, keys: Iterable[str]) -> None:
        assert self._running is not None
        self._running.use(keys)

    def _is_first(self, record: Record) -> bool:
        """Whether a step that goes on from nothing of this build's goes on from the base."""
        is_lost = record.backing or record.parent in self._lost
        return not is_lost and self._store.record(record.parent) is None

    def _completed(self, record: Record, layer: Path, artefacts: Path | None) -> Record | None:
        """The record with what only the store knows; None for a step that can't be committed any more."""
        if record.ingredients.key != record.key:
            raise ValueError(f"{record.key} is not the key of the record's ingredients")
        parent_content = self._contents.get(record.parent, "")
        if not parent_content and not self._is_first(record):
            return None
        before = layer.stat()
        digest = digest_of(layer)
        after = layer.stat()
        if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
            raise DiskError(f"the layer of {record.title} was written to after its step", where=str(layer))
        return dataclasses.replace(
            record,
            digest=digest,
            content=digest,
            parent_content=parent_content,
            archive=digest_of(artefacts) if artefacts is not None else "",
            allocated=allocated(layer),
            pending="",
        )

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Errors of the filesystem, as a user can understand them."""
        try:
            yield
        except OSError as error:
            full = error.errno in (errno.ENOSPC, errno.EDQUOT)
            raise DiskError(
                f"the layer store can't be written: {error.strerror or error}",
                hint="make room there (dib-py layers gc), or name a roomier directory with --cache-dir" if full else "",
                where=str(self._store.directory),
            ) from error
