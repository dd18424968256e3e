"""What is installed is what the checkout holds: from a wheel, from an sdist, with elements that run."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BUILD = "import sys; from setuptools import build_meta; getattr(build_meta, sys.argv[1])(sys.argv[2])"

pytestmark = pytest.mark.skipif(not (ROOT / ".git").exists(), reason="needs the project's repository")


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the checkout, with what a commit would hold and nothing else."""
    copy = tmp_path_factory.mktemp("tree")
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listed, cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout
    there = b"\0".join(name for name in names.split(b"\0") if name and (ROOT / os.fsdecode(name)).exists())
    pack = subprocess.run(["tar", "-c", "--null", "-T", "-"], cwd=ROOT, input=there, check=True, stdout=subprocess.PIPE)
    subprocess.run(["tar", "-x"], cwd=copy, input=pack.stdout, check=True)
    return copy


def build(tree: Path, kind: str) -> Path:
    """The archive that setuptools makes of a tree."""
    output = tree / "dist"
    output.mkdir(exist_ok=True)
    subprocess.run([sys.executable, "-c", BUILD, f"build_{kind}", "dist"], cwd=tree, check=True, capture_output=True)
    [archive] = output.glob({"wheel": "*.whl", "sdist": "*.tar.gz"}[kind])
    return archive


@pytest.fixture(scope="module")
def sdist(tree: Path) -> Path:
    return build(tree, "sdist")


@pytest.fixture(scope="module")
def wheel(tree: Path, sdist: Path) -> Path:
    """Made from the sdist, as installers do where there is no wheel."""
    unpacked = sdist.parent / "unpacked"
    with tarfile.open(sdist) as archive:
        archive.extractall(unpacked)
    return build(next(unpacked.iterdir()), "wheel")


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment with the wheel, and with this one's libraries but not its dib-py."""
    venv = tmp_path_factory.mktemp("venv")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(venv)], check=True)
    site = next(venv.glob("lib/python*/site-packages"))
    # a path in a .pth file brings in what lies there, but not the .pth file of an editable dib-py beside it
    (site / "libraries.pth").write_text(f"{sysconfig.get_path('purelib')}\n/usr/lib/python3/dist-packages\n")
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "--python", str(venv / "bin/python"), "install", "--no-deps", str(wheel)], check=True)
    return venv


def expected(tree: Path, *directories: str) -> set[str]:
    found = (path for directory in directories for path in (tree / directory).rglob("*") if path.is_file())
    return {str(path.relative_to(tree)) for path in found}


def test_the_sdist_holds_all_that_the_project_is(tree: Path, sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        held = {name.partition("/")[2] for name in archive.getnames()}
    assert expected(tree, "dib_py", "elements", "tests", "tools", "docs") <= held
    assert {"LICENSE", "README.rst", "CHANGELOG.rst", "setup.cfg", "setup.py", "pyproject.toml"} <= held


def test_the_wheel_holds_package_and_elements(tree: Path, wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        held = set(archive.namelist())
    assert expected(tree, "dib_py") <= held
    data = next(name for name in held if ".data/data/share/" in name).partition("/share/")[0]
    assert {f"{data}/share/dib-py/{name}" for name in expected(tree, "elements")} <= held
    assert not [name for name in held if "__pycache__" in name or name.startswith("tests/")]


def test_installed_files_keep_their_run_bit(tree: Path, installed: Path) -> None:
    site = next(installed.glob("lib/python*/site-packages"))
    for name in expected(tree, "dib_py", "elements"):
        place = installed / "share/dib-py" / name if name.startswith("elements/") else site / name
        assert os.access(place, os.X_OK) == os.access(tree / name, os.X_OK), name


def test_elements_from_the_installed_wheel(tree: Path, installed: Path, tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name not in ("ELEMENTS_PATH", "PYTHONPATH")}
    command = [str(installed / "bin/dib-py"), "elements"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    listed = {line.split()[0] for line in done.stdout.splitlines() if line.strip()}
    assert {path.name for path in (tree / "elements").iterdir() if path.is_dir()} <= listed


def test_the_installed_package_is_the_one_that_runs(installed: Path, tmp_path: Path) -> None:
    program = "import dib_py; print(dib_py.__file__)"
    python = [str(installed / "bin/python"), "-c", program]
    done = subprocess.run(python, cwd=tmp_path, check=True, stdout=subprocess.PIPE, text=True)
    assert Path(done.stdout.strip()).is_relative_to(installed)
