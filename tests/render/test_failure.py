"""A failed build ends with all that its user needs next."""

from __future__ import annotations

import io
from pathlib import Path

from dib_py.events import BuildFailed, Event
from dib_py.render.failure import FailureReport

GOLDEN = """\
dib-py: error: install.d/3-z of element vm failed with exit code 7

  hook       install.d/3-z
  element    vm
  exit code  7
  log        /var/log/x.log
  replay     dib-py -o x vm

  The last 2 lines of its output:
    + cp a b
    cp: cannot stat 'a'
"""


def report(events: list[Event], log: Path | None = Path("/var/log/x.log")) -> str:
    stream = io.StringIO()
    show = FailureReport(stream, log=log, replay="dib-py -o x vm")
    for event in events:
        show(event)
    return stream.getvalue()


def test_golden(failed_build: list[Event]) -> None:
    assert report(failed_build) == GOLDEN


def test_a_good_build_reports_nothing(good_build: list[Event]) -> None:
    assert report(good_build) == ""


def test_a_failure_outside_of_the_hooks_has_its_hint() -> None:
    text = report([BuildFailed("the image's disk is full", "give it more with --image-size", 1)], None)
    assert text == (
        "dib-py: error: the image's disk is full\n  give it more with --image-size\n\n"
        "  exit code  1\n  replay     dib-py -o x vm\n"
    )


def test_work_of_the_command_line_has_no_element() -> None:
    text = report([BuildFailed("it failed", "", 2, "install", "", "run-script", ["x"])])
    assert "  hook       install.d/run-script\n  element    none: it was asked for on the command line\n" in text
    assert "  The last line of its output:\n    x\n" in text
