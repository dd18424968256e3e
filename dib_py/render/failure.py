"""The report that ends a failed build: what failed, its last words, where the log is and how to replay it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from dib_py.events import BuildFailed, Event


class FailureReport:
    """Writes the report of a :class:`~dib_py.events.BuildFailed` to a stream; other events are none of its business."""

    def __init__(self, stream: TextIO, *, log: Path | None, replay: str) -> None:
        self._stream = stream
        self._log = log
        self._replay = replay

    def __call__(self, event: Event) -> None:
        if isinstance(event, BuildFailed):
            self._stream.writelines(f"{line}\n" for line in report(event, self._log, self._replay))
            self._stream.flush()


def report(failed: BuildFailed, log: Path | None, replay: str) -> Iterator[str]:
    yield f"dib-py: error: {failed.message}"
    if failed.hint:
        yield f"  {failed.hint}"
    yield ""
    if failed.step:
        yield f"  hook       {failed.step if '/' in failed.step else f'{failed.phase}.d/{failed.step}'}"
        yield f"  element    {failed.element or 'none: it was asked for on the command line'}"
    yield f"  exit code  {failed.exit_code}"
    if log:
        yield f"  log        {log}"
    yield f"  replay     {replay}"
    if failed.tail:
        yield ""
        yield (
            "  The last line of its output:"
            if len(failed.tail) == 1
            else (f"  The last {len(failed.tail)} lines of its output:")
        )
        for line in failed.tail:
            yield f"    {line}"
