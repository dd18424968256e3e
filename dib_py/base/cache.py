"""Where downloads and unpacked images are kept: one directory for each address, with one for each content in it.

``current.json`` names the content that the address had last. An older content stays for some days, as a build may be
about to open it. Whoever changes an entry holds its lock.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path

import platformdirs

from dib_py.base.download import Partial
from dib_py.base.transport import Version, shown
from dib_py.errors import BaseError
from dib_py.events import Events
from dib_py.settings import Settings

KEEP = 2 * 24 * 3600.0  # seconds for which an older content stays after its last use


def image_cache(settings: Settings) -> Path:
    """The directory of all caches, ``DIB_IMAGE_CACHE``; diskimage-builder uses the same."""
    return settings.cache_dir or platformdirs.user_cache_path("image-create")


class Entry:
    """The directory of one address. Use it only under :func:`locked`."""

    def __init__(self, directory: Path, url: str, name: str) -> None:
        self.directory = directory
        self.partial = directory / "partial"
        self._url = url
        self._name = name
        self._current = directory / "current.json"

    def current(self) -> tuple[Path, Version, str] | None:
        """File, version and sha256 of the content that is had; the file may have been damaged since."""
        with suppress(OSError, ValueError, KeyError, TypeError):
            kept = json.loads(self._current.read_text())
            file, digest = self.directory / kept["sha256"][:16] / self._name, str(kept["sha256"])
            if file.is_file():
                os.utime(file.parent)
                return file, Version(**kept["version"]), digest
        return None

    def commit(self, partial: Partial, version: Version, sha256: str) -> Path:
        """Make ``partial``, whole and found right, the current content; returns where it is from now on."""
        place = self.directory / sha256[:16]
        place.mkdir(exist_ok=True)
        final = place / self._name
        partial.path.replace(final)
        partial.discard()
        fresh = self._current.with_suffix(".new")
        fresh.write_text(json.dumps({"url": shown(self._url), "version": asdict(version), "sha256": sha256}))
        fresh.replace(self._current)
        self._forget_old(place)
        return final

    def discard(self) -> None:
        """What is had turned out wrong."""
        self._current.unlink(missing_ok=True)

    def _forget_old(self, keep: Path) -> None:
        for place in self.directory.iterdir():
            if place != keep and place.is_dir() and place.stat().st_mtime < time.time() - KEEP:
                shutil.rmtree(place, ignore_errors=True)


@contextmanager
def locked(cache: Path, url: str, name: str, events: Events) -> Iterator[Entry]:
    """The entry of an address, for this process alone; waits for another that has it."""
    directory = cache / "base" / hashlib.sha256(url.encode()).hexdigest()[:16]
    try:
        directory.mkdir(parents=True, exist_ok=True)
        lock = os.open(directory / "lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise BaseError(f"the cache can't be used: {error.strerror}", where=str(error.filename)) from error
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            events.info(f"another build is at {shown(url)}; waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield Entry(directory, url, name)
    finally:
        os.close(lock)
