"""One check in its thread: it waits for what it needs, asks, and its finding becomes a result."""

from __future__ import annotations

import threading
import traceback
from collections.abc import Callable

from dib_py.errors import DibError
from dib_py.events import CheckFinished, CheckStarted, Events
from dib_py.verify.board import Board
from dib_py.verify.checks import Check, Finding, Subject, Unreachable, failed, not_run
from dib_py.verify.result import Evidence, Result
from dib_py.verify.transcript import readable


class Run:
    """Started once; ``deadline`` is on the monotonic clock, ``clock`` the seconds since the verification's start.

    ``judged`` makes of what the check found what is told of it, by all that is known of the image then.
    """

    def __init__(
        self,
        check: Check,
        subject: Subject,
        board: Board,
        deadline: float,
        clock: Callable[[], float],
        judged: Callable[[Check, Result], Result],
    ) -> None:
        self.check = check
        self._subject = subject
        self._board = board
        self._deadline = deadline
        self._clock = clock
        self._judged = judged
        self._started: float | None = None
        self._result: Result | None = None
        self._thread = threading.Thread(target=self._run, name=f"check {check.name}", daemon=True)

    def start(self, events: Events) -> None:
        self._events = events
        self._thread.start()

    def wait(self, timeout: float) -> bool:
        """Whether it has ended."""
        self._thread.join(max(0.0, timeout))
        return not self._thread.is_alive()

    @property
    def ended(self) -> bool:
        return not self._thread.is_alive()

    @property
    def result(self) -> Result:
        """What it found so far: that it did not end in time, if it is still at work."""
        return self._result or self._made(not_run("it did not end within the verification's limit"))

    def _run(self) -> None:
        missing = self._board.missing(self.check.needs, self._deadline)
        if missing:
            finding = not_run(missing)
        else:
            self._started = self._clock()
            self._events.emit(CheckStarted(self.check.name))
            finding = _ask(self.check, self._subject)
        self._result = self._made(finding)
        told = self._judged(self.check, self._result)
        self._events.emit(CheckFinished(told.check, told.outcome.value, told.reason, told.seconds))

    def _made(self, finding: Finding) -> Result:
        now = self._clock()
        started = now if self._started is None else self._started
        check = self.check
        return Result(
            check.name,
            check.proves,
            finding.outcome,
            readable(finding.reason),
            tuple(Evidence(readable(one.title), readable(one.text)) for one in finding.evidence),
            started,
            now - started,
            check.version,
        )


def _ask(check: Check, subject: Subject) -> Finding:
    try:
        return check.run(subject)
    except Unreachable as error:
        return not_run(str(error))
    except DibError as error:
        return failed(str(error))
    except Exception as error:  # a bug of the check's, which must not cost the others their verdict
        return failed(
            f"the check itself is broken: {type(error).__name__}: {error}",
            Evidence("traceback", traceback.format_exc()),
        )
