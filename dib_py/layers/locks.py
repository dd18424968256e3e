"""Locks of the store: flock, so that a process that dies lets go, and nothing is guessed from numbers in files."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def held(path: Path) -> Iterator[None]:
    """Keep everybody else, other threads too, from holding ``path`` meanwhile; waits for its turn."""
    lock = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        fcntl.flock(lock, fcntl.LOCK_UN)  # closing it would not do where a child was forked meanwhile
        os.close(lock)


class Flight:
    """The right to make the layer of one key, until the last process that inherited it through fork has let go."""

    def __init__(self, lock: int) -> None:
        self._lock = lock

    def __enter__(self) -> Flight:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def release(self) -> None:
        """Let go for every process that has inherited it."""
        if self._lock >= 0:
            fcntl.flock(self._lock, fcntl.LOCK_UN)
        self.close()

    def close(self) -> None:
        """Let go, as far as this process is concerned."""
        if self._lock >= 0:
            os.close(self._lock)  # and no LOCK_UN, which would take it from the others as well
            self._lock = -1


def take_flight(path: Path, waiting: Callable[[], None]) -> Flight:
    """Lock ``path``; calls ``waiting`` once if somebody else has it."""
    told = False
    while True:
        lock = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            if not try_lock(lock):
                if not told:
                    waiting()
                told = True
                fcntl.flock(lock, fcntl.LOCK_EX)
            if is_at(lock, path):
                return Flight(lock)
        except BaseException:
            os.close(lock)
            raise
        os.close(lock)


def try_flight(path: Path) -> Flight | None:
    """Lock ``path``, unless somebody else has it."""
    lock = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    if try_lock(lock) and is_at(lock, path):
        return Flight(lock)
    os.close(lock)
    return None


def try_lock(lock: int) -> bool:
    """Whether nobody else has a lock on this open file, which is locked from now on."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def is_at(lock: int, path: Path) -> bool:
    """Whether an open file is still the one at ``path``: whoever swept may have removed it before it was locked."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return False
    mine = os.fstat(lock)
    return (mine.st_dev, mine.st_ino) == (found.st_dev, found.st_ino)
