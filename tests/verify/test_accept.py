"""A build's image takes its name only if it passes; guests are of one sector."""

from __future__ import annotations

import json
from pathlib import Path
from typing import ClassVar, cast

import pytest

from dib_py.cli.options import parse
from dib_py.errors import OutputError, UsageError
from dib_py.events import Event, Events, Message, VerificationFinished
from dib_py.isolation import Worker
from dib_py.output import Written
from dib_py.settings import Settings
from dib_py.verify import accept, choice
from dib_py.verify.checks import Check, Finding, Need, Subject, failed, not_run, passed
from tests.verify.sectors import HANG, SWITCH_OFF, guest


class Boots:
    name: ClassVar[str] = "boots"
    proves: ClassVar[str] = "It comes up."
    version: ClassVar[int] = 1
    profiles: ClassVar[frozenset[str]] = frozenset({"openstack"})
    needs: ClassVar[frozenset[Need]] = frozenset({Need.MACHINE})
    boot: ClassVar[int] = 1

    def run(self, subject: Subject) -> Finding:
        return passed() if subject.wait(Need.LOGIN, subject.limits.login) else failed("it does not come up")


class Unknown(Boots):
    name: ClassVar[str] = "unknown"

    def run(self, subject: Subject) -> Finding:
        return not_run("nobody knows")


class FakeWorker:
    """What judging takes of a build's worker."""

    def __init__(self, directory: Path) -> None:
        self.build_dir = directory
        self.told: list[Event] = []
        self.events = Events(self.told.append)


@pytest.fixture
def worker(tmp_path: Path) -> FakeWorker:
    (tmp_path / "build").mkdir()
    return FakeWorker(tmp_path / "build")


def settings(tmp_path: Path, *arguments: str) -> Settings:
    return parse(["--image-cache", str(tmp_path / "cache"), *arguments], {"DIB_PY_KVM": "no"})


def judge(tmp_path: Path, worker: FakeWorker, monkeypatch: pytest.MonkeyPatch, *checks: Check) -> None:
    """Ask whether ``new.partial`` may become ``image.raw``."""
    monkeypatch.setattr(choice, "known", lambda: list(checks))
    ask = accept.judge(settings(tmp_path, "--verify", "-t", "raw"), cast(Worker, worker))
    assert ask is not None
    ask([Written("tgz", tmp_path / "none", tmp_path / "image.tgz"), written(tmp_path)])


def written(tmp_path: Path) -> Written:
    return Written("raw", tmp_path / "new.partial", tmp_path / "image.raw")


@pytest.mark.slow
@pytest.mark.root
def test_an_image_that_passes_may_take_its_name(
    tmp_path: Path, worker: FakeWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    guest(tmp_path / "new.partial", "Linux version 6\nsomebody login: ", HANG)
    judge(tmp_path, worker, monkeypatch, Boots())
    verdict = json.loads((tmp_path / "image.raw.verdict.json").read_text())
    assert verdict["outcome"] == "passed" and verdict["image"] == str(tmp_path / "image.raw")
    assert (tmp_path / "new.partial").exists() and not list(tmp_path.glob("*rejected*"))
    assert [event.outcome for event in worker.told if isinstance(event, VerificationFinished)] == ["passed"]


@pytest.mark.slow
@pytest.mark.root
def test_one_that_fails_is_put_aside_with_its_verdict(
    tmp_path: Path, worker: FakeWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "image.raw").write_text("the old one")
    guest(tmp_path / "new.partial", "Linux version 6\n", SWITCH_OFF)
    content = (tmp_path / "new.partial").read_bytes()
    with pytest.raises(OutputError, match="the image does not pass: the guest switched the machine off") as error:
        judge(tmp_path, worker, monkeypatch, Boots())
    assert "image.rejected.raw.verdict.html" in error.value.hint
    assert (tmp_path / "image.rejected.raw").read_bytes() == content
    assert json.loads((tmp_path / "image.rejected.raw.verdict.json").read_text())["outcome"] == "failed"
    assert (tmp_path / "image.raw").read_text() == "the old one"
    assert not (tmp_path / "new.partial").exists() and not (tmp_path / "image.raw.verdict.json").exists()


@pytest.mark.slow
@pytest.mark.root
def test_what_could_not_be_found_out_is_told_and_not_held_against_it(
    tmp_path: Path, worker: FakeWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    guest(tmp_path / "new.partial", "Linux version 6\nsomebody login: ", HANG)
    judge(tmp_path, worker, monkeypatch, Unknown())
    warnings = [event.text for event in worker.told if isinstance(event, Message) and event.level == "warning"]
    assert warnings == ["the image was not verified as a whole: 1 of 1 checks not run; unknown: nobody knows"]


def test_without_the_option_nothing_is_judged(tmp_path: Path, worker: FakeWorker) -> None:
    assert accept.judge(settings(tmp_path, "-t", "raw"), cast(Worker, worker)) is None


def test_formats_that_nothing_boots_are_refused_before_any_work(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="can't be done with tar, docker"):
        accept.check_formats(settings(tmp_path, "--verify"), ("tar", "docker"))
    with pytest.raises(UsageError, match="no image at all"):
        accept.check_formats(settings(tmp_path, "--verify"), ())
    accept.check_formats(settings(tmp_path), ("tar",))
    accept.check_formats(settings(tmp_path, "--verify"), ("tar", "raw"))
