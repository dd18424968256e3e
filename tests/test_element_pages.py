"""The element reference has all elements, and of each all that its files say."""

from __future__ import annotations

import importlib.util
import json
import os
import re
from pathlib import Path
from types import ModuleType

import pytest
import yaml

from dib_py.element import Catalog
from dib_py.phases import BY_DIRECTORY

ROOT = Path(__file__).parents[1]
NAMES = sorted(path.name for path in (ROOT / "elements").iterdir() if path.is_dir())


def generator() -> ModuleType:
    """What docs/conf.py imports."""
    spec = importlib.util.spec_from_file_location("element_pages", ROOT / "docs" / "element_pages.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def pages() -> dict[str, str]:
    made: dict[str, str] = generator().element_pages(Catalog.load([], builtin=ROOT / "elements"))
    return made


def names_in(path: Path) -> list[str]:
    return [line.strip() for line in path.read_text().splitlines() if line.strip()] if path.exists() else []


def test_every_element_has_a_page_that_the_index_lists(pages: dict[str, str]) -> None:
    assert set(pages) == {"index.rst", *(f"{name}.rst" for name in NAMES)}
    for name in NAMES:
        assert f":doc:`{name}`" in pages["index.rst"]


@pytest.mark.parametrize("name", NAMES)
def test_a_page_has_all_of_its_element(pages: dict[str, str], name: str) -> None:
    directory, page = ROOT / "elements" / name, pages[f"{name}.rst"]
    assert page.startswith((directory / "README.rst").read_text().rstrip())
    for needed in names_in(directory / "element-deps"):
        assert f":doc:`{needed}`" in page or f"``{needed}``" in page, needed
    for provided in names_in(directory / "element-provides"):
        assert provided in page, provided
    for phase in BY_DIRECTORY:
        for hook in (directory / phase).glob("*"):
            if os.access(hook, os.X_OK) and hook.is_file():
                assert f"``{phase}``" in page
                assert f"``{hook.name}``" in page, hook
    for file in (directory / "environment.d").glob("*"):
        for variable in re.findall(r"^\s*export (\w+)", file.read_text(), re.MULTILINE):
            assert f"* - ``{variable}``" in page, variable
    for file in directory.glob("package-installs.*"):
        for package in yaml.safe_load(file.read_text()) or {}:
            assert f"* - ``{package}``" in page, package
    for command in (directory / "bin").glob("*"):
        assert f"``{command.name}``" in page, command


def test_names_of_packages_elsewhere(pages: dict[str, str]) -> None:
    sections = json.loads((ROOT / "elements/growroot/pkg-map").read_text())
    assert f"debian: ``{sections['family']['debian']['growpart']}``" in pages["growroot.rst"]


def test_who_needs_it(pages: dict[str, str]) -> None:
    by = next(line for line in pages["debootstrap.rst"].splitlines() if line.startswith(":Needed by:"))
    assert ":doc:`debian-minimal`" in by
    assert ":doc:`ubuntu-minimal`" in by
