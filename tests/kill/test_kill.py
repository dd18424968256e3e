"""Kill the supervisor with SIGKILL wherever it is: nothing of the build stays, and the next run sweeps the rest."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dib_py import sweep
from tests.kill import machine
from tests.kill.synthetic import STAGES

pytestmark = [pytest.mark.root, pytest.mark.alone, pytest.mark.timeout(1800)]

SYNTHETIC = Path(__file__).with_name("synthetic.py")
ROOT = Path(__file__).parents[2]
KILLS = int(os.environ.get("DIB_PY_KILLS", "100"))


class Build:
    """A synthetic build at work."""

    def __init__(self, directory: Path, stage: str | None = None) -> None:
        self.directory = directory
        env = {**os.environ, "SYNTHETIC_OUTPUT": str(directory / "image.qcow2"), "PYTHONPATH": str(ROOT)}
        argv = [sys.executable, str(SYNTHETIC), str(directory), *([stage] if stage else [])]
        self.process = subprocess.Popen(argv, env=env, stdout=subprocess.PIPE, text=True)

    def wait_for(self, text: str) -> None:
        assert self.process.stdout is not None
        if not any(line.strip() == text for line in self.process.stdout):
            pytest.fail(f"the build ended before {text}")

    def end_by(self, number: signal.Signals) -> list[str]:
        """Send a signal to the one process that the user sees; returns what is left when that has ended."""
        names = [path.name for path in self.directory.glob(f"{sweep.BUILD_PREFIX}*")]
        noted = machine.descendants(self.process.pid)
        self.process.send_signal(number)
        self.process.wait(60)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return machine.settled(noted, names[0] if names else "none", self.directory)

    def files(self) -> list[Path]:
        """What is in the build's directory on the host, and the records of builds there."""
        return [*self.directory.iterdir(), *self.records()]

    def state(self) -> str:
        """What the records say, and who has files of the build open, for the message of a failure."""
        said = [f"{path}: {path.read_text()}" for path in self.records()]
        users = subprocess.run(["fuser", "-v", *self.files()], capture_output=True, text=True)
        return "\n".join([*said, users.stdout, users.stderr])

    def records(self) -> list[Path]:
        every = (sweep.state_directory() / "builds").iterdir()
        return [path for path in every if str(self.directory) in path.read_text()]


def _kill(build: Build, where: str) -> None:
    assert build.end_by(signal.SIGKILL) == [], where
    assert machine.sync_returns(), where
    sweep.sweep()
    deadline = time.monotonic() + 60  # a build that somebody else starts now may be sweeping the same record
    while build.files() and time.monotonic() < deadline:
        time.sleep(0.2)
    assert build.files() == [], (where, build.state())
    assert machine.stale_nodes() == set(), where


@pytest.mark.slow
@pytest.mark.parametrize("stage", STAGES)
def test_killed_inside_a_stage(stage: str, tmp_path: Path) -> None:
    chance = random.Random(stage)
    for _ in range(2):
        build = Build(tmp_path, stage)
        build.wait_for(stage)
        time.sleep(chance.uniform(0.05, 0.6))  # a stage that is shorter than that is entered again and again
        _kill(build, stage)


@pytest.mark.slow
def test_killed_at_random_moments(tmp_path: Path) -> None:
    seed = int(os.environ.get("DIB_PY_KILL_SEED", str(random.randrange(2**32))))
    print(f"seed {seed}: repeat with DIB_PY_KILL_SEED={seed}")
    chance = random.Random(seed)
    longest = _duration(tmp_path)
    for turn in range(KILLS):
        moment = chance.uniform(0.0, longest)
        build = Build(tmp_path)
        time.sleep(moment)
        _kill(build, f"seed {seed}, turn {turn}, after {moment:.3f} s")


def _duration(directory: Path) -> float:
    started = time.monotonic()
    build = Build(directory)
    output, _ = build.process.communicate(timeout=120)
    assert build.process.returncode == 0, output
    assert output.split() == list(STAGES)
    assert build.files() == []
    return time.monotonic() - started


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_interrupted(number: signal.Signals, tmp_path: Path) -> None:
    build = Build(tmp_path, "write")
    build.wait_for("write")
    time.sleep(0.3)
    started = time.monotonic()
    assert build.end_by(number) == []
    assert time.monotonic() - started < 60
    assert build.process.returncode == 128 + number
    assert build.files() == []
    assert machine.stale_nodes() == set()


def test_interrupted_in_the_background_of_a_script(tmp_path: Path) -> None:
    """A shell without job control starts background jobs with SIGINT ignored; ours cleans up all the same."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        build = Build(tmp_path, "write")
    finally:
        signal.signal(signal.SIGINT, before)
    build.wait_for("write")
    assert build.end_by(signal.SIGINT) == []
    assert build.process.returncode == 130


def test_two_builds_at_once(tmp_path: Path) -> None:
    directories = [tmp_path / "one", tmp_path / "two"]
    for directory in directories:
        directory.mkdir()
    killed, finishes = Build(directories[0], "expose"), Build(directories[1])
    killed.wait_for("expose")
    finishes.wait_for("mount")
    noted = machine.descendants(killed.process.pid)
    killed.process.kill()
    killed.process.communicate()
    sweep.sweep()  # as a third build would, while the second is at work
    output, _ = finishes.process.communicate(timeout=120)
    assert finishes.process.returncode == 0, output
    assert machine.settled(noted, "none", tmp_path) == []
    assert killed.files() == finishes.files() == []


def test_a_killed_build_is_swept_by_the_next(tmp_path: Path) -> None:
    killed = Build(tmp_path, "expose")
    killed.wait_for("expose")
    (record,) = killed.records()
    named = [json.loads(line)[0] for line in record.read_text().splitlines()]
    assert {sweep.DIRECTORY, sweep.PARTIAL, sweep.FUSE} <= set(named)
    assert killed.end_by(signal.SIGKILL) == []
    assert list(tmp_path.iterdir()) != []
    following = Build(tmp_path)
    output, _ = following.process.communicate(timeout=120)
    assert following.process.returncode == 0
    assert "had left" in output
    assert following.files() == []
    assert machine.stale_nodes() == set()
