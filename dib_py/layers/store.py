"""The store of layers, as who reads it sees it. Writing is done in a session (:mod:`dib_py.layers.session`).

Reading needs no lock: a record comes last and by rename, so whatever can be seen is whole, and what is not what was
committed is a miss, never an error.
"""

from __future__ import annotations

import json
import logging
import re
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import platformdirs

from dib_py.digest import Memory
from dib_py.layers import eviction, locks, places, running
from dib_py.layers.integrity import Broken, Links, Verifier, links
from dib_py.layers.places import Places
from dib_py.layers.record import Record
from dib_py.settings import Settings

if TYPE_CHECKING:
    from dib_py.layers.session import Session

KEY = re.compile(r"[0-9a-f]{40}")
_RECOUNT = 60.0  # seconds after which others may have written much

_log = logging.getLogger(__name__)


def store_directory(settings: Settings) -> Path:
    """Where the layers of these settings are kept."""
    return (settings.cache_dir or platformdirs.user_cache_path("dib-py")).absolute() / "layers"


@dataclass(frozen=True)
class Failure:
    """A step that failed: its overlay as the step left it, and what is known of it."""

    id: str
    overlay: Path
    about: dict[str, Any]


class Store:
    """The layers in one directory. Methods may be called from any thread; :meth:`open` is the way in."""

    def __init__(self, where: Places, *, cap: int | None, writable: bool, secret: bytes) -> None:
        self.places = where
        self.directory = where.top
        self.cap = cap
        self.writable = writable
        self.secret = secret
        self.verifier = Verifier(where, Memory(where.digests if writable else None))
        self._bytes = 0
        self._count_at = self._evict_at = 0.0  # on the monotonic clock
        self._newest: int | None = None

    @classmethod
    def open(cls, directory: Path, *, cap: int | None = None, read_only: bool = False) -> Store:
        """The store in ``directory``, made if it is missing; what dead builds left there goes.

        ``cap`` is how many bytes it may have. Where it can't be written (or is not to be: ``read_only``), it is good
        for hits. HostError if it can't be used at all.
        """
        where = Places(directory.absolute())
        writable = places.prepare(where, read_only=read_only)
        secret = places.read_secret(where, writable=writable)
        if writable:
            running.sweep(where.builds)
        return cls(where, cap=cap, writable=writable, secret=secret)

    def session(self, scratch: Path | None = None) -> Session:
        """A running build; a context manager. ``scratch`` is where its overlays go if the store can't be written."""
        from dib_py.layers.session import Session

        return Session(self, scratch)

    def record(self, key: str) -> Record | None:
        """The record of a key; None for one that is missing, damaged, of a future format or another key's."""
        if not KEY.fullmatch(key):
            return None
        try:
            record = Record.from_json(self.places.record(key).read_text())
        except (OSError, ValueError) as error:
            if not isinstance(error, FileNotFoundError):
                _log.debug("record %s is none: %s", key, error)
            return None
        return record if record.key == key == record.ingredients.key else None

    def records(self) -> Iterator[Record]:
        """All good records, in no order."""
        with suppress(FileNotFoundError):
            for path in self.places.records.iterdir():
                record = self.record(path.stem) if path.suffix == ".json" else None
                if record is not None:
                    yield record

    def chain(self, key: str) -> tuple[Path, ...] | None:
        """The layer files that lead to a key, the one on the base first; None if it is no hit.

        All that a hit needs was verified then: the layers, the records of all steps, their artefacts.
        """
        try:
            return tuple(self.places.layer(record.key) for record in self.verified(key).layers)
        except Broken as broken:
            _log.debug("no hit: %s", broken)
            return None

    def verified(self, key: str) -> Links:
        """What leads to a key, verified; raises integrity.Broken, which says why, for what is no hit."""
        found = links(key, self.record)
        self.verifier.verify(found)
        return found

    def log(self, key: str) -> Path | None:
        """What the step printed."""
        return _there(self.places.log(key))

    def artefacts(self, key: str) -> Path | None:
        """The archive of what the step left outside the image."""
        return _there(self.places.artefacts(key))

    def failures(self) -> list[Failure]:
        """The failed steps that were kept, the oldest first."""
        found = []
        for directory in eviction.failures(self.places):
            with suppress(OSError, ValueError):
                about = json.loads((directory / "failure.json").read_text())
                found.append(Failure(directory.name, directory / "overlay.qcow2", about))
        return found

    def contents(self) -> eviction.Contents:
        """Everything that is there, with its size and its place in the order of use."""
        return eviction.Contents(self.places, self.record)

    def stamp(self) -> int:
        """A time of use, as a file's mtime in nanoseconds: later than all before it, whatever the clock says."""
        if self._newest is None:
            self._newest = 0
            for path in self.places.records.glob("*.json"):
                with suppress(FileNotFoundError):  # others evict meanwhile
                    self._newest = max(self._newest, path.stat().st_mtime_ns)
        self._newest = max(time.time_ns(), self._newest + 1)
        return self._newest

    def make_room(self, added: int) -> None:
        """Evict if ``added`` bytes more are too many, as far as can be known without looking at all of it."""
        if self.cap is None:
            return
        now = time.monotonic()
        self._bytes += added
        if now > self._count_at:
            self._bytes, self._count_at = eviction.total(self.places), now + _RECOUNT
        if self._bytes > self.cap and now > self._evict_at:
            self.evict()
            # what runs may use all that there is: looking for what doesn't must not cost it much
            self._evict_at = now + 20 * (time.monotonic() - now)

    def evict(self) -> None:
        """Keep to the cap."""
        if self.cap is not None:
            with locks.held(self.places.lock):
                gone = eviction.evict(self.places, self.cap, self.record, self.verifier.forget)
            self._count_at = 0.0
            _log.debug("evicted %d layers", len(gone))


def open_store(settings: Settings) -> Store | None:
    """The store that a build with these settings uses; HostError if it can't be used, None if none is wanted."""
    return None if settings.no_cache else Store.open(store_directory(settings), cap=settings.layers_size)


def _there(path: Path) -> Path | None:
    return path if path.exists() else None
