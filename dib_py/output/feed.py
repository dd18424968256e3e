"""One walk over the guest's files for all formats that have them: each chunk of one archive goes to all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from dib_py.errors import OutputError
from dib_py.events import Events, Progress
from dib_py.output.sinks import Sink

_TOLD_EVERY = 16 * 1024 * 1024  # bytes


class Packer(Protocol):
    """An opened guest, as far as it matters here: see :class:`dib_py.target.Target`."""

    def pack(self, output: Callable[[bytes], None]) -> None: ...


OpenTree = Callable[[], AbstractContextManager[Packer]]


def feed(tree: OpenTree, sinks: Sequence[Sink], formats: str, events: Events) -> None:
    """Give the archive of the guest that ``tree`` opens to all ``sinks``; it goes as fast as the slowest takes it."""
    done = 0

    def output(chunk: bytes) -> None:
        nonlocal done
        for sink in sinks:
            sink(chunk)
        before, done = done, done + len(chunk)
        if done // _TOLD_EVERY != before // _TOLD_EVERY:
            events.emit(Progress(f"write {formats}", done, None))

    with tree() as guest:
        guest.pack(output)
    if not done:
        raise OutputError("the guest has no files")
