"""A log that can't be written any more must not take the build with it."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import TextIO

from dib_py.events import Event, Subscriber


class Sturdy:
    """Hands events on until writing fails, which is told once.

    A reader that has gone is not our business: BrokenPipeError ends a build like any program whose output is cut off.
    """

    def __init__(self, subscriber: Subscriber, stream: TextIO, name: str) -> None:
        self._subscriber: Subscriber | None = subscriber
        self._stream = stream
        self._name = name

    def __call__(self, event: Event) -> None:
        if self._subscriber is None:
            return
        try:
            self._subscriber(event)
        except BrokenPipeError:
            raise
        except OSError as error:
            self._give_up(error)

    def _give_up(self, error: OSError) -> None:
        """What is still buffered would fail again when the stream is closed, so it goes nowhere."""
        self._subscriber = None
        sink = os.open(os.devnull, os.O_WRONLY)
        os.dup2(sink, self._stream.fileno())
        os.close(sink)
        with contextlib.suppress(OSError):
            print(f"dib-py: warning: {self._name} can't be written any more: {error.strerror}", file=sys.stderr)
