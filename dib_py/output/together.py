"""Several images written at the same time: what one of them reads of the disk is in memory for the others."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait

from dib_py.events import Event, Events

Work = Callable[[Events], None]


class _Stopped(Exception):
    """Another one has failed, so this one need not go on."""


class _Stoppable(Events):
    """Ends whoever tells of progress, once :meth:`stop` was called; lets one at a time tell."""

    def __init__(self, events: Events) -> None:
        super().__init__(events.emit)
        self._lock = threading.Lock()
        self._stopped = False

    def stop(self) -> None:
        self._stopped = True

    def emit(self, event: Event) -> None:
        if self._stopped:
            raise _Stopped
        with self._lock:
            super().emit(event)


def together(works: Sequence[Work], events: Events) -> None:
    """Do all of ``works`` at once, the first in this thread; the first error that comes ends the others."""
    if len(works) < 2:
        for work in works:
            work(events)
        return
    shared = _Stoppable(events)
    errors: list[BaseException] = []

    def guarded(work: Work) -> None:
        try:
            work(shared)
        except _Stopped:
            pass
        except BaseException as error:
            errors.append(error)
            shared.stop()

    with ThreadPoolExecutor(len(works) - 1, "output") as pool:
        others = [pool.submit(guarded, work) for work in works[1:]]
        guarded(works[0])
        wait(others)
    if errors:
        raise errors[0]
