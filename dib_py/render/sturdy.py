"""A renderer whose stream goes away must not take the build with it."""

from __future__ import annotations

import os
import sys
from typing import TextIO

from dib_py.events import Event, Subscriber


class Sturdy:
    """Hands events on until writing fails: quietly for a reader that has gone, else with one warning."""

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
            self._give_up()
        except OSError as error:
            self._give_up()
            print(f"dib-py: warning: {self._name} can't be written any more: {error.strerror}", file=sys.stderr)

    def _give_up(self) -> None:
        """What is still buffered would fail again when the interpreter flushes at its end, so it goes nowhere."""
        self._subscriber = None
        sink = os.open(os.devnull, os.O_WRONLY)
        os.dup2(sink, self._stream.fileno())
        os.close(sink)
