"""The phases of a Windows image on volumes that are directories: what is done in which order, and what is refused."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from dib_py.element import Catalog
from dib_py.errors import BaseError, DibError, ElementError, TargetError
from dib_py.events import Event, Events, Message, PhaseStarted, StepFinished, StepOutput, StepStarted
from dib_py.isolation import Worker
from dib_py.layers.record import DiskState
from dib_py.opening import Beginning
from dib_py.plan import Plan, make_plan
from dib_py.settings import Settings
from dib_py.state import build_path
from dib_py.target import Output
from dib_py.windows.appliance_target import Volumes, WindowsTarget
from dib_py.windows.image_build import WindowsBuild
from dib_py.windows.volume import Directory
from tests.windows.applying import Subject
from tests.windows.phony import COMPLETE, UNDEPLOYABLE, Guest, plant

REG = "Windows Registry Editor Version 5.00\n\n[HKEY_LOCAL_MACHINE\\{key}]\n{value}\n"
ANSWERS = """<?xml version="1.0" encoding="utf-8"?>
<unattend xmlns="urn:schemas-microsoft-com:unattend"><settings pass="oobeSystem">
<component name="Microsoft-Windows-Shell-Setup" processorArchitecture="amd64" publicKeyToken="31bf3856ad364e35"
 language="neutral" versionScope="nonSxS"><TimeZone>UTC</TimeZone></component></settings></unattend>
