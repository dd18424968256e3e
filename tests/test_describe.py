"""Elements shown and listed, for people and for programs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from dib_py import element
from dib_py.cli.elements import command
from dib_py.describe import Description, Package, Virtual, describe
from dib_py.element import Catalog
from dib_py.errors import ElementError

SAMPLES = Path(__file__).parent / "elements"
BASIC = SAMPLES / "resolve-basic"

PENGUIN = f"""\
penguin

A penguin distribution, e.g. for cold places. It has no version that one could choose.

where        {BASIC}/penguin
provides     operating-system
needs        package-names penguin-glue
base image   {BASIC}/penguin/base-image.yaml
environment  10-penguin.bash

hooks, in the order of the build:
  root.d          host   50-ice
  install.d       guest  10-fish

packages:
  install.d       fish
  pre-install.d   krill

variables:
  DIB_PENGUIN_FISH (default: herring; required: No)
      What it eats, which may take two lines.
  DIB_PENGUIN_ICE
      makes it thick. Defaults to thin.
  DIB_RELEASE
      Set DIB_RELEASE to choose nothing.
"""


def described(name: str, *paths: Path) -> Description:
    found = describe(Catalog.load(paths, builtin=BASIC), name)
    assert isinstance(found, Description)
    return found


def test_who_needs_an_element_counts_virtual_names() -> None:
    assert described("bootloader").needed_by == ("vm",)
    assert described("disk-of-ours").needed_by == ("appliance", "vm")


def test_what_it_overrides() -> None:
    assert described("bootloader", SAMPLES / "resolve-site").overrides == (BASIC / "bootloader",)
    assert described("bootloader").overrides == ()


def test_a_virtual_name() -> None:
    found = describe(Catalog.load([], builtin=BASIC), "block-device")
    assert found == Virtual("block-device", ("block-device-efi", "block-device-mbr", "disk-of-ours"), ("vm",))


def test_an_unknown_name() -> None:
    with pytest.raises(ElementError, match="unknown element 'pengiun'") as caught:
        described("pengiun")
    assert "did you mean penguin" in caught.value.hint


def test_packages_as_they_are_declared(tmp_path: Path) -> None:
    (tmp_path / "e").mkdir()
    (tmp_path / "e" / "package-installs.yaml").write_text(
        "a:\nb: {phase: post-install.d, arch: amd64}\nc:\n  - uninstall: true\n  - when: X = 1\n"
    )
    assert described("e", tmp_path).packages == (
        Package("a", "install.d"),
        Package("b", "post-install.d", {"arch": "amd64"}),
        Package("c", "install.d", {"uninstall": True}),
        Package("c", "install.d", {"when": "X = 1"}),
    )


def test_hooks_that_would_not_run_are_not_shown(tmp_path: Path) -> None:
    directory = tmp_path / "e" / "install.d"
    directory.mkdir(parents=True)
    for name, mode in (("10-b", 0o755), ("9-a", 0o755), ("20-c.sh", 0o755), ("30-d", 0o644)):
        (directory / name).write_text("#!/bin/bash\n")
        (directory / name).chmod(mode)
    assert described("e", tmp_path).hooks == {"install.d": ["9-a", "10-b"]}


def test_what_an_element_has_for_windows(tmp_path: Path) -> None:
    for name, text in {
        "element-deps": "package-names\n",
        "element-deps.windows": "",
        "install.d/50-both": "",
        "registry.d/50-both.reg": "",
        "drivers.yaml": "",
    }.items():
        (tmp_path / "both" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "both" / name).write_text(text)
    found = described("both", tmp_path)
    assert (found.deps, found.deps_for_windows) == (("package-names",), ())
    assert [(one.phase, one.kind, one.name) for one in found.for_windows] == [
        ("pre-install.d", "drivers", "drivers.yaml"),
        ("install.d", "registry", "registry.d/50-both.reg"),
    ]
    assert described("penguin").for_windows == ()
    assert described("penguin").deps_for_windows is None


class TestCommand:
    @pytest.fixture(autouse=True)
    def _samples(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(element, "builtin_elements_dir", lambda: BASIC)
        monkeypatch.setenv("ELEMENTS_PATH", str(SAMPLES / "resolve-site"))

    def printed(self, *args: str) -> str:
        return CliRunner().invoke(command, args, standalone_mode=False, catch_exceptions=False).stdout

    def values(self, *args: str) -> Any:
        return json.loads(self.printed(*args, "--json"))

    def test_list(self) -> None:
        lines = self.printed().splitlines()
        assert any(
            line.split(maxsplit=1) == ["penguin", "A penguin distribution, e.g. for cold places."] for line in lines
        )
        listed = {element["name"]: element for element in self.values()}
        assert sorted(listed) == [line.split()[0] for line in lines]
        assert listed["penguin"] == {
            "name": "penguin",
            "summary": "A penguin distribution, e.g. for cold places.",
            "operating_system": True,
            "os_families": ["linux"],
            "path": str(BASIC / "penguin"),
        }

    def test_the_list_marks_what_is_for_windows(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in (
            "mine/registry.d/50-x.reg",
            "agent/firstboot.d/50-x.cmd",
            "agent/install.d/50-x",
            "hooks/root.d/50-x",
        ):
            (tmp_path / name).parent.mkdir(parents=True)
            (tmp_path / name).write_text("")
        for name, deps in {"set": "agent\n", "needs-mine": "mine\n", "needs-hooks": "set\nhooks\n"}.items():
            (tmp_path / name).mkdir()
            (tmp_path / name / "element-deps").write_text(deps)
        monkeypatch.setenv("ELEMENTS_PATH", str(tmp_path))
        marked = {line.split()[0]: line.split()[1:2] for line in self.printed().splitlines()}
        fit = {one["name"]: one["os_families"] for one in self.values()}
        for name, mark, families in (
            ("panes", ["Windows"], ["windows"]),
            ("mine", ["Windows"], ["windows"]),
            ("needs-mine", ["Windows"], ["windows"]),
            ("agent", ["both"], ["linux", "windows"]),
            ("set", ["both"], ["linux", "windows"]),
            ("hooks", [], ["linux"]),
            ("needs-hooks", [], ["linux"]),
        ):
            assert (marked[name], fit[name]) == (mark, families), name

    def test_show(self) -> None:
        assert self.printed("penguin") == PENGUIN

    def test_show_as_json(self) -> None:
        found = self.values("penguin")
        assert found["virtual"] is False
        assert found["hooks"] == {"root.d": ["50-ice"], "install.d": ["10-fish"]}
        assert found["variables"][0] == {
            "name": "DIB_PENGUIN_FISH",
            "description": "What it eats, which may take two lines.",
            "default": "herring",
            "required": "No",
        }
        assert self.values("bootloader")["overrides"] == [str(BASIC / "bootloader")]

    def test_show_a_virtual_name(self) -> None:
        assert "provided by  panes penguin puffin" in self.printed("operating-system")
        assert self.values("operating-system")["provided_by"] == ["panes", "penguin", "puffin"]

    def test_an_elements_path_with_an_empty_entry(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("ELEMENTS_PATH", f"{BASIC}:")
        with pytest.raises(ElementError, match="empty entry"):
            self.printed()
