"""The timeline of a verification as bars along the time that it took: a lane for each boot, and one for each check."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from dib_py.render.measures import clock, duration
from dib_py.verify.result import BootReport, Outcome, Result, Stage, Verdict

_STEPS = (0.1, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600)  # seconds between two ticks
_TICKS = 8  # at most
_VISIBLE = 0.0005  # of the width: what is narrower can't be seen
_ROOM = 0.07  # of the width: what the word of a stage needs


@dataclass(frozen=True)
class Bar:
    """``left`` and ``width`` in percent of the whole; ``kind`` is what it is coloured by."""

    left: float
    width: float
    kind: str
    title: str
    text: str = ""


@dataclass(frozen=True)
class Lane:
    label: str
    bars: tuple[Bar, ...]
    boot: bool = False


@dataclass(frozen=True)
class Tick:
    """One mark of the axis; ``left`` in percent of the whole."""

    left: float
    text: str


def whole(verdict: Verdict) -> float:
    """The seconds that the timeline is long: nothing on it ends later."""
    ends = [boot.started + boot.seconds for boot in verdict.boots]
    ends += [result.started + result.seconds for result in verdict.results]
    return max([verdict.seconds, 0.001, *ends])


def lanes(verdict: Verdict) -> list[Lane]:
    """Empty where nothing took any time."""
    seconds = whole(verdict)
    boots = [
        Lane(f"boot {boot.number}", tuple(_stages(boot, seconds)), boot=True) for boot in verdict.boots if boot.seconds
    ]
    ran = [result for result in verdict.results if result.outcome is not Outcome.NOT_RUN]
    checks = [Lane(result.check, (_check(result, seconds),)) for result in sorted(ran, key=lambda one: one.started)]
    return boots + checks


def stage_kind(stage: Stage) -> str:
    """What the bars of a stage are coloured by."""
    return f"stage-{stage.word}"


def ticks(seconds: float) -> list[Tick]:
    step = next(
        (step for step in _STEPS if seconds / step <= _TICKS), _STEPS[-1] * (seconds // (_STEPS[-1] * _TICKS) + 1)
    )
    count = int(seconds / step)
    return [
        Tick(_percent(number * step, seconds), f"{number * step:g} s" if seconds < 60 else clock(number * step))
        for number in range(count + 1)
    ]


def _stages(boot: BootReport, seconds: float) -> Iterator[Bar]:
    """One bar for each stage, from its first sign to that of the next one."""
    signs = [(moment.at, moment.stage) for moment in boot.moments if moment.stage is not None]
    starts = [(boot.started, Stage.NOTHING), *sorted(signs)]
    end = boot.started + boot.seconds
    for (start, stage), (until, _) in zip(starts, [*starts[1:], (end, Stage.LOGIN)], strict=True):
        if (until - start) / seconds > _VISIBLE:
            took = duration(until - start)
            room = (until - start) / seconds > _ROOM
            yield _bar(start, until, seconds, stage_kind(stage), f"{stage.word}: {took}", stage.word if room else "")


def _check(result: Result, seconds: float) -> Bar:
    outcome = result.outcome.value
    title = f"{result.check} {outcome}: {duration(result.seconds)}, from {duration(result.started)} on"
    return _bar(result.started, result.started + result.seconds, seconds, outcome, title)


def _bar(start: float, end: float, seconds: float, kind: str, title: str, text: str = "") -> Bar:
    return Bar(_percent(start, seconds), _percent(end - start, seconds), kind, title, text)


def _percent(part: float, seconds: float) -> float:
    return round(min(100.0, max(0.0, 100 * part / seconds)), 3)
