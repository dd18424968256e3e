"""What a plan says that could not be built on this machine, and that a build is refused for it before it starts."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from dib_py.element import Catalog
from dib_py.errors import UsageError
from dib_py.obstacles import check_outputs, doubts, obstacles
from dib_py.plan import Plan, make_plan
from dib_py.settings import Settings


@pytest.fixture
def elements(tmp_path: Path) -> Path:
    """An operating system, ``mine``, that says what it bootstraps with; and ``silent``, whose hook only names it."""
    for name in ("mine", "silent"):
        hook = tmp_path / name / "root.d" / "10-make"
        hook.parent.mkdir(parents=True)
        hook.write_text('#!/bin/sh\n# yum is not meant\nmmdebstrap stable "$TARGET_ROOT"\n')
        hook.chmod(0o755)
        (tmp_path / name / "element-provides").write_text("operating-system\n")
    (tmp_path / "mine" / "bootstrap-programs").write_text("mmdebstrap\n")
    return tmp_path


def plan(elements: Path, name: str, path: str, **more: str) -> Plan:
    settings = Settings(
        elements=(name,), skip_base=True, environ={"PATH": f"{path}:/usr/bin:/bin", "HOME": "/root"}, **more
    )
    return make_plan(settings, Catalog.load([], builtin=elements), keyed=False)


@pytest.fixture
def without(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if only the directories that a test names had programs that bootstrap."""
    from shutil import which

    def found(name: str, path: str = "") -> str | None:
        return which(name, path=path.partition(":")[0]) if "strap" in name else which(name, path=path)

    monkeypatch.setattr("dib_py.host_programs.shutil.which", found)


@pytest.mark.usefixtures("without")
def test_a_program_that_bootstraps_is_missed_before(elements: Path, tmp_path: Path) -> None:
    bare = plan(elements, "mine", "/nowhere")
    (error,) = obstacles(bare, bare.steps)
    assert str(error) == "this machine lacks mmdebstrap, with which element mine bootstraps"
    assert "mmdebstrap" in error.hint
    assert list(obstacles(bare, [])) == []  # its layers are there
    assert list(doubts(bare)) == []
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "mmdebstrap").symlink_to("/bin/true")
    there = plan(elements, "mine", str(tmp_path / "bin"))
    assert list(obstacles(there, there.steps)) == []


@pytest.mark.usefixtures("without")
def test_a_base_image_needs_none(elements: Path) -> None:
    based = plan(elements, "mine", "/nowhere", base="/image.qcow2")
    assert list(obstacles(based, based.steps)) == []


@pytest.mark.usefixtures("without")
def test_of_others_it_is_only_likely(elements: Path, tmp_path: Path) -> None:
    bare = plan(elements, "silent", "/nowhere")
    assert list(obstacles(bare, bare.steps)) == []
    assert list(doubts(bare)) == ["root.d/10-make of silent seems to need mmdebstrap, which this machine lacks"]


def test_a_plan_for_another_machine_says_so_and_a_build_of_it_is_refused(elements: Path, tmp_path: Path) -> None:
    def run(*words: str) -> subprocess.CompletedProcess[str]:
        environ = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "ELEMENTS_PATH": str(elements)}
        command = [sys.executable, "-m", "dib_py", *words, "-n", "-a", "s390x", "mine"]
        return subprocess.run(command, env=environ, cwd=tmp_path, capture_output=True, text=True)

    said = "an image for s390x can't be built on this machine"
    for words in (["plan"], ["explain"]):
        done = run(*words)
        assert done.returncode == 0
        assert f"warning: a build here would be refused: {said}" in done.stderr
    done = run("-o", "x")
    assert done.returncode == 1 and said in done.stderr


def test_a_plan_refuses_the_results_that_a_build_refuses(elements: Path, tmp_path: Path) -> None:
    def run(*words: str) -> subprocess.CompletedProcess[str]:
        environ = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "ELEMENTS_PATH": str(elements)}
        command = [sys.executable, "-m", "dib_py", *words, "-n", "mine"]
        return subprocess.run(command, env=environ, cwd=tmp_path, capture_output=True, text=True)

    for words, said in (
        (["-t", "bogus"], "unknown output format 'bogus'"),
        (["-t", "tar", "--verify"], "--verify boots an image"),
    ):
        for command in (["plan"], ["explain"], ["-o", "x"]):
            done = run(*command, *words)
            assert (done.returncode, said in done.stderr, done.stdout) == (1, True, "")
    elsewhere = run("plan", "-o", "nowhere/x")
    assert elsewhere.returncode == 0
    assert "warning: a build here would be refused: the output directory nowhere does not exist" in elsewhere.stderr


def test_windows_is_not_its_files() -> None:
    environ = {"PATH": "/usr/bin:/bin", "HOME": "/root"}
    settings = Settings(elements=("windows",), base="/image.qcow2", image_types=("tar",), environ=environ)
    with pytest.raises(UsageError, match="-t tar has the files of an image, and this is Windows"):
        check_outputs(make_plan(settings, keyed=False))
