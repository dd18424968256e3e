"""The watcher, with a filesystem that is only numbers."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from dib_py.disk.growth import Growth
from dib_py.disk.size import Usage
from dib_py.errors import DiskError

MIB = 1024**2
GIB = 1024**3


class Filesystem:
    """Disk and target in one: ``used`` of ``size`` bytes, on a disk that has 2 MiB more."""

    def __init__(self, size: int = GIB, *, looks_slowly: float = 0, grows_slowly: float = 0) -> None:
        self.fs_size = size
        self.size = size + 2 * MIB
        self.used = 100 * MIB
        self.looks: list[float] = []
        self.resizes: list[int] = []
        self.error: Exception | None = None
        self.stubborn = False
        self._looks_slowly = looks_slowly
        self._grows_slowly = grows_slowly

    def usage(self) -> Usage:
        if self.error is not None:
            raise self.error
        self.looks.append(time.monotonic())
        time.sleep(self._looks_slowly)
        free = max(self.fs_size - self.used, 0)
        return Usage(self.fs_size, free, free)

    def resize(self, size: int) -> None:
        self.resizes.append(size)
        self.size = size

    def grow(self) -> None:
        time.sleep(self._grows_slowly)
        if not self.stubborn:
            self.fs_size = self.size - 2 * MIB


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_room_is_there_before_anything_runs() -> None:
    fs = Filesystem()
    fs.used = GIB - 10 * MIB
    with Growth(fs, fs, interval=60):
        assert fs.fs_size - fs.used >= max(512 * MIB, 0.4 * fs.fs_size)


def test_it_grows_while_the_step_writes() -> None:
    fs = Filesystem()
    with Growth(fs, fs, interval=0.02) as growth:
        for _ in range(10):
            fs.used += 400 * MIB
            until(lambda: fs.fs_size - fs.used >= max(512 * MIB, 0.4 * fs.fs_size))
        assert not growth.full
    assert fs.resizes == sorted(fs.resizes)
    assert fs.used / 0.6 <= fs.fs_size <= fs.used / 0.6 + 300 * MIB


def test_growing_slowly_is_no_reason_to_look_rarely() -> None:
    fs = Filesystem(grows_slowly=0.1)
    with Growth(fs, fs, interval=0.01) as growth:
        started = time.monotonic()
        while (elapsed := time.monotonic() - started) < 1.5:
            fs.used = 100 * MIB + int(elapsed * GIB)
            assert fs.used < fs.fs_size
            time.sleep(0.005)
        assert not growth.full


def test_nothing_happens_while_there_is_room() -> None:
    fs = Filesystem()
    with Growth(fs, fs, interval=0.005):
        until(lambda: len(fs.looks) > 5)
    assert fs.resizes == []


def test_a_given_size_is_only_watched() -> None:
    fs = Filesystem()
    with Growth(fs, fs, interval=0.005, grows=False) as growth:
        assert not growth.full
        fs.used = fs.fs_size
        until(lambda: growth.full)
        fs.used = 0
        until(lambda: len(fs.looks) > 10)
        assert growth.full  # it was
    assert fs.resizes == []


def test_what_went_wrong_comes_at_the_exit() -> None:
    fs = Filesystem()
    growth = Growth(fs, fs, interval=0.005)
    with pytest.raises(DiskError, match="it broke"), growth:
        fs.error = DiskError("it broke")
        until(lambda: growth.error is not None)


def test_a_bug_in_the_watcher_does_not_vanish() -> None:
    fs = Filesystem()
    growth = Growth(fs, fs, interval=0.005)
    with pytest.raises(DiskError, match=r"could not be watched: division"), growth:
        fs.error = ZeroDivisionError("division")
        until(lambda: growth.error is not None)


def test_the_step_s_own_error_is_worth_more() -> None:
    fs = Filesystem()
    growth = Growth(fs, fs, interval=0.005)
    with pytest.raises(KeyError), growth:
        fs.error = DiskError("it broke")
        until(lambda: growth.error is not None)
        raise KeyError


def test_a_filesystem_that_does_not_grow_is_not_tried_for_ever() -> None:
    fs = Filesystem()
    growth = Growth(fs, fs, interval=0.005)
    with pytest.raises(DiskError, match="the root filesystem did not"), growth:
        fs.stubborn = True
        fs.used = fs.fs_size
        until(lambda: growth.error is not None)
        time.sleep(0.05)
        assert len(fs.resizes) == 1


def test_slow_looks_are_rare() -> None:
    fs = Filesystem(looks_slowly=0.02)
    with Growth(fs, fs, interval=0.001):
        until(lambda: len(fs.looks) > 4)
    gaps = [after - before for before, after in zip(fs.looks[1:], fs.looks[2:], strict=False)]
    assert min(gaps) > 0.15


def test_no_thread_stays() -> None:
    fs = Filesystem()
    with Growth(fs, fs, interval=60):
        assert any(thread.name == "growth" for thread in threading.enumerate())
    assert not any(thread.name == "growth" for thread in threading.enumerate())
