"""Events as JSON, one object a line, for programs."""

from __future__ import annotations

from typing import TextIO

from dib_py.events import Event, to_json


class JsonLines:
    """Writes each event to a stream at once."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __call__(self, event: Event) -> None:
        self._stream.write(to_json(event) + "\n")
        self._stream.flush()
