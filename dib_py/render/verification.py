"""What is said of a verification: as lines for pipes and logs, and the end in the same words on a terminal.

Reasons and endings may quote the guest, so they are cleaned before they are shown.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

from dib_py import events
from dib_py.events import Event
from dib_py.render.measures import count_of, duration
from dib_py.render.printable import one_line, printable

_WIDTH = len("not run")


def title(event: events.VerificationStarted) -> str:
    return f"{Path(event.image).name}: {count_of(len(event.checks), 'check')}" + (
        f" of the {event.profile} profile" if event.profile else ""
    )


def started(event: events.MachineStarted) -> str:
    return f"boot {event.boot}: {event.accelerator}, {event.firmware}"


def reached(event: events.StageReached) -> str:
    return f"boot {event.boot}: {event.stage} after {duration(event.seconds)}"


def ended(event: events.MachineEnded) -> str:
    return f"boot {event.boot}: {one_line(event.ending)}"


def lines(event: Event) -> Iterator[str]:
    """What a pipe or a log is told of an event of a verification; nothing for others."""
    make = _LINES.get(event.kind)
    return iter(()) if make is None else make(event)


def _check(event: events.CheckFinished) -> Iterator[str]:
    took = "" if event.outcome == "not run" else f" ({duration(event.seconds)})"
    reason = f": {one_line(event.reason)}" if event.reason else ""
    yield f"{event.outcome:<{_WIDTH}}  {event.check}{took}{reason}"


def finished(event: events.VerificationFinished) -> Iterator[str]:
    """The end, in the same words for all: the first line is the verdict."""
    reason = f": {one_line(event.reason)}" if event.reason else ""
    yield f"{Path(event.image).name}: {event.outcome}{reason}"
    if event.tail:
        yield "The console's last lines:"
        yield from (f"    {printable(line)}" for line in event.tail)
    if event.known is None:
        yield f"Took {duration(event.seconds)}"
    else:
        when = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(event.known))
        yield f"Known since {when}; --again verifies it anew"
    if event.files:
        yield f"More in {event.files[0]}"


_LINES: dict[str, Callable[..., Iterator[str]]] = {
    "VerificationStarted": lambda event: iter([f"Verifying {title(event)}"]),
    "MachineStarted": lambda event: iter([started(event)]),
    "StageReached": lambda event: iter([reached(event)]),
    "MachineEnded": lambda event: iter([ended(event)]),
    "CheckFinished": _check,
    "VerificationFinished": finished,
}
