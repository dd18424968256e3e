"""An asyncio event loop in a thread of its own: what synchronous code has its asynchronous clients run in."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

_END_WITHIN = 10.0  # seconds for the thread

T = TypeVar("T")


class LoopThread:
    """Runs until it is closed, or the process ends."""

    def __init__(self, name: str) -> None:
        """``name`` is the thread's."""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=name, daemon=True)
        self._thread.start()

    @property
    def closed(self) -> bool:
        return self._loop.is_closed()

    def call(self, work: Coroutine[Any, Any, T], timeout: float) -> T:
        """The value of ``work``, which is taken back after ``timeout`` seconds.

        asyncio.TimeoutError then, once that has come to its end; EOFError where the loop has been closed.
        """
        if self.closed:
            work.close()
            raise EOFError("the event loop is closed")
        return asyncio.run_coroutine_threadsafe(asyncio.wait_for(work, timeout), self._loop).result()

    def close(self) -> None:
        """Stop the thread. May be called again."""
        if self.closed:
            return
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_END_WITHIN)
        if not self._thread.is_alive():
            self._loop.close()
