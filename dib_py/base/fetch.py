"""A remote file as a verified local one: asks whether it has changed, downloads it if so, believes no content."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from dib_py.base.cache import Entry, image_cache, locked
from dib_py.base.checksum import Checksum, file_name
from dib_py.base.download import Download, Partial, Patience
from dib_py.base.transport import Request, TransientError, Version, authorities, shown
from dib_py.digest import Memory
from dib_py.errors import BaseError
from dib_py.events import Events
from dib_py.settings import Settings

Check = Callable[[Path], None]


@dataclass(frozen=True)
class Fetched:
    path: Path
    sha256: str


class Fetcher:
    """Fetches with the cache, the network habits and the events of one build."""

    def __init__(self, settings: Settings, events: Events, patience: Patience) -> None:
        self._cache = image_cache(settings)
        self._offline = settings.offline
        self._authorities = authorities(settings.environ, settings.ca_bundle)
        self._events = events
        self._patience = patience
        self._memory = Memory(self._cache / "base" / "digests")

    def fetch(self, url: str, checksum: Checksum | None = None, check: Check = lambda _path: None) -> Fetched:
        """The file at ``url``, from the cache where that is current.

        ``check`` raises BaseError for a content that is not to be kept. BaseError for anything that went wrong; what
        did not match its checksum is gone then.
        """
        with locked(self._cache, url, file_name(url) or "download", self._events) as entry:
            return self._fetch(entry, url, checksum, check)

    def forget(self, url: str) -> None:
        """What came from ``url`` turned out to be no good: it is to be downloaded again."""
        with locked(self._cache, url, file_name(url), self._events) as entry:
            entry.discard()

    def digest(self, path: Path, algorithm: str, called: str = "") -> str:
        """The digest of a file, remembered while the file is the same; ``called`` is the name that it will have."""
        return self._digests(path, algorithm, called=called or path.name)[algorithm]

    def _fetch(self, entry: Entry, url: str, checksum: Checksum | None, check: Check) -> Fetched:
        had = self._had(entry)
        if had and checksum and self.digest(had[0].path, checksum.algorithm) == checksum.digest:
            return had[0]  # whatever the server has now, this is what was asked for
        if self._offline:
            return self._from_cache(had, checksum, url, "build once without --offline")
        partial = Partial(entry.partial)
        template = Request(url, authorities=self._authorities)
        download = Download(template, partial, self._patience, self._events, unframed=checksum is not None)
        try:
            version = download.run(had[1] if had and not checksum else None)
        except TransientError as error:
            self._events.warning(f"{shown(url)}: {error}; looking into the cache")
            part = partial.path.exists() and partial.path.stat().st_size
            hint = "the next build goes on where this one stopped" if part else ""
            return self._from_cache(had, checksum, url, hint, f" ({error})")
        if version is None and had:
            return had[0]
        try:
            digest = self._accept(partial.path, checksum, url, check)
        except BaseError:
            partial.discard()
            if not download.resumed:
                raise
            self._events.warning(f"{shown(url)}: the pieces do not make the right whole; downloading it in one")
            return self._fetch(entry, url, checksum, check)
        return Fetched(entry.commit(partial, version or Version(), digest), digest)

    def _accept(self, path: Path, checksum: Checksum | None, url: str, check: Check) -> str:
        """The sha256 of what came, if it is what was asked for."""
        kinds = ("sha256", checksum.algorithm if checksum else "sha256")
        found = self._digests(path, *kinds, called=file_name(url) or "download")
        if checksum and found[checksum.algorithm] != checksum.digest:
            raise _mismatch(url, checksum)
        check(path)
        return found["sha256"]

    def _had(self, entry: Entry) -> tuple[Fetched, Version] | None:
        """What the cache has, if it still is what was put there."""
        current = entry.current()
        if current is None:
            return None
        file, version, digest = current
        if self.digest(file, "sha256") == digest:
            return Fetched(file, digest), version
        self._events.warning(f"{file} was damaged in the cache")
        entry.discard()
        return None

    def _from_cache(
        self, had: tuple[Fetched, Version] | None, checksum: Checksum | None, url: str, hint: str, why: str = ""
    ) -> Fetched:
        if had is None:
            raise BaseError(f"{shown(url)} can't be had{why}, and is not in the cache", hint=hint)
        if checksum:
            raise _mismatch(url, checksum)  # a match was returned before the network was asked
        return had[0]

    def _digests(self, path: Path, *algorithms: str, called: str) -> dict[str, str]:
        return self._memory.digests(path, sorted(set(algorithms)), f"digest {called}", self._events)


def _mismatch(url: str, checksum: Checksum) -> BaseError:
    return BaseError(
        f"{shown(url)} does not have the checksum {checksum}", hint="it is damaged, forged, or newer than its list"
    )
