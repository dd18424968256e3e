"""Plain lines, as diskimage-builder prints them, for pipes and logs."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TextIO

import dib_py
from dib_py import events
from dib_py.events import Event
from dib_py.phases import BY_DIRECTORY, HOOKS_IN_GUEST, Side
from dib_py.render import verification
from dib_py.render.measures import amount, count_of, duration
from dib_py.render.profile import profiling

RUN_PARTS = "dib-run-parts "
_SHORT = 1.0  # seconds: of work that takes less nobody needs to read
_EVERY = 3.0  # seconds, at least, between lines on the same work
_UNKNOWN_EVERY = 10.0  # the same, where the end of the work is unknown


@dataclass
class _Work:
    """A piece of work in progress: when it began, how far it is, and when and at which tenth it was told last."""

    since: float
    done: int
    told: float = 0.0
    tenth: int = -1

    def is_news(self, event: events.Progress) -> bool:
        """Whether the event is worth a line, which is then taken for told."""
        self.done = event.done
        tenth = event.done * 10 // event.total if event.total else -1
        ended = event.total is not None and event.done >= event.total
        wait = (0.0 if ended else _EVERY) if event.total else _UNKNOWN_EVERY
        if event.at - self.since < _SHORT or event.at - self.told < wait or (event.total and tenth == self.tenth):
            return False
        self.told, self.tenth = event.at, tenth
        return True


class PlainLines:
    """Writes each event to a stream as the lines that diskimage-builder has for it.

    ``timestamps`` puts the event's time (UTC) before each line; ``debug`` shows messages of that level too.
    """

    def __init__(self, stream: TextIO, *, timestamps: bool = True, debug: bool = False) -> None:
        self._stream = stream
        self._timestamps = timestamps
        self._debug = debug
        self._directory = ""
        self._work: dict[str, _Work] = {}  # by the task's name

    def __call__(self, event: Event) -> None:
        make: Callable[[PlainLines, Event], Iterator[str]] | None = _LINES.get(event.kind)
        prefix = f"{stamp(event.at)} | " if self._timestamps else ""
        said = verification.lines(event) if make is None else make(self, event)
        self._stream.writelines(f"{prefix}{line}\n" for line in said)
        self._stream.flush()

    def _message(self, event: events.Message) -> Iterator[str]:
        if event.level in ("warning", "error"):
            yield f"{event.level.upper()}: {event.text}"
        elif event.level != "debug" or self._debug:
            yield event.text

    def _build_started(self, event: events.BuildStarted) -> Iterator[str]:
        yield f"dib-py version {dib_py.__version__}"
        yield f"Building elements: {' '.join(event.elements)}"
        where = "" if event.target == events.NO_TARGET else f" on the {event.target} target"
        yield f"Building {event.image} in {count_of(event.steps, 'step')}{where}"

    def _phase_started(self, event: events.PhaseStarted) -> Iterator[str]:
        in_guest = BY_DIRECTORY[f"{event.phase}.d"].side is Side.GUEST
        self._directory = event.directory or f"{HOOKS_IN_GUEST if in_guest else 'hooks'}/{event.phase}.d"
        if not in_guest:
            yield f"Running hooks from {self._directory}"

    def _step_started(self, event: events.StepStarted) -> Iterator[str]:
        yield f"{RUN_PARTS}Running {self._directory}/{event.name}"

    def _step_output(self, event: events.StepOutput) -> Iterator[str]:
        yield event.text

    def _step_finished(self, event: events.StepFinished) -> Iterator[str]:
        if event.exit_code == 0:
            yield f"{RUN_PARTS}{event.name} completed"

    def _layer_hit(self, event: events.LayerHit) -> Iterator[str]:
        yield f"{event.phase}.d/{event.name} is done already: {duration(event.seconds)} when it ran"

    def _checkpoints_taken(self, event: events.CheckpointsTaken) -> Iterator[str]:
        if event.count:
            yield f"{count_of(event.count, 'layer')} kept in {duration(event.seconds)}"

    def _phase_finished(self, event: events.PhaseFinished) -> Iterator[str]:
        for line in profiling(event.phase, event.timings):
            yield RUN_PARTS + line

    def _progress(self, event: events.Progress) -> Iterator[str]:
        """A line for each tenth of work, but none for what is short and not several at a time."""
        work = self._work.get(event.task)
        if work is None or event.done < work.done:  # the same may be done twice
            work = self._work[event.task] = _Work(event.at, event.done)
        if work.is_news(event):
            yield f"{event.task}: {amount(event.done, event.total, event.unit)}"
        if event.total is not None and event.done >= event.total:
            del self._work[event.task]

    def _output_written(self, event: events.OutputWritten) -> Iterator[str]:
        yield f"Image file {event.path} created..."

    def _output_kept(self, event: events.OutputKept) -> Iterator[str]:
        yield f"Image file {event.path} is up to date"

    def _build_finished(self, event: events.BuildFinished) -> Iterator[str]:
        yield f"Took {duration(event.seconds)}"
        yield "Build completed successfully"


def stamp(at: float) -> str:
    """The time as diskimage-builder's lines begin with it."""
    moment = datetime.datetime.fromtimestamp(at, datetime.timezone.utc)
    return moment.strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]


_LINES: dict[str, Callable[..., Iterator[str]]] = {
    "Message": PlainLines._message,
    "BuildStarted": PlainLines._build_started,
    "PhaseStarted": PlainLines._phase_started,
    "LayerHit": PlainLines._layer_hit,
    "CheckpointsTaken": PlainLines._checkpoints_taken,
    "PhaseFinished": PlainLines._phase_finished,
    "StepStarted": PlainLines._step_started,
    "StepOutput": PlainLines._step_output,
    "StepFinished": PlainLines._step_finished,
    "Progress": PlainLines._progress,
    "OutputWritten": PlainLines._output_written,
    "OutputKept": PlainLines._output_kept,
    "BuildFinished": PlainLines._build_finished,
}
