"""What shows events on standard output."""

from __future__ import annotations

import os
import sys
from contextlib import ExitStack

from dib_py.events import Subscriber
from dib_py.render.plain import PlainLines
from dib_py.render.sturdy import Sturdy


def screen(stack: ExitStack, verbosity: int, *, timestamps: bool) -> Subscriber:
    """A live view where that is a terminal which can show one, else lines."""
    if sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb":
        from rich.console import Console  # costs a tenth of a second that pipes need not pay

        from dib_py.render.terminal import LiveView

        return stack.enter_context(LiveView(Console(highlight=False), verbosity=verbosity))
    return Sturdy(PlainLines(sys.stdout, timestamps=timestamps, debug=verbosity > 0), sys.stdout, "standard output")
