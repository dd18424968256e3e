"""Room on demand: a new disk starts small and grows while the build fills it."""

from __future__ import annotations

import threading
import time
from typing import Protocol

from dib_py.disk.size import Usage, shown
from dib_py.errors import DibError, DiskError
from dib_py.units import GIB, MIB

START_SIZE = GIB  # bytes of room for the root of a disk that grows
FLOOR = 512 * MIB
RATIO = 0.4
_KEPT_BACK = 16 * MIB  # what ext4 gives to nobody, or a fiftieth if that is less (its reserved clusters)

_STEP = 256 * MIB  # sizes are whole steps, so that a long write does not resize for every little bit
_SLOWNESS = 10  # a look that took t seconds is followed by t times this of rest


class Growing(Protocol):
    """What is asked of the target (:class:`dib_py.target.Target` has both)."""

    def usage(self) -> Usage: ...
    def grow(self) -> None: ...


class Resizable(Protocol):
    """What is asked of the disk."""

    @property
    def size(self) -> int: ...
    def resize(self, size: int) -> None: ...


class Growth:
    """A watcher that keeps the root filesystem from running full, from ``__enter__`` to ``__exit__``.

    Whenever less than ``FLOOR`` bytes or less than ``RATIO`` of the filesystem are free, the disk and what is on it
    grow. What went wrong meanwhile is raised at the exit, unless another error is on its way. A disk of a given size is
    only watched: with ``grows=False``. To foresee from the rate of writing was tried: bursts made disks of 60 GiB.
    """

    def __init__(
        self,
        disk: Resizable,
        target: Growing,
        *,
        interval: float = 0.1,
        grows: bool = True,
    ) -> None:
        self._disk = disk
        self._target = target
        self._interval = interval
        self._grows = grows
        self._error: DibError | None = None
        self._full = False
        self._look = 0.0  # seconds that the last look at the filesystem took
        self._busy = threading.Lock()  # held while the target is asked
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="growth", daemon=True)

    def __enter__(self) -> Growth:
        self.check()
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._ending.set()
        self._thread.join()
        if exc[0] is None and self._error is not None:
            raise self._error

    @property
    def full(self) -> bool:
        """Whether the filesystem is, or was at any look so far, full."""
        return self._full

    @property
    def error(self) -> DibError | None:
        """Why the disk stopped growing, if it did; a step that fails afterwards most likely failed because of it."""
        return self._error

    def check(self) -> None:
        """Look once, and grow where there is need; raises what :meth:`Target.grow` does."""
        with self._busy:
            started = time.monotonic()
            usage = self._target.usage()
            self._look = time.monotonic() - started
            wanted = self._wanted(usage.size, usage.free) if self._grows else usage.size
            if wanted > usage.size:
                usage = self._grow(usage.size, wanted)
            self._full = self._full or is_full(usage)

    def _grow(self, size: int, wanted: int) -> Usage:
        """Enlarge disk and filesystem, and return what :meth:`Target.usage` then says."""
        self._disk.resize(self._disk.size + wanted - size)
        self._target.grow()
        usage = self._target.usage()
        if usage.size <= size:  # it would be tried again and again
            raise DiskError(f"the disk grew to {shown(self._disk.size)}, but the root filesystem did not")
        return usage

    def _wanted(self, size: int, free: int) -> int:
        """How large the filesystem should be."""
        used = size - free
        if free >= max(FLOOR, RATIO * size):
            return size
        needed = max(used + FLOOR, int(used / (1 - RATIO)))
        return size + -(-(needed - size) // _STEP) * _STEP

    def _watch(self) -> None:
        while not self._ending.wait(max(self._interval, self._look * _SLOWNESS)):
            try:
                self.check()
            except DibError as error:
                self._error = error
                return
            except Exception as error:  # a thread's exception would vanish otherwise
                self._error = DiskError(f"the disk could not be watched: {error}")
                return


def is_full(usage: Usage) -> bool:
    """Whether a filesystem takes no more data; some kernels keep back from root, too, what is kept for it."""
    return usage.available <= min(usage.size // 50, _KEPT_BACK) + MIB


def explain_full(size: int) -> str:
    """What to say when a step filled a disk of ``size`` bytes."""
    return f"the image's disk of {shown(size)} is full: ask for a larger one with --image-size"