"""


@dataclass
class DirectoryTarget:
    """Stands in for the appliance."""

    volumes: Volumes
    directory: Path
    did: list[str] = field(default_factory=list)

    def open_volumes(self, *, discard_session: bool = False) -> Volumes:
        self.did.append("open, session discarded" if discard_session else "open")
        return self.volumes

    def grow(self) -> None:
        self.did.append("grow")

    @contextmanager
    def tree(self) -> Iterator[Path]:
        yield self.directory

    def run_host(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str],
        output: Output,
        timeout: float | None = None,
        cwd: Path | None = None,
    ) -> int:
        done = subprocess.run(argv, env=dict(env), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=cwd)
        output(done.stdout)
        return done.returncode

    def trim(self) -> None:
        self.did.append("trim")

    def unmount(self) -> None:
        self.did.append("unmount")


@dataclass
class Build:
    """A build of elements, made here, on a phony guest."""

    directory: Path
    guest: Guest = field(default_factory=Guest)
    are_writable: bool = True

    def __post_init__(self) -> None:
        self.planted = plant(self.guest, self.directory / "guest")
        self.events: list[Event] = []
        volumes = Volumes(Directory(self.planted.system), Directory(self.planted.boot), self.are_writable)
        self.target = DirectoryTarget(volumes, self.directory)
        (self.directory / "scratch").mkdir()
        (self.directory / "base.qcow2").touch()
        self.element("panes", element_provides="operating-system\n", os_family="windows\n")

    def element(self, name: str, files: Mapping[str, str] | None = None, **top: str) -> None:
        texts = {file.replace("_", "-"): text for file, text in top.items()} | dict(files or {})
        for file, text in texts.items():
            path = self.directory / "elements" / name / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            if text.startswith("#!"):
                path.chmod(0o755)

    def registry(self, name: str, number: str, key: str, value: str) -> None:
        self.element(name, {f"registry.d/{number}-{name}.reg": REG.format(key=key, value=value)})

    def plan(self, *names: str, **environ: str) -> Plan:
        catalog = Catalog.load([self.directory / "elements"], builtin=self.directory / "elements")
        settings = Settings(elements=("panes", *names), base=str(self.directory / "base.qcow2"), environ=environ)
        return make_plan(settings, catalog)

    def run(self, *names: str, image_size: int | None = None, **environ: str) -> None:
        plan = self.plan(*names, PATH="/usr/sbin:/usr/bin:/sbin:/bin", **environ)
        place = build_path()  # where a plan expects what hooks fetch
        place.mkdir(parents=True, exist_ok=True)
        plan.stage(place / "hooks")
        worker: Any = SimpleNamespace(build_dir=place, events=Events(self.events.append))
        disk: Any = SimpleNamespace(top=self.directory / "disk.qcow2", size=1, capacity=1)
        settings = replace(plan.settings, image_size=image_size)
        WindowsBuild(
            plan,
            settings,
            disk,
            cast(WindowsTarget, self.target),
            cast(Worker, worker),
            Beginning(DiskState(1, 1)),
        ).run()

    @property
    def state(self) -> dict[str, str | bytes]:
        return Subject(self.planted, self.directory / "scratch").state()

    def of_kind(self, kind: type[Event]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]


@pytest.fixture(autouse=True)
def _own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dib_py.state.state_path", lambda: tmp_path / "state")


@pytest.fixture
def build(tmp_path: Path) -> Build:
    return Build(tmp_path)


def test_all_phases(build: Build) -> None:
    build.registry("late", "60", r"SOFTWARE\Both", '"x"="late"')
    build.registry("early", "50", r"SOFTWARE\Both", '"x"="early"')
    build.element("placed", {"files/windows/placed.txt": "here\n"})
    build.element("answers", {"unattend.d/50-answers.xml": ANSWERS})
    build.run("late", "early", "placed", "answers")
    assert build.target.did == ["open", "trim", "unmount"]
    assert [event.phase for event in build.of_kind(PhaseStarted)] == ["pre-install", "install", "post-install"]
    started = [event.name for event in build.of_kind(StepStarted)]
    assert started == [
        "placed/files",
        "early/registry.d/50-early.reg",
        "late/registry.d/60-late.reg",
        "answers/unattend.d/50-answers.xml",
    ]
    assert [event.exit_code for event in build.of_kind(StepFinished)] == [0] * 4
    assert build.planted.file("Windows/placed.txt").read_text() == "here\n"
    value = build.planted.hive("SOFTWARE").value("Both", "x")
    assert value is not None and value.text == "late"
    assert build.planted.file("Windows/Panther/unattend.xml").exists()


def test_hives_are_written_once_for_a_phase(build: Build) -> None:
    for number in range(4):
        build.registry(f"one{number}", "50", rf"SYSTEM\One{number}", '"x"=dword:00000001')
    before = build.planted.hive_file("SYSTEM").read_bytes()[4:8]
    build.run(*(f"one{number}" for number in range(4)))
    after = build.planted.hive_file("SYSTEM").read_bytes()[4:8]
    # hivex counts every time that it writes
    assert int.from_bytes(after, "little") == int.from_bytes(before, "little") + 1
    told = [event.text for event in build.of_kind(Message) if "written" in event.text]
    assert told == [r"install.d: HKLM\SYSTEM written"]


def test_a_second_time_changes_nothing(build: Build) -> None:
    build.registry("one", "50", r"SYSTEM\CurrentControlSet\Control\One", '"x"=dword:00000001')
    build.element("placed", {"files/windows/placed.txt": "here\n"})
    build.run("one", "placed")
    once = build.state
    build.run("one", "placed")
    assert build.state == once


def test_what_is_fetched_is_placed(build: Build) -> None:
    build.element(
        "fetched",
        {
            "extra-data.d/50-fetch": '#!/bin/bash\necho "from $DIB_WHERE"; echo got >"$TMP_HOOKS_PATH/tool.txt"\n',
            "files.yaml": "- {path: 'C:\\Tools\\tool.txt', fetched: tool.txt}\n",
        },
    )
    build.run("fetched", DIB_WHERE="afar")
    assert [event.text for event in build.of_kind(StepOutput)][:1] == ["from afar"]
    assert build.planted.file("Tools/tool.txt").read_text().split() == ["got"]


@pytest.mark.parametrize(
    ("guest", "message"),
    [
        (Guest(hibernated=True), "hibernated"),
        (Guest(dirty=("SYSTEM",)), "did not finish writing"),
        (Guest(image_state=COMPLETE), "no answer file"),
        (Guest(image_state=UNDEPLOYABLE), "did not come to an end"),
    ],
    ids=["hibernated", "dirty", "complete", "undeployable"],
)
def test_it_is_refused_before_anything_is_changed(tmp_path: Path, guest: Guest, message: str) -> None:
    build = Build(tmp_path, guest)
    build.registry("one", "50", r"SYSTEM\One", '"x"="y"')
    build.element("placed", {"files/windows/placed.txt": "here\n"})
    build.element("answers", {"unattend.d/50-answers.xml": ANSWERS})
    before = build.state
    with pytest.raises(BaseError, match=message):
        build.run("one", "placed", "answers")
    assert build.state == before
    assert "unmount" not in build.target.did


@pytest.mark.parametrize(("generation", "told"), [("2025", True), ("11", False)])
def test_a_server_whose_administrator_gets_no_password_is_told_of(tmp_path: Path, generation: str, told: bool) -> None:
    build = Build(tmp_path, Guest(generation))
    build.element("answers", {"unattend.d/50-answers.xml": ANSWERS})
    build.run("answers")
    said = [event for event in build.of_kind(Message) if "no answer file has a password" in event.text]
    assert [event.level for event in said] == ["warning"] * told


def test_a_volume_that_takes_no_writes_is_refused(tmp_path: Path) -> None:
    build = Build(tmp_path, are_writable=False)
    with pytest.raises(BaseError, match="read only"):
        build.run()


def test_the_session_of_a_hibernated_image_is_given_up_on_request(tmp_path: Path) -> None:
    build = Build(tmp_path, Guest(hibernated=True))
    build.run(DIB_WINDOWS_REMOVE_HIBERFILE="1")
    assert build.target.did == ["open, session discarded", "trim", "unmount"]


def test_a_larger_disk_grows_before_it_is_opened(build: Build) -> None:
    build.run(image_size=1 << 34)
    assert build.target.did[:2] == ["grow", "open"]


def test_what_can_not_be_applied_is_told_with_its_file(build: Build) -> None:
    build.element("broken", {"files/windows/explorer.exe/x": "a directory where a file is\n"})
    with pytest.raises(TargetError) as raised:
        build.run("broken")
    assert raised.value.where == str(build.directory / "elements/broken/files")


def test_a_hook_that_makes_hooks_for_the_guest_is_told(build: Build) -> None:
    text = '#!/bin/bash\nmkdir -p "$TMP_HOOKS_PATH/install.d"\ncp "$0" "$TMP_HOOKS_PATH/install.d/50-made"\n'
    build.element("making", {"extra-data.d/50-making": text})
    build.registry("making", "50", r"SYSTEM\One", '"x"="y"')
    with pytest.raises(ElementError, match=r"install\.d/50-made"):
        build.run("making")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"packages": ("vim",)}, "-p installs packages"),
        ({"base": ""}, "none is given"),
        ({"target": "host"}, "host target"),
        ({"breakpoints": ("before-install",)}, "no shell"),
    ],
    ids=["packages", "base", "target", "break"],
)
def test_what_a_plan_can_not_have(build: Build, changes: dict[str, Any], message: str) -> None:
    catalog = Catalog.load([build.directory / "elements"], builtin=build.directory / "elements")
    asked: dict[str, Any] = {"elements": ("panes",), "base": str(build.directory / "base.qcow2"), **changes}
    with pytest.raises(DibError, match=message):
        make_plan(Settings(**asked), catalog)
