"""The builds that are running: a directory each for what they have not committed yet, and the layers that they use.

``builds/NONCE.lock`` is locked by its build for its life; its lines are the keys of the layers that the build uses. It
is there before the directory ``builds/NONCE`` and goes after it.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from dib_py.layers.locks import is_at, try_lock

_SUFFIX = ".lock"
_KEY = re.compile(rb"[0-9a-f]{40}")


class Running:
    """One build, as long as some process has this open; OSError where the filesystem is full."""

    def __init__(self, builds: Path) -> None:
        self.directory, self._lock = _register(builds)

    def use(self, keys: Iterable[str]) -> None:
        """Nobody else touches these layers from now on. The store's lock is held by the caller."""
        data = b"".join(b"%s\n" % key.encode() for key in keys)
        while data:
            data = data[os.write(self._lock, data) :]

    def end(self) -> None:
        """Remove everything of the build."""
        shutil.rmtree(self.directory, ignore_errors=True)
        self.directory.with_suffix(_SUFFIX).unlink(missing_ok=True)
        self.leave()

    def leave(self) -> None:
        """Let go in this process; others that inherited the lock go on."""
        os.close(self._lock)


def used(builds: Path, *, but: Path | None = None) -> set[str]:
    """The layers that running builds use, leaving out the build whose directory is ``but``."""
    return {
        line.decode() for lock in _living(builds, but) for line in _content(lock).split(b"\n") if _KEY.fullmatch(line)
    }


def others(builds: Path, but: Path) -> bool:
    """Whether any build runs, beside the one whose directory is ``but``."""
    return any(True for _ in _living(builds, but))


def _living(builds: Path, but: Path | None) -> Iterator[int]:
    """The lock file of each, open: a build may end, and its file be gone, while it is looked at."""
    for path, lock in _locks(builds):
        if (but is None or path != but.with_suffix(_SUFFIX)) and not try_lock(lock):
            yield lock


def _content(file: int) -> bytes:
    return os.pread(file, os.fstat(file).st_size, 0)


def sweep(builds: Path) -> list[Path]:
    """Remove what dead builds left; returns their directories. Waits for nobody."""
    swept = []
    for path, lock in _locks(builds):
        if try_lock(lock):
            directory = path.with_suffix("")
            shutil.rmtree(directory, ignore_errors=True)
            path.unlink(missing_ok=True)
            swept.append(directory)
    return swept


def _register(builds: Path) -> tuple[Path, int]:
    while True:
        directory = builds / secrets.token_hex(8)
        path = directory.with_suffix(_SUFFIX)
        lock = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_APPEND | os.O_CLOEXEC, 0o600)
        if try_lock(lock) and is_at(lock, path):
            try:
                directory.mkdir(mode=0o700)
            except OSError:
                path.unlink()
                os.close(lock)
                raise
            return directory, lock
        os.close(lock)  # a sweep came between the two calls and took it for a dead build's


def _locks(builds: Path) -> Iterator[tuple[Path, int]]:
    """The lock file of each build, opened here and closed again."""
    for path in sorted(builds.glob(f"*{_SUFFIX}")):
        with suppress(FileNotFoundError):
            lock = os.open(path, os.O_RDWR | os.O_CLOEXEC)
            try:
                yield path, lock
            finally:
                os.close(lock)
