"""The live view on a terminal: finished steps scroll by as one line each, the running one stays at the bottom.

The clock at the bottom is moved by a thread, which starts only when a build's worker speaks: until then the build may
fork, and a child must not inherit a lock that a thread of ours holds.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from dib_py import events
from dib_py.events import Event
from dib_py.render import verification
from dib_py.render.measures import amount, clock, count_of, duration, size
from dib_py.render.printable import one_line, printable
from dib_py.render.verification_view import STYLES, Verifying, check_row

_Step = events.StepStarted | events.StepFinished | events.LayerHit

INTERVAL = 0.125  # seconds between two pictures


class LiveView:
    """A subscriber that draws; a context manager, because the terminal must be put back whatever happens.

    With ``verbosity`` 1 the steps' output scrolls by too, and messages of the level debug are shown.
    """

    def __init__(self, console: Console, *, verbosity: int = 0) -> None:
        self._console = console
        self._verbosity = verbosity
        self._spinner = Spinner("dots" if self._unicode else "line")
        self._started = time.time()
        self._steps = 0
        self._begun = 0
        self._step: events.StepStarted | None = None
        self._progress: events.Progress | None = None
        self._last = ""
        self._verifying: Verifying | None = None
        self._drawn = 0.0
        self._over = threading.Event()
        self._ticker: threading.Thread | None = None
        self._live = Live(
            get_renderable=self._draw,
            console=console,
            auto_refresh=False,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )

    def __enter__(self) -> LiveView:
        self._live.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._end()

    def __call__(self, event: Event) -> None:
        handle: Callable[[LiveView, Event], None] | None = _HANDLERS.get(event.kind)
        if handle:
            handle(self, event)
        if self._live.is_started and time.monotonic() - self._drawn >= INTERVAL:
            self._refresh()

    def _refresh(self) -> None:
        self._drawn = time.monotonic()
        self._live.refresh()

    def _tick(self) -> None:
        while not self._over.wait(INTERVAL):
            if self._live.is_started:
                self._refresh()

    def _tick_from_now(self) -> None:
        if self._live.is_started and not self._ticker:
            self._ticker = threading.Thread(target=self._tick, name="live view", daemon=True)
            self._ticker.start()

    def _end(self) -> None:
        """Leave the terminal to whoever writes next, such as the report of a failure."""
        self._over.set()
        if self._ticker:
            self._ticker.join()
        self._live.stop()

    # -- what scrolls by

    def _say(self, text: str, style: str = "") -> None:
        self._console.print(Text(text, style=style), soft_wrap=True)

    def _message(self, event: events.Message) -> None:
        if event.level != "debug" or self._verbosity:
            style = {"warning": "yellow", "error": "bold red", "debug": "dim"}.get(event.level, "")
            self._say(f"{event.level}: {event.text}" if event.level in ("warning", "error") else event.text, style)

    def _build_started(self, event: events.BuildStarted) -> None:
        self._started = event.at
        self._steps = event.steps
        self._tick_from_now()
        where = "" if event.target == events.NO_TARGET else f", {event.target} target"
        self._say(f"{event.image}: {' '.join(event.elements)} ({count_of(event.steps, 'step')}{where})", "bold")

    def _step_started(self, event: events.StepStarted) -> None:
        self._begun += 1
        self._steps = max(self._steps, self._begun)  # hooks may have added hooks
        self._step = event
        self._progress = None
        self._last = ""

    def _layer_hit(self, event: events.LayerHit) -> None:
        self._begun += 1
        self._steps = max(self._steps, self._begun)
        self._row_of("·" if self._unicode else "-", "dim", event, f"done already, {duration(event.seconds)}")

    def _step_output(self, event: events.StepOutput) -> None:
        text = printable(event.text)
        if text:
            self._last = text
        if self._verbosity:
            self._say(f"    {text}", "dim")

    def _step_finished(self, event: events.StepFinished) -> None:
        self._ended(event, event.exit_code, event.seconds)

    def _build_failed(self, event: events.BuildFailed) -> None:
        """The report itself goes to standard error; a step that was still running is shown as the one that failed."""
        if self._step:
            self._ended(self._step, event.exit_code, event.at - self._step.at)
        self._progress = None
        self._end()

    def _ended(self, step: _Step, exit_code: int, seconds: float) -> None:
        self._step = None
        self._last = ""
        good, bad = ("✓", "✗") if self._unicode else ("ok", "FAILED")
        said = f"exit code {exit_code}  {duration(seconds)}" if exit_code else duration(seconds)
        self._row_of(bad if exit_code else good, "bold red" if exit_code else "green", step, said)

    def _row_of(self, mark: str, style: str, step: _Step, said: str) -> None:
        """What is left of a step that has ended."""
        left = Text.assemble((f"{mark} ", style), f"{step.phase}.d/{step.name}", (f"  {step.element}", "dim"))
        self._console.print(_row(left, Text(said, style="bold red" if style == "bold red" else "cyan")))

    def _progress_made(self, event: events.Progress) -> None:
        ended = event.total is not None and event.done >= event.total
        self._progress = None if ended else event

    def _output_written(self, event: events.OutputWritten) -> None:
        self._progress = None
        self._say(f"{event.path} ({event.format}, {size(event.bytes)})", "bold")

    def _output_kept(self, event: events.OutputKept) -> None:
        self._say(f"{event.path} is up to date", "bold")

    def _build_finished(self, event: events.BuildFinished) -> None:
        self._end()
        self._say(f"done in {duration(event.seconds)}", "green")

    def _verification_started(self, event: events.VerificationStarted) -> None:
        if not self._ticker:
            self._started = event.at
        self._tick_from_now()
        self._verifying = Verifying(event)
        self._say(verification.title(event), "bold")

    def _verification_goes_on(self, event: Event) -> None:
        if self._verifying:
            self._verifying(event)
        if isinstance(event, events.CheckFinished):
            self._console.print(_row(*check_row(event, unicode=self._unicode)))
            if event.reason:
                self._say(f"  {one_line(event.reason)}", STYLES.get(event.outcome, ""))
        elif not isinstance(event, events.ConsoleOutput) and self._verbosity:
            for line in verification.lines(event):
                self._say(f"    {line}", "dim")

    def _verification_finished(self, event: events.VerificationFinished) -> None:
        self._verifying = None
        first, *others = verification.finished(event)
        self._say(first, STYLES.get(event.outcome, ""))
        for line in others:
            self._say(line)

    def _terminal_lent(self, event: events.TerminalLent) -> None:
        self._live.stop()

    def _terminal_returned(self, event: events.TerminalReturned) -> None:
        self._live.start()

    # -- what stays at the bottom

    @property
    def _unicode(self) -> bool:
        return self._console.encoding.lower().startswith("utf")

    def _draw(self) -> RenderableType:
        now = time.time()
        last = self._last
        if self._verifying:
            what, where, last = self._verifying.what(), self._verifying.where(now), self._verifying.last
        elif self._step:
            what = Text.assemble(
                (f"{self._step.phase}.d/{self._step.name}", "bold"), (f"  {self._step.element}", "dim")
            )
            where = f"step {self._begun} of {self._steps}  {clock(max(0, now - self._step.at))}  total "
        else:
            what = Text("preparing" if self._begun == 0 else "finishing" if self._begun == self._steps else "")
            where = ""
        rows: list[RenderableType] = [
            _row(what, Text(f"{where}{clock(max(0, now - self._started))}", style="cyan"), self._spinner)
        ]
        if self._progress:
            rows.append(self._bar(self._progress))
        if last:
            rows.append(Text(f"  {last}", style="dim", no_wrap=True, overflow="ellipsis"))
        return Group(*rows)

    def _bar(self, progress: events.Progress) -> RenderableType:
        text = Text(f"  {progress.task}  {amount(progress.done, progress.total, progress.unit)} ", no_wrap=True)
        if not progress.total:
            return text
        return _row(text, ProgressBar(total=progress.total, completed=progress.done, width=24))


def _row(left: RenderableType, right: RenderableType, mark: RenderableType = "") -> Table:
    row = Table.grid(expand=True, padding=(0, 1, 0, 0))
    if mark:
        row.add_column(width=1)
    row.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
    row.add_column(justify="right", no_wrap=True)
    row.add_row(*([mark] if mark else []), left, right)
    return row


_HANDLERS: dict[str, Callable[..., None]] = {
    "Message": LiveView._message,
    "BuildStarted": LiveView._build_started,
    "StepStarted": LiveView._step_started,
    "LayerHit": LiveView._layer_hit,
    "StepOutput": LiveView._step_output,
    "StepFinished": LiveView._step_finished,
    "Progress": LiveView._progress_made,
    "OutputWritten": LiveView._output_written,
    "OutputKept": LiveView._output_kept,
    "BuildFinished": LiveView._build_finished,
    "BuildFailed": LiveView._build_failed,
    "VerificationStarted": LiveView._verification_started,
    "MachineStarted": LiveView._verification_goes_on,
    "StageReached": LiveView._verification_goes_on,
    "ConsoleOutput": LiveView._verification_goes_on,
    "MachineEnded": LiveView._verification_goes_on,
    "CheckStarted": LiveView._verification_goes_on,
    "CheckFinished": LiveView._verification_goes_on,
    "VerificationFinished": LiveView._verification_finished,
    "TerminalLent": LiveView._terminal_lent,
    "TerminalReturned": LiveView._terminal_returned,
}
