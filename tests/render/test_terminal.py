"""The live view: what scrolls by, and what stays at the bottom."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from dib_py.events import Event
from dib_py.render.printable import printable
from dib_py.render.terminal import LiveView

GOLDEN = """\
target host: KVM does not work here
warning: mirror b is slow
debian: base debian vm (3 steps, host target)
✓ root.d/08-bootstrap  debian                              2.5 s
✓ install.d/3-z  vm                                        0.5 s
✓ install.d/10-a  debian                                    1:01
debian.qcow2 (qcow2, 340.0 MiB)
done in 1:02:05
"""


def console(width: int = 64) -> Console:
    return Console(file=io.StringIO(), width=width, highlight=False, force_terminal=False, _environ={})


def written(view: LiveView) -> str:
    stream = view._console.file
    assert isinstance(stream, io.StringIO)
    return "".join(f"{line.rstrip()}\n" for line in stream.getvalue().splitlines())


def bottom(view: LiveView) -> list[str]:
    show = console(80)
    with show.capture() as capture:
        show.print(view._draw())
    return [line.rstrip() for line in capture.get().splitlines()]


def test_what_scrolls_by(good_build: list[Event]) -> None:
    view = LiveView(console())
    for event in good_build:
        view(event)
    assert written(view) == GOLDEN


def test_more_is_shown_on_demand(good_build: list[Event]) -> None:
    view = LiveView(console(), verbosity=1)
    for event in good_build:
        view(event)
    assert "layer of the base\n" in written(view)
    assert "    99 % done\n" in written(view)
    assert "    I: mirror [fast]\n" in written(view)


def test_the_bottom_shows_step_place_and_last_line(good_build: list[Event]) -> None:
    view = LiveView(console())
    for event in good_build[:18]:
        view(event)
    first, last = bottom(view)
    assert "install.d/3-z  vm" in first
    assert "step 2 of 3" in first
    assert last == "  99 % done"


def test_the_bottom_shows_a_download(good_build: list[Event]) -> None:
    view = LiveView(console())
    for event in good_build[:6]:
        view(event)
    assert "preparing" in bottom(view)[0]
    assert bottom(view)[1].startswith("  download base  512 B of 1.0 KiB (50 %)")
    view(good_build[6])
    assert len(bottom(view)) == 1


def test_a_failed_step_is_marked_with_its_exit_code(failed_build: list[Event]) -> None:
    view = LiveView(console())
    for event in failed_build:
        view(event)
    assert written(view).splitlines()[-1] == "✗ install.d/3-z  vm                           exit code 7  0.5 s"


def test_a_step_that_never_ended_is_the_one_that_failed(failed_build: list[Event]) -> None:
    view = LiveView(console())
    for event in [*failed_build[:-2], failed_build[-1]]:
        view(event)
    assert written(view).splitlines()[-1].startswith("✗ install.d/3-z  vm")


def test_hooks_added_while_building_do_not_overrun_the_count(good_build: list[Event]) -> None:
    view = LiveView(console())
    step = good_build[10]
    for event in [good_build[8], step, step, step, step]:
        view(event)
    assert "step 4 of 4" in bottom(view)[0]


def test_a_terminal_without_unicode_gets_words(good_build: list[Event]) -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    view = LiveView(Console(file=stream, width=64, highlight=False, _environ={}))
    for event in good_build:
        view(event)
    stream.seek(0)
    assert "ok root.d/08-bootstrap  debian" in stream.read()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("10 %\r20 %\r", "20 %"),
        ("\x1b[1;31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07x", "x"),
        ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("a\tb\x08\x7f\x00c", "a       bc"),
        ("\x9b2Jx", "2Jx"),
        ("\x1b(Bx", "Bx"),
        ("  indented  ", "  indented"),
    ],
)
def test_nothing_that_moves_the_cursor_is_left(text: str, shown: str) -> None:
    assert printable(text) == shown
