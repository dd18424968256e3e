"""What is said of a verification, in a pipe and on a terminal."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from dib_py.events import (
    CheckFinished,
    CheckStarted,
    ConsoleOutput,
    Event,
    MachineEnded,
    MachineStarted,
    StageReached,
    VerificationFinished,
    VerificationStarted,
    from_json,
    to_json,
)
from dib_py.render.plain import PlainLines
from dib_py.render.terminal import LiveView

START = 1767225600.0  # 2026-01-01 00:00:00 UTC
REASON = "the root filesystem has 1.6 GiB of a disk of 4.0 GiB"
PLAIN = f"""\
Verifying debian.qcow2: 3 checks of the openstack profile
boot 1: tcg, BIOS
boot 1: kernel after 6.8 s
boot 1: login after 1:01
passed   boots (1:01)
failed   growroot (0.6 s): {REASON}
boot 1: it switched itself off
not run  qga: the guest agent does not answer
debian.qcow2: failed: growroot: {REASON}
Took 1:22
More in /images/debian.qcow2.verdict.html
"""
LIVE = f"""\
debian.qcow2: 3 checks of the openstack profile
✓ boots                                                     1:01
✗ growroot                                                 0.6 s
  {REASON}
- qga                                                    not run
  the guest agent does not answer
debian.qcow2: failed: growroot: {REASON}
Took 1:22
More in /images/debian.qcow2.verdict.html
"""


@pytest.fixture
def verification() -> list[Event]:
    image = "/images/debian.qcow2"
    page = f"{image}.verdict.html"
    return [
        VerificationStarted(image, "openstack", ["boots", "growroot", "qga"], at=START),
        CheckStarted("boots", at=START + 1),
        MachineStarted(1, "tcg", "BIOS", at=START + 1),
        StageReached(1, "kernel", 6.8, at=START + 8),
        ConsoleOutput("[    0.0] Linux version 6.1\x1b[2J", at=START + 8),
        StageReached(1, "login", 61.2, at=START + 62),
        CheckFinished("boots", "passed", "", 61.2, at=START + 62),
        CheckStarted("growroot", at=START + 62),
        CheckFinished("growroot", "failed", REASON, 0.6, at=START + 63),
        MachineEnded(1, "it switched itself off", at=START + 80),
        CheckFinished("qga", "not run", "the guest agent\ndoes not answer\x1b[31m", 0.0, at=START + 80),
        VerificationFinished(image, "failed", f"growroot: {REASON}", 82.5, None, [page], at=START + 82.5),
    ]


def plain(*said: Event) -> str:
    stream = io.StringIO()
    show = PlainLines(stream, timestamps=False)
    for event in said:
        show(event)
    return stream.getvalue()


def live(*said: Event, width: int = 64, verbosity: int = 0) -> tuple[LiveView, str]:
    stream = io.StringIO()
    console = Console(file=stream, width=width, highlight=False, force_terminal=False, _environ={})
    view = LiveView(console, verbosity=verbosity)
    for event in said:
        view(event)
    return view, "".join(f"{line.rstrip()}\n" for line in stream.getvalue().splitlines())


def bottom(view: LiveView) -> list[str]:
    show = Console(file=io.StringIO(), width=100, force_terminal=False, _environ={})
    with show.capture() as capture:
        show.print(view._draw())
    return [line.rstrip() for line in capture.get().splitlines()]


def test_a_pipe_is_told_in_lines(verification: list[Event]) -> None:
    assert plain(*verification) == PLAIN


def test_lines_have_their_times_where_a_build_has_them(verification: list[Event]) -> None:
    stream = io.StringIO()
    PlainLines(stream)(verification[2])
    assert stream.getvalue() == "2026-01-01 00:00:01.000 | boot 1: tcg, BIOS\n"


def test_on_a_terminal_checks_scroll_by(verification: list[Event]) -> None:
    _, said = live(*verification)
    assert said == LIVE


def test_reasons_are_whole_on_a_small_terminal(verification: list[Event]) -> None:
    _, said = live(*verification, width=30)
    assert f"  {REASON}\n" in said


def test_stages_are_shown_on_demand(verification: list[Event]) -> None:
    _, said = live(*verification, verbosity=1)
    assert "    boot 1: kernel after 6.8 s\n" in said


def test_the_bottom_shows_stage_checks_at_work_and_the_consoles_last_line(verification: list[Event]) -> None:
    view, _ = live(*verification[:1])
    assert "reading the image" in bottom(view)[0]
    view, _ = live(*verification[:5])
    first, last = bottom(view)
    assert "boot 1: kernel  boots" in first
    assert "0 of 3 checks" in first
    assert last == "  [    0.0] Linux version 6.1"
    view, _ = live(*verification[:10])
    assert "2 of 3 checks" in bottom(view)[0]
    assert "reading the image" in bottom(view)[0]
    assert len(bottom(view)) == 1
    view, _ = live(*verification[:11])
    assert "finishing" in bottom(view)[0]


def test_a_guest_that_did_not_come_up_has_its_last_words_shown() -> None:
    tail = ["[    9.1] VFS: Unable to mount root fs", "[    9.2] Kernel panic - not syncing\x1b[5m"]
    end = VerificationFinished("/images/a.qcow2", "failed", "kernel panic (it came to: kernel)", 20.0, None, [], tail)
    shown = (
        "The console's last lines:\n"
        "    [    9.1] VFS: Unable to mount root fs\n"
        "    [    9.2] Kernel panic - not syncing\n"
    )
    assert shown in plain(end)
    assert shown in live(end)[1]
    assert plain(end).startswith("a.qcow2: failed: kernel panic (it came to: kernel)\n")


def test_a_verdict_that_was_known_says_since_when() -> None:
    end = VerificationFinished("a.qcow2", "passed", "", 82.5, START, ["a.qcow2.verdict.html"])
    assert plain(end) == (
        "a.qcow2: passed\nKnown since 2026-01-01 00:00:00 UTC; --again verifies it anew\nMore in a.qcow2.verdict.html\n"
    )


def test_the_events_cross_between_processes(verification: list[Event]) -> None:
    assert [from_json(to_json(event)) for event in verification] == verification
