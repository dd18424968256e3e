"""What the engine says while it works: frozen events, and the subscribers that render them.

The worker and the command that the user sees are two processes: events cross between them as JSON lines, so every
field is a string, a number, a boolean, None, or a list of those.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Event:
    """Base of all events; ``at`` is seconds since the epoch."""

    at: float = field(default_factory=time.time, kw_only=True)

    @property
    def kind(self) -> str:
        return type(self).__name__


@dataclass(frozen=True)
class Message(Event):
    """Something worth a line: level is debug, info, warning or error."""

    level: str
    text: str


NO_TARGET = "no"  # of a build that has nothing to do with a guest's tree


@dataclass(frozen=True)
class BuildStarted(Event):
    image: str
    elements: list[str]
    target: str
    steps: int


@dataclass(frozen=True)
class PhaseStarted(Event):
    """``directory``: where the phase's hooks are, as the hooks themselves see it."""

    phase: str
    directory: str = ""


@dataclass(frozen=True)
class PhaseFinished(Event):
    """``timings``: pairs of hook name and seconds, in the order in which the hooks ran."""

    phase: str
    timings: list[tuple[str, float]]


@dataclass(frozen=True)
class StepStarted(Event):
    index: int
    phase: str
    element: str
    name: str


@dataclass(frozen=True)
class StepOutput(Event):
    """One line that a step printed, without its newline; secrets are masked already."""

    text: str


@dataclass(frozen=True)
class StepFinished(Event):
    index: int
    phase: str
    element: str
    name: str
    exit_code: int
    seconds: float


@dataclass(frozen=True)
class LayerHit(Event):
    """A step that need not run: its layer is in the store. ``seconds`` it took when it ran."""

    index: int
    phase: str
    element: str
    name: str
    seconds: float
    key: str


@dataclass(frozen=True)
class CheckpointsTaken(Event):
    """What the layers of a build cost between its steps, writing back included."""

    count: int
    seconds: float


@dataclass(frozen=True)
class Progress(Event):
    """Work whose end is known: ``done`` of ``total`` in ``unit`` (bytes, steps); total None when it is not known."""

    task: str
    done: int
    total: int | None
    unit: str = "bytes"


@dataclass(frozen=True)
class OutputWritten(Event):
    path: str
    format: str
    bytes: int


@dataclass(frozen=True)
class OutputKept(Event):
    """An image that is there already is what this build would make, so it was left untouched."""

    path: str


@dataclass(frozen=True)
class TerminalLent(Event):
    """A shell is about to take the terminal: whoever draws on it stops before returning from this event."""


@dataclass(frozen=True)
class TerminalReturned(Event):
    """The shell has ended; the terminal is ours again."""


@dataclass(frozen=True)
class ShellEnded(Event):
    """The shell that was the whole purpose of this run has ended."""

    exit_code: int


@dataclass(frozen=True)
class BuildFinished(Event):
    seconds: float


@dataclass(frozen=True)
class BuildFailed(Event):
    """The error that ended the build; ``tail`` holds the last lines of the failed step's output."""

    message: str
    hint: str
    exit_code: int
    phase: str = ""
    element: str = ""
    step: str = ""
    tail: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class VerificationStarted(Event):
    """``checks`` in the order in which people are shown them; ``profile`` is empty where they were named one by one."""

    image: str
    profile: str
    checks: list[str]


@dataclass(frozen=True)
class MachineStarted(Event):
    """The image is being booted; ``boot`` counts from 1. ``accelerator`` and ``firmware`` as a verdict has them."""

    boot: int
    accelerator: str
    firmware: str


@dataclass(frozen=True)
class StageReached(Event):
    """How far a boot has come, as ``dib_py.verify.result.Stage`` calls it; ``seconds`` since it began."""

    boot: int
    stage: str
    seconds: float


@dataclass(frozen=True)
class ConsoleOutput(Event):
    """One line of the guest's console, cleaned. There may be thousands in a second: not each has to be told."""

    text: str


@dataclass(frozen=True)
class MachineEnded(Event):
    """``ending`` says how, for people."""

    boot: int
    ending: str


@dataclass(frozen=True)
class CheckStarted(Event):
    check: str


@dataclass(frozen=True)
class CheckFinished(Event):
    """``outcome`` is ``passed``, ``failed`` or ``not run``; ``reason`` says why it is one of the last two."""

    check: str
    outcome: str
    reason: str
    seconds: float


@dataclass(frozen=True)
class VerificationFinished(Event):
    """``known`` is when the verdict was found, in seconds since the epoch, if an earlier one was still good, else None.

    ``files`` are those that tell more of it: the verdict's page first. ``tail`` holds the last lines of the console
    where the guest did not come up.
    """

    image: str
    outcome: str
    reason: str
    seconds: float
    known: float | None = None
    files: list[str] = field(default_factory=list)
    tail: list[str] = field(default_factory=list)


Subscriber = Callable[[Event], None]

KINDS: dict[str, type[Event]] = {cls.__name__: cls for cls in Event.__subclasses__()}

_ENCODER = json.JSONEncoder(separators=(",", ":"))  # made once: json.dumps makes one for each line of a chatty hook


def to_json(event: Event) -> str:
    """One line of JSON, with the event's class name as ``event``."""
    return _ENCODER.encode({"event": event.kind, **vars(event)})


def from_json(line: str) -> Event:
    """The event that :func:`to_json` wrote; KeyError for a kind that this version does not know."""
    values: dict[str, Any] = json.loads(line)
    return KINDS[values.pop("event")](**values)


class Events:
    """Hands each event to every subscriber, in the order in which they subscribed."""

    def __init__(self, *subscribers: Subscriber) -> None:
        self._subscribers = list(subscribers)

    def emit(self, event: Event) -> None:
        for subscriber in self._subscribers:
            subscriber(event)

    def info(self, text: str) -> None:
        self.emit(Message("info", text))

    def warning(self, text: str) -> None:
        self.emit(Message("warning", text))
