"""From what a step prints, in chunks of any size, to events: one for each line, secrets masked."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from dib_py.events import Events, StepOutput

LONGEST = 16 * 1024  # bytes; a longer line is cut into pieces, so that no hook can make us hold its whole output
TAIL = 20  # lines kept for the report of a failure


class StepLog:
    """A target's ``output`` callback: splits lines, masks them, emits them and remembers the last ones."""

    def __init__(self, events: Events, mask: Callable[[str], str], also: Callable[[str], None] | None = None) -> None:
        """``also`` is told each masked line too."""
        self._events = events
        self._mask = mask
        self._also = also
        self._partial = b""
        self.tail: deque[str] = deque(maxlen=TAIL)

    def __call__(self, chunk: bytes) -> None:
        *lines, self._partial = (self._partial + chunk).split(b"\n")
        for line in lines:
            self._line(line)
        while len(self._partial) > LONGEST:
            self._line(self._partial[:LONGEST])
            self._partial = self._partial[LONGEST:]

    def close(self) -> None:
        """The step has ended: a last line without a newline is a line too."""
        if self._partial:
            self._line(self._partial)
            self._partial = b""

    def _line(self, line: bytes) -> None:
        text = self._mask(line.rstrip(b"\r").decode(errors="replace"))
        self.tail.append(text)
        self._events.emit(StepOutput(text))
        if self._also is not None:
            self._also(text)
