"""What a verification found: the values that checks make, programs read and people look at.

All of them are plain and frozen; ``dib_py.verify.verdict_json`` writes them and reads them back. Times are seconds
since the verification's start, which is itself ``Verdict.started``, in seconds since the epoch.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

ENGINE = 2  # counts up when the same image and checks may get another verdict for a reason that is in no check


class Outcome(str, enum.Enum):
    """How a check, or all of them, ended. What was not run proves nothing, so it is never called passed."""

    PASSED = "passed"
    FAILED = "failed"
    NOT_RUN = "not run"


class Stage(enum.IntEnum):
    """How far a boot came, in order: compare them with ``<``."""

    NOTHING = 0
    FIRMWARE = 1
    BOOTLOADER = 2
    KERNEL = 3
    INITRAMFS = 4
    USERSPACE = 5
    LOGIN = 6

    @property
    def word(self) -> str:
        """As people and documents call it."""
        return self.name.lower()


@dataclass(frozen=True)
class Evidence:
    """Something that was seen, word for word: the output of a command, lines of a file, an answer of the agent."""

    title: str
    text: str


@dataclass(frozen=True)
class Result:
    """What one check found. ``reason`` says in one line why it failed or was not run; empty for one that passed.

    ``version`` is the check's own: a verdict of another version of it is no answer.
    """

    check: str
    proves: str
    outcome: Outcome
    reason: str = ""
    evidence: tuple[Evidence, ...] = ()
    started: float = 0.0
    seconds: float = 0.0
    version: int = 1


@dataclass(frozen=True)
class Moment:
    """Something that happened while the machine ran; ``stage`` where it is the first sign of one.

    ``line`` is the number of the console's line that told it, as in :class:`Line`; None if the console did not.
    """

    at: float
    text: str
    stage: Stage | None = None
    line: int | None = None


@dataclass(frozen=True)
class Line:
    """One line of the console, cleaned for people; ``number`` counts from 1 all lines that came.

    Numbers that are missing were too many to keep.
    """

    number: int
    at: float
    text: str


@dataclass(frozen=True)
class BootReport:
    """One boot of the machine; ``ending`` says how it ended, ``screenshot`` is a PNG of the VGA console."""

    number: int
    stage: Stage
    ending: str
    started: float = 0.0
    seconds: float = 0.0
    moments: tuple[Moment, ...] = ()
    console: tuple[Line, ...] = ()
    screenshot: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Verdict:
    """What is known of an image.

    ``digest`` is of what a guest can see of it (``dib_py.verify.content``). ``profile`` is the set of checks that was
    asked for, empty if they were named one by one. ``reason`` is one line on what is wrong; empty if it passed.
    ``stage`` is how far the first boot came. ``terms`` is what else was asked of the machine and can change the
    outcome, such as its memory; ``limit`` is how many seconds all was allowed to take. ``accelerator``, ``firmware``
    and ``qemu_version`` are empty where nothing was booted, the first also where no boot proves anything.
    """

    image: str
    digest: str
    profile: str
    outcome: Outcome
    reason: str
    stage: Stage
    results: tuple[Result, ...]
    boots: tuple[BootReport, ...] = ()
    accelerator: str = ""
    firmware: str = ""
    qemu_version: str = ""
    started: float = 0.0
    seconds: float = 0.0
    limit: float = 0.0
    terms: Mapping[str, str] = field(default_factory=dict)
    engine: int = ENGINE

    @property
    def passed(self) -> bool:
        return self.outcome is Outcome.PASSED

    def of(self, outcome: Outcome) -> tuple[Result, ...]:
        """The results that ended like that, in their order."""
        return tuple(result for result in self.results if result.outcome is outcome)

    def last_words(self, count: int) -> list[str]:
        """The last lines of the console that say anything, where the guest did not come up; else none."""
        if self.passed or not self.boots or self.boots[-1].stage >= Stage.LOGIN:
            return []
        return [line.text for line in self.boots[-1].console if line.text][-count:]

    def narrowed(self, checks: Iterable[str], profile: str) -> Verdict:
        """The same for fewer checks than were run: what the others found has no say in it."""
        wanted = frozenset(checks)
        results = tuple(result for result in self.results if result.check in wanted)
        if len(results) == len(self.results):
            return replace(self, profile=profile)
        return replace(self, profile=profile, results=results, outcome=overall(results), reason=summary(results))


def overall(results: Iterable[Result]) -> Outcome:
    """Passed if every check did, and there was one; failed if any did; else there are checks that were not run."""
    outcomes = {result.outcome for result in results}
    if Outcome.FAILED in outcomes:
        return Outcome.FAILED
    return Outcome.PASSED if outcomes == {Outcome.PASSED} else Outcome.NOT_RUN


def summary(results: Iterable[Result]) -> str:
    """The one line on what is wrong: the first failure, and how many others there are."""
    listed = list(results)
    failed = [result for result in listed if result.outcome is Outcome.FAILED]
    if failed:
        others = f" (and {len(failed) - 1} more)" if len(failed) > 1 else ""
        return f"{failed[0].check}: {failed[0].reason}{others}"
    left = [result for result in listed if result.outcome is Outcome.NOT_RUN]
    if left:
        return f"{len(left)} of {len(listed)} checks not run; {left[0].check}: {left[0].reason}"
    return "" if listed else "no check was asked for"
