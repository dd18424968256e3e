"""What is known of an image before it is booted: Windows is not started to find out what it is."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest

from dib_py.events import CheckFinished, Event, Events, Message
from dib_py.verify import verification
from dib_py.verify.board import Board
from dib_py.verify.boot import Boot
from dib_py.verify.checks import Check, Finding, Need, Subject, failed, passed
from dib_py.verify.limits import TCG
from dib_py.verify.namespace import apart
from dib_py.verify.result import Outcome, Result, Stage, Verdict
from dib_py.verify.run import Run
from dib_py.verify.verification import Order, Verification, identity
from tests.verify.checks.fakes import Reader

WINDOWS, LINUX = "EBD0A0A2-B9E5-4433-87C0-68B6B72699C7", "L"
ONLY_READ = "images of Windows can't be booted here, only read"


class Boots:
    name: ClassVar[str] = "boots"
    proves: ClassVar[str] = "It comes up."
    version: ClassVar[int] = 1
    profiles: ClassVar[frozenset[str]] = frozenset({"openstack"})
    needs: ClassVar[frozenset[Need]] = frozenset({Need.MACHINE})
    boot: ClassVar[int] = 1

    def run(self, subject: Subject) -> Finding:
        return failed("it does not come up")


class Reads(Boots):
    name: ClassVar[str] = "reads"
    needs: ClassVar[frozenset[Need]] = frozenset({Need.IMAGE})

    def run(self, subject: Subject) -> Finding:
        return passed() if subject.image.system == "windows" else failed(subject.image.system)


class Offline:
    """An appliance that finds Windows on the image, later than the machine would have been started."""

    def __init__(self, *about: Any, **more: Any) -> None:
        pass

    def __enter__(self) -> Offline:
        return self

    def image(self) -> Reader:
        time.sleep(0.5)
        return Reader({}, system="windows")

    def close(self) -> None:
        pass


class Started(Exception):
    """The machine was switched on."""


def disk(tmp_path: Path, label: str, kind: str) -> Path:
    path = tmp_path / "image.raw"
    with path.open("wb") as file:
        file.truncate(16 * 1024**2)
    table = f"label: {label}\nsize=2MiB, type={kind}\n"
    subprocess.run(["sfdisk", "--quiet", path], input=table, text=True, check=True, stdout=subprocess.DEVNULL)
    return path


def verified(
    tmp_path: Path,
    image: Path,
    monkeypatch: pytest.MonkeyPatch,
    checks: tuple[Check, ...] = (),
    told: Callable[[Event], None] = lambda event: None,
) -> Verdict:
    def start(self: Boot) -> Boot:
        raise Started

    monkeypatch.setattr(verification, "Offline", Offline)
    monkeypatch.setattr(Boot, "__enter__", start)
    size = image.stat().st_size
    order = Order(
        *(image, image, "raw", size, "blake2b:1", checks or (Boots(), Reads()), "openstack", TCG),
        kvm=False,
        memory=64,
        terms={},
        identity=identity(image),
    )
    return apart(Verification(order, tmp_path / "work", Events(told)).run)


@pytest.mark.root
@pytest.mark.parametrize(("label", "kind"), [("gpt", WINDOWS), ("dos", "7")])
def test_windows_is_only_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, label: str, kind: str) -> None:
    verdict = verified(tmp_path, disk(tmp_path, label, kind), monkeypatch)
    found = {result.check: (result.outcome, result.reason) for result in verdict.results}
    assert found == {"boots": (Outcome.NOT_RUN, ONLY_READ), "reads": (Outcome.PASSED, "")}
    assert (verdict.outcome, verdict.boots, verdict.stage) == (Outcome.NOT_RUN, (), Stage.NOTHING)


@pytest.mark.root
@pytest.mark.parametrize("replaced", [False, True])
def test_a_verdict_on_an_image_that_changes_meanwhile_is_of_no_known_content(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, replaced: bool
) -> None:
    image = disk(tmp_path, "gpt", WINDOWS)

    class Changes(Reads):
        def run(self, subject: Subject) -> Finding:
            if replaced:
                image.with_name("copy").write_bytes(image.read_bytes())
                image.with_name("copy").replace(image)
            else:
                image.touch()
            return passed()

    told: list[Event] = []
    verdict = verified(tmp_path, image, monkeypatch, (Changes(),), told.append)
    assert verdict.digest == "" and verdict.passed
    assert [event.text for event in told if isinstance(event, Message)] == [
        "the image was changed while it was verified: the verdict is not kept for another time"
    ]


@pytest.mark.root
def test_an_image_that_stays_as_it_is_keeps_its_digest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert verified(tmp_path, disk(tmp_path, "gpt", WINDOWS), monkeypatch, (Reads(),)).digest == "blake2b:1"


@pytest.mark.root
def test_others_need_not_wait_until_they_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Started):
        verified(tmp_path, disk(tmp_path, "gpt", LINUX), monkeypatch)


def test_what_a_boot_proves_of_an_image_for_other_machines_is_told_as_in_the_verdict() -> None:
    told: list[Event] = []

    def judged(check: Check, result: Result) -> Result:
        return Result(check.name, check.proves, Outcome.NOT_RUN, "it is for aarch64")

    board, subject = Board(), object()
    board.up(Need.MACHINE)
    anything: Any = subject
    run = Run(Boots(), anything, board, 0.0, lambda: 0.0, judged)
    run.start(Events(told.append))
    assert run.wait(60)
    (finished,) = [event for event in told if isinstance(event, CheckFinished)]
    assert (finished.outcome, finished.reason) == ("not run", "it is for aarch64")
