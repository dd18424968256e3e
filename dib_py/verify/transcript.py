"""What a console said, kept for people: lines with their times, cleaned, and never more than a bound.

Nobody vouches for the guest at the other end: it may send escape sequences, no UTF-8, lines without an end, or a flood.
The first lines and the last ones tell most of a boot, so the middle is what goes.
"""

from __future__ import annotations

import re
from collections import deque
from itertools import chain, islice
from typing import NamedTuple

from dib_py.render.printable import printable
from dib_py.verify.result import Line

FIRST = 256 * 1024  # bytes kept of the console's beginning
LAST = 512 * 1024  # and of its end
OVERHEAD = 32  # bytes that a line counts on top of its own, as empty ones take room too
LONGEST = 2000  # characters of a line
_LONGEST_TEXT = 64 * 1024  # characters of what is shown beside the console
_BLANK = 256  # bytes of a line that are looked through for whether it says anything yet
_RAW = 16 * 1024  # bytes of a line that are kept; more of them are counted only

# Firmware and boot menus move the cursor instead of ending lines: going elsewhere, or to an empty screen, ends one.
_ELSEWHERE = re.compile(rb"\x1b\[[0-9;]{0,16}[Hf]|\x1b\[[0-3]?J|\x1bc|\n")
_SAYING = re.compile(r"\w")  # the frames of menus are drawn like that too, and say nothing in a list of lines
_ESCAPE_BEGUN = re.compile(rb"\x1b(?:\[[0-9;]{0,16})?\Z")  # the rest of it may be in the next bytes
# What changes the direction of text shows people another text than a program reads; others have no place in XML.
_DECEIVING = re.compile("[\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ufff9-\ufffb\ufffe\uffff\ud800-\udfff]")


class _Raw(NamedTuple):
    """A line as it came; most lines of a flood go again, so none is cleaned before somebody asks.

    A tuple, as it is made several times faster than a frozen dataclass.
    """

    number: int
    at: float
    data: bytes
    beyond: int  # bytes that were not kept

    @property
    def line(self) -> Line:
        text = cleaned(self.data.decode("utf-8", "replace"))
        if len(text) > LONGEST or self.beyond:
            text = f"{text[:LONGEST]}... (a line of {len(self.data) + self.beyond} bytes)"
        return Line(self.number, self.at, text)


class Transcript:
    """Takes the console's bytes as they come; memory and the work for each byte are bounded."""

    def __init__(self, first: int = FIRST, last: int = LAST) -> None:
        self._first_room, self._last_room = first, last
        self._first: list[_Raw] = []
        self._last: deque[_Raw] = deque()
        self._number = 0
        self._line = bytearray()  # what came of the line that has no end yet
        self._beyond = 0  # bytes of that line that are not kept
        self._line_at = 0.0
        self._pending = b""  # an escape sequence of which only the beginning came

    def feed(self, data: bytes, at: float) -> None:
        """Bytes that came at this moment, in seconds since the verification's start."""
        data = self._pending + data
        begun = _ESCAPE_BEGUN.search(data, max(0, len(data) - 32))
        end = begun.start() if begun else len(data)
        self._pending = data[end:]
        position = 0
        for ending in _ELSEWHERE.finditer(data, 0, end):
            self._take(data[position : ending.start()], at)
            position = ending.end()
            if ending.group() == b"\n" or _SAYING.search(self.unfinished):
                self._end(at)
            else:
                self._line.clear()
                self._beyond = 0
        self._take(data[position:end], at)

    @property
    def lines(self) -> tuple[Line, ...]:
        """All that is kept, with the line that has no end yet."""
        unfinished = [self._current(0.0)] if self.unfinished else []
        return tuple(raw.line for raw in (*self._first, *self._last, *unfinished))

    @property
    def number(self) -> int:
        """The number of the line that is being written, whether or not anything of it came."""
        return self._number + 1

    @property
    def unfinished(self) -> str:
        """What came of that line: a prompt never ends its line."""
        return self._current(0.0).line.text if self._line else ""

    def tail(self, count: int) -> list[str]:
        """The last lines that say anything, without the empty ones between them."""
        unfinished = [self._current(0.0)] if self._line else []
        texts = (raw.line.text for raw in chain(unfinished, reversed(self._last), reversed(self._first)))
        return list(islice(filter(None, texts), count))[::-1]

    def _take(self, part: bytes, at: float) -> None:
        if not part:
            return
        if not self._line or (len(self._line) < _BLANK and not _SAYING.search(self.unfinished)):
            self._line_at = at
        room = _RAW - len(self._line)
        self._line += part[:room]
        self._beyond += max(0, len(part) - room)

    def _current(self, at: float) -> _Raw:
        return _Raw(self._number + 1, self._line_at if self._line else at, bytes(self._line), self._beyond)

    def _end(self, at: float) -> None:
        raw = self._current(at)
        self._number += 1
        self._line.clear()
        self._beyond = 0
        size = len(raw.data) + OVERHEAD
        if self._first_room >= size and not self._last:
            self._first_room -= size
            self._first.append(raw)
            return
        self._last_room -= size
        self._last.append(raw)
        while self._last_room < 0 and len(self._last) > 1:
            self._last_room += len(self._last.popleft().data) + OVERHEAD


def cleaned(text: str) -> str:
    """A line as a person would have seen it, fit for terminals, XML and HTML."""
    return _DECEIVING.sub("\N{REPLACEMENT CHARACTER}", printable(text))


def readable(text: str) -> str:
    """The same for text of several lines, such as a check's evidence, and bounded as a console is."""
    lines = [cleaned(line) for line in text[:_LONGEST_TEXT].split("\n")]
    if len(text) > _LONGEST_TEXT:
        lines.append(f"... ({len(text)} characters in all)")
    return "\n".join(lines)
