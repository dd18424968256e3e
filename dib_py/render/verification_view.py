"""A verification in the live view: rows of checks that have ended, and what is at work at the bottom."""

from __future__ import annotations

from rich.text import Text

from dib_py import events
from dib_py.events import Event
from dib_py.render.measures import clock, duration
from dib_py.render.printable import printable

STYLES = {"passed": "green", "failed": "bold red", "not run": "yellow"}
MARKS = {"passed": "✓", "failed": "✗", "not run": "-"}


class Verifying:
    """What the live view has at its bottom while a verification runs: the boot, its stage, the checks at work."""

    def __init__(self, event: events.VerificationStarted) -> None:
        self._checks = len(event.checks)
        self._ended = 0
        self._boot = ""
        self._boot_at = event.at
        self._running: list[str] = []
        self.last = ""  # line of the console

    def __call__(self, event: Event) -> None:
        if isinstance(event, events.MachineStarted):
            self._boot, self._boot_at = f"boot {event.boot}", event.at
        elif isinstance(event, events.StageReached):
            self._boot = f"boot {event.boot}: {event.stage}"
        elif isinstance(event, events.MachineEnded):
            self._boot, self.last = "", ""
        elif isinstance(event, events.ConsoleOutput):
            self.last = printable(event.text) or self.last
        elif isinstance(event, events.CheckStarted):
            self._running.append(event.check)
        elif isinstance(event, events.CheckFinished):
            self._ended += 1
            self._running = [check for check in self._running if check != event.check]

    def what(self) -> Text:
        """The left of the bottom line."""
        otherwise = "finishing" if self._ended == self._checks else "reading the image"
        text = Text(self._boot or otherwise, style="bold")
        return text.append(f"  {', '.join(self._running)}", style="dim")

    def where(self, now: float) -> str:
        """The right of it."""
        since = f"{clock(max(0, now - self._boot_at))}  " if self._boot else ""
        return f"{self._ended} of {self._checks} checks  {since}total "


def check_row(event: events.CheckFinished, *, unicode: bool) -> tuple[Text, Text]:
    """What is left of a check that has ended: left and right of a row; its reason has lines of its own."""
    mark = MARKS.get(event.outcome, "?") if unicode else event.outcome
    left = Text.assemble((f"{mark} ", STYLES.get(event.outcome, "")), event.check)
    return left, Text("not run" if event.outcome == "not run" else duration(event.seconds), style="cyan")
