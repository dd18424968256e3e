"""One build as the events of it, for every renderer."""

from __future__ import annotations

import pytest

from dib_py.events import (
    BuildFailed,
    BuildFinished,
    BuildStarted,
    Event,
    Message,
    OutputWritten,
    PhaseFinished,
    PhaseStarted,
    Progress,
    StepFinished,
    StepOutput,
    StepStarted,
)

START = 1767225600.0  # 2026-01-01 00:00:00 UTC


@pytest.fixture
def good_build() -> list[Event]:
    clock = iter(range(100))

    def at() -> float:
        return START + next(clock) + 0.25

    return [
        Message("info", "target host: KVM does not work here", at=at()),
        Message("debug", "layer of the base", at=at()),
        Message("warning", "mirror b is slow", at=at()),
        Progress("download base", 0, 1024, at=at()),
        Progress("download base", 50, 1024, at=at()),
        Progress("download base", 512, 1024, at=at()),
        Progress("download base", 1024, 1024, at=at()),
        Progress("index", 3, None, "files", at=at()),
        BuildStarted("debian", ["base", "debian", "vm"], "host", 3, at=at()),
        PhaseStarted("root", "/build/hooks/root.d", at=at()),
        StepStarted(0, "root", "debian", "08-bootstrap", at=at()),
        StepOutput("I: mirror [fast]", at=at()),
        StepFinished(0, "root", "debian", "08-bootstrap", 0, 2.5, at=at()),
        PhaseFinished("root", [("08-bootstrap", 2.5)], at=at()),
        PhaseStarted("install", at=at()),
        StepStarted(1, "install", "vm", "3-z", at=at()),
        StepOutput("", at=at()),
        StepOutput("10 %\r99 %\x1b[32m done\x1b[0m", at=at()),
        StepFinished(1, "install", "vm", "3-z", 0, 0.5, at=at()),
        StepStarted(2, "install", "debian", "10-a", at=at()),
        StepFinished(2, "install", "debian", "10-a", 0, 61.0, at=at()),
        PhaseFinished("install", [("3-z", 0.5), ("10-a", 61.0)], at=at()),
        OutputWritten("debian.qcow2", "qcow2", 340 * 1024**2, at=at()),
        BuildFinished(3725.5, at=at()),
    ]


@pytest.fixture
def failed_build(good_build: list[Event]) -> list[Event]:
    begun = good_build[:16]
    failure = BuildFailed(
        "install.d/3-z of element vm failed with exit code 7",
        "",
        7,
        "install",
        "vm",
        "install.d/3-z",
        ["+ cp a b", "cp: cannot stat 'a'"],
        at=START + 60,
    )
    return [*begun, StepOutput("cp: cannot stat 'a'"), StepFinished(1, "install", "vm", "3-z", 7, 0.5), failure]
