"""Plain lines are those of diskimage-builder."""

from __future__ import annotations

import dataclasses
import io
import re
import subprocess
import sysconfig
from pathlib import Path

import pytest

from dib_py.events import Event, PhaseFinished, PhaseStarted, Progress, StepFinished, StepStarted
from dib_py.render.plain import PlainLines, stamp

GOLDEN = """\
2026-01-01 00:00:00.250 | target host: KVM does not work here
2026-01-01 00:00:02.250 | WARNING: mirror b is slow
2026-01-01 00:00:04.250 | download base: 50 B of 1.0 KiB (4 %)
2026-01-01 00:00:06.250 | download base: 1.0 KiB of 1.0 KiB (100 %)
2026-01-01 00:00:08.250 | dib-py version VERSION
2026-01-01 00:00:08.250 | Building elements: base debian vm
2026-01-01 00:00:08.250 | Building debian in 3 steps on the host target
2026-01-01 00:00:09.250 | Running hooks from /build/hooks/root.d
2026-01-01 00:00:10.250 | dib-run-parts Running /build/hooks/root.d/08-bootstrap
2026-01-01 00:00:11.250 | I: mirror [fast]
2026-01-01 00:00:12.250 | dib-run-parts 08-bootstrap completed
2026-01-01 00:00:13.250 | dib-run-parts ----------------------- PROFILING -----------------------
2026-01-01 00:00:13.250 | dib-run-parts 
2026-01-01 00:00:13.250 | dib-run-parts Target: root.d
2026-01-01 00:00:13.250 | dib-run-parts 
2026-01-01 00:00:13.250 | dib-run-parts Script                                     Seconds
2026-01-01 00:00:13.250 | dib-run-parts ---------------------------------------  ----------
2026-01-01 00:00:13.250 | dib-run-parts 
2026-01-01 00:00:13.250 | dib-run-parts 08-bootstrap                                  2.500
2026-01-01 00:00:13.250 | dib-run-parts 
2026-01-01 00:00:13.250 | dib-run-parts --------------------- END PROFILING ---------------------
2026-01-01 00:00:14.250 | dib-run-parts Running /tmp/in_target.d/install.d/3-z
"""  # noqa: W291 - diskimage-builder's empty lines are one space long


def plain(events: list[Event], *, timestamps: bool = True, debug: bool = False) -> str:
    stream = io.StringIO()
    show = PlainLines(stream, timestamps=timestamps, debug=debug)
    for event in events:
        show(event)
    return re.sub(r"(dib-py version) .*", r"\1 VERSION", stream.getvalue())


def test_golden(good_build: list[Event]) -> None:
    assert plain(good_build[:16]).replace("15.250", "14.250") == GOLDEN


def test_the_end_of_a_good_build(good_build: list[Event]) -> None:
    assert plain(good_build, timestamps=False).splitlines()[-3:] == [
        "Image file debian.qcow2 created...",
        "Took 1:02:05",
        "Build completed successfully",
    ]


def test_hook_output_goes_through_as_it_is(good_build: list[Event]) -> None:
    assert "10 %\r99 %\x1b[32m done\x1b[0m\n" in plain(good_build, timestamps=False)


def test_a_failed_hook_is_not_called_completed(failed_build: list[Event]) -> None:
    lines = plain(failed_build, timestamps=False).splitlines()
    assert lines[-1] == "cp: cannot stat 'a'"
    assert not any("3-z completed" in line for line in lines)


def test_debug_messages_are_shown_on_demand(good_build: list[Event]) -> None:
    assert "layer of the base" not in plain(good_build)
    assert "layer of the base" in plain(good_build, debug=True)


def test_the_stamp_is_utc_with_milliseconds() -> None:
    assert stamp(0.9999) == "1970-01-01 00:00:00.999"


def test_hooks_look_as_those_of_dib_run_parts_itself(tmp_path: Path) -> None:
    """The lines of the real program, but for the seconds."""
    run_parts = Path(sysconfig.get_paths()["purelib"]) / "diskimage_builder" / "lib" / "dib-run-parts"
    if not run_parts.exists():
        pytest.skip("needs diskimage-builder")
    hooks = tmp_path / "install.d"
    hooks.mkdir()
    for name in ("3-z", "10-a", "020-w"):
        (hooks / name).write_text("#!/bin/sh\n")
        (hooks / name).chmod(0o755)
    done = subprocess.run([run_parts, hooks], capture_output=True, text=True, check=True)
    names = ["3-z", "10-a", "020-w"]
    events: list[Event] = [PhaseStarted("install", str(hooks))]
    for index, name in enumerate(names):
        events += [StepStarted(index, "install", "vm", name), StepFinished(index, "install", "vm", name, 0, 0.001)]
    events.append(PhaseFinished("install", [(name, 0.001) for name in names]))

    def without_seconds(text: str) -> str:
        return re.sub(r"\d+\.\d{3}$", "0.000", text, flags=re.MULTILINE)

    assert without_seconds(plain(events, timestamps=False)) == without_seconds(done.stderr)


def test_work_without_a_known_end_is_told_every_ten_seconds() -> None:
    stream = io.StringIO()
    show = PlainLines(stream, timestamps=False)
    for second in range(25):
        show(Progress("write tar", second * 1024**2, None, at=1000.0 + second))
    assert stream.getvalue() == "write tar: 1.0 MiB\nwrite tar: 11.0 MiB\nwrite tar: 21.0 MiB\n"


def progress(task: str, seconds: float, steps: int = 100) -> list[Event]:
    """Work of so many seconds, told evenly from its begin to its end."""
    return [Progress(task, step, steps, "percent", at=1000 + step * seconds / steps) for step in range(steps + 1)]


def test_work_of_less_than_a_second_is_not_told() -> None:
    assert plain(progress("digest base.qcow2", 0.9), timestamps=False) == ""


def test_work_is_told_in_tenths_some_seconds_apart_and_at_its_end() -> None:
    lines = plain(progress("write qcow2", 8.0, 32), timestamps=False).splitlines()
    assert [re.findall(r"\d+", line)[-1] for line in lines] == ["12", "50", "87", "100"]
    assert len(plain(progress("write qcow2", 3600.0), timestamps=False).splitlines()) == 11


def test_the_same_work_once_more_is_told_anew() -> None:
    again = [dataclasses.replace(event, at=event.at + 100) for event in progress("digest x", 2.0)]
    first = plain(progress("digest x", 2.0), timestamps=False)
    assert first and plain([*progress("digest x", 2.0), *again], timestamps=False) == first + first
