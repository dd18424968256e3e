"""The command line with an engine that only says what it is told to: the real one is tested where it builds."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ENGINE = '''\
"""Stands in for the engine: the events of a small build, ended as the element's name asks."""
import os, sys, time, types
from dib_py.errors import ElementError
from dib_py.events import *

def build(plan, settings, *subscribers, store=None):
    how = settings.elements[-1]
    out = Events(*subscribers)
    if how == "refused":
        raise ElementError("element nothing is not there", hint="did you mean bash?")
    if how == "buggy":
        raise RuntimeError("the engine is broken")
    out.emit(BuildStarted(settings.image_name, list(settings.elements), "host", 2))
    out.emit(PhaseStarted("install"))
    out.emit(StepStarted(0, "install", "vm", "10-a"))
    for number in range(20000 if how == "talks" else 2):
        out.emit(StepOutput(f"line {number} \\ufffd"))
    out.emit(StepFinished(0, "install", "vm", "10-a", 0, 0.5))
    out.emit(StepStarted(1, "install", how, "20-b"))
    out.emit(StepOutput("last words"))
    if how == "slow":
        time.sleep(1.5)
    if how == "fails":
        out.emit(StepFinished(1, "install", how, "20-b", 7, 0.5))
        said = "install.d/20-b of element fails failed with exit code 7"
        out.emit(BuildFailed(said, "", 7, "install", how, "20-b", ["last words"]))
        return 7
    out.emit(StepFinished(1, "install", how, "20-b", 0, 0.5))
    out.emit(OutputWritten(settings.image_name + ".qcow2", "qcow2", 1024))
    out.emit(BuildFinished(1.5))
    return 0

engine = types.ModuleType("dib_py.build")
engine.build = build
planner = types.ModuleType("dib_py.plan")
planner.make_plan = lambda settings, **options: None
sys.modules["dib_py.build"] = engine
sys.modules["dib_py.plan"] = planner

from dib_py.cli import main
sys.exit(main(program=os.environ.pop("PROGRAM", "dib-py")))
'''

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def command(tmp_path: Path) -> list[str]:
    """The argv that starts dib-py on the stand-in engine."""
    script = tmp_path / "engine.py"
    script.write_text(ENGINE)
    return [sys.executable, str(script)]


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    kept = ("PATH", "PYTHONPATH")
    return {
        **{name: os.environ[name] for name in kept if name in os.environ},
        "XDG_STATE_HOME": str(tmp_path / "state"),
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
    }


@pytest.fixture
def run(command: list[str], environ: dict[str, str], tmp_path: Path) -> Run:
    def start(*argv: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*command, *argv],
            env={**environ, **variables},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            errors="surrogateescape",
            timeout=60,
            check=False,
        )

    return start


@pytest.fixture
def logs(tmp_path: Path) -> Callable[[], list[Path]]:
    return lambda: sorted((tmp_path / "state" / "dib-py" / "log").glob("*.log"))
