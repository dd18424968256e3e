"""What a build shows where: terminal, pipe, JSON, log and the report of a failure."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

Run = Callable[..., "subprocess.CompletedProcess[str]"]
Logs = Callable[[], list[Path]]

STAMP = re.compile(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} \| ", re.MULTILINE)


def test_a_pipe_gets_plain_lines(run: Run) -> None:
    done = run("-o", "x", "vm")
    assert done.returncode == 0
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    assert all(STAMP.match(line) for line in lines)
    assert STAMP.sub("", lines[-1]) == "Build completed successfully"
    assert STAMP.sub("", lines[4]) == "line 0 \N{REPLACEMENT CHARACTER}"


def test_timestamps_can_be_left_out(run: Run) -> None:
    assert run("vm", DIB_NO_TIMESTAMP="1").stdout.splitlines()[-1] == "Build completed successfully"


def test_json(run: Run) -> None:
    done = run("--log-format", "json", "fails")
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 7
    assert [event["event"] for event in events][:2] == ["BuildStarted", "PhaseStarted"]
    assert events[-1]["event"] == "BuildFailed"


def test_a_failed_build_ends_with_its_report(run: Run, logs: Logs) -> None:
    done = run("-o", "my image", "fails", DIB_RELEASE="bookworm", DIB_X_TOKEN="hunter2")
    (log,) = logs()
    assert done.returncode == 7
    assert done.stderr == (
        "dib-py: error: install.d/20-b of element fails failed with exit code 7\n\n"
        "  hook       install.d/20-b\n"
        "  element    fails\n"
        "  exit code  7\n"
        f"  log        {log}\n"
        "  replay     DIB_RELEASE=bookworm DIB_X_TOKEN=\"$DIB_X_TOKEN\" dib-py -o 'my image' fails\n\n"
        "  The last line of its output:\n"
        "    last words\n"
    )
    assert log.read_text().endswith(done.stderr)


def test_quiet_says_only_what_went_wrong(run: Run, logs: Logs) -> None:
    good = run("-q", "vm")
    assert (good.returncode, good.stdout, good.stderr) == (0, "", "")
    assert "last words" in logs()[0].read_text()
    bad = run("-q", "fails")
    assert (bad.returncode, bad.stdout) == (7, "")
    assert "last words" in bad.stderr


def test_a_named_log_is_appended_to_and_quietens_the_rest(run: Run, logs: Logs, tmp_path: Path) -> None:
    for _ in range(2):
        assert run("--logfile", "build.log", "vm").stdout == "Output logs going to: build.log\n"
    assert (tmp_path / "build.log").read_text().count("Build completed successfully") == 2
    assert logs() == []
    both = run("--logfile", "build.log", "vm", DIB_QUIET="0").stdout
    assert both.startswith("Output logs going to: build.log\n")
    assert "Build completed successfully" in both
    assert run("-q", "--logfile", "build.log", "vm").stdout == ""


def test_a_named_log_may_be_json(run: Run, tmp_path: Path) -> None:
    run("--logfile", "build.log", "--log-format", "json", "vm")
    assert json.loads((tmp_path / "build.log").read_text().splitlines()[-1])["event"] == "BuildFinished"


def test_a_log_that_cannot_be_written(run: Run, tmp_path: Path) -> None:
    named = run("--logfile", "none/build.log", "vm")
    assert named.returncode == 1
    assert "--logfile: none/build.log can't be written" in named.stderr
    (tmp_path / "state").write_text("in the way")
    own = run("vm")
    assert own.returncode == 0
    assert own.stderr.startswith("dib-py: warning: no log is kept: ")


def test_a_terminal_without_utf8_survives_any_line(run: Run) -> None:
    done = run("vm", PYTHONIOENCODING="ascii")
    assert done.returncode == 0
    assert "line 0 \\ufffd" in done.stdout


def test_a_terminal_gets_the_live_view(command: list[str], environ: dict[str, str], tmp_path: Path) -> None:
    leader, follower = pty.openpty()
    with subprocess.Popen(
        [*command, "slow"],
        env={**environ, "TERM": "xterm", "COLUMNS": "80", "LINES": "24", "PYTHONIOENCODING": "utf-8"},
        cwd=tmp_path,
        stdin=follower,
        stdout=follower,
        stderr=follower,
    ) as process:
        os.close(follower)
        shown = read_terminal(leader)
        assert process.wait(60) == 0
    os.close(leader)
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown)
    assert "✓ install.d/10-a  vm" in text
    assert "step 2 of 2  0:01" in text  # the clock moved although no event came
    assert "  last words" in text
    assert "done in 1.5 s" in text
    assert "Running" not in text
    assert shown.rstrip().endswith("\x1b[0m") or shown.rindex("\x1b[?25h") > shown.rindex("\x1b[?25l")


def test_a_dumb_terminal_gets_plain_lines(command: list[str], environ: dict[str, str], tmp_path: Path) -> None:
    leader, follower = pty.openpty()
    with subprocess.Popen(
        [*command, "vm"], env={**environ, "TERM": "dumb"}, cwd=tmp_path, stdout=follower, stderr=follower
    ) as process:
        os.close(follower)
        shown = read_terminal(leader)
        assert process.wait(60) == 0
    os.close(leader)
    assert "dib-run-parts Running /tmp/in_target.d/install.d/10-a" in shown


def read_terminal(leader: int) -> str:
    """All that is written until the other side closes, two minutes at most."""
    shown = b""
    limit = time.monotonic() + 120
    while time.monotonic() < limit:
        if not select.select([leader], [], [], 1)[0]:
            continue
        try:
            chunk = os.read(leader, 65536)
        except OSError:  # EIO: nobody has it open any more
            break
        shown += chunk
    return shown.decode()
