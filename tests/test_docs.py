"""The documentation builds without a warning, and says what is so."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.skipif(importlib.util.find_spec("sphinx") is None, reason="needs sphinx")
def test_sphinx_has_no_warning(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-b", "html", "-d", str(tmp_path / "trees")]
    done = subprocess.run([*command, "docs", str(tmp_path / "html")], cwd=ROOT, stderr=subprocess.PIPE, text=True)
    assert done.stderr == ""
    assert done.returncode == 0


@pytest.mark.skipif(importlib.util.find_spec("docutils") is None, reason="needs docutils")
@pytest.mark.parametrize("name", ["README.rst", "CHANGELOG.rst"])
def test_what_a_package_index_shows_is_plain_rst(name: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "docutils", "--report=1", "--halt=1", name, str(tmp_path / "page.html")]
    subprocess.run(command, cwd=ROOT, check=True, stderr=subprocess.PIPE)


def test_every_page_that_the_readme_names_is_there() -> None:
    named = re.findall(r"``((?:docs|tools)/[^` ]+)``", (ROOT / "README.rst").read_text())
    assert len(named) > 5
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_the_rooms_of_the_architecture_are_there_once() -> None:
    rooms = (ROOT / "docs" / "architecture.rst").read_text().partition("The rooms\n")[2]
    table = re.split(r"^=+ =+\n", rooms, flags=re.MULTILINE)[1]
    named = re.findall(r"^``([^`]+)``", table, re.MULTILINE)
    assert len(named) > 20
    assert [name for name in named if not (ROOT / name).exists()] == []
    assert sorted(named) == sorted(set(named))


def test_the_install_page_names_every_debian_package() -> None:
    """But those that every Debian has."""
    lines = (ROOT / "tools" / "debian-packages").read_text().splitlines()
    packages = {line.partition("#")[0].strip() for line in lines} - {"", "ca-certificates", "procps"}
    page = set(re.findall(r"[a-z0-9][a-z0-9.+-]+", (ROOT / "docs" / "install.rst").read_text()))
    assert packages - page == set()
