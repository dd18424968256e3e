"""Variables that nothing reads and that look like one that something does."""

from __future__ import annotations

from pathlib import Path

import pytest

from dib_py import misspelt
from dib_py.element import Catalog


def told(tmp_path: Path, variables: dict[str, str]) -> list[str]:
    """Of an image of ``mine``, while ``other`` is there too."""
    for name, file, text in (
        ("mine", "install.d/10-mine", "echo $DIB_PENGUIN_COLOUR ${DIB_PENGUIN_SIZE:-1}; eval x=\\$DIB_REPOREF_$name"),
        ("mine", "static/etc/mine", "@DIB_PENGUIN_NAME@"),
        ("mine", "README.rst", "DIB_PENGUIN_AGE is for later"),
        ("other", "registry.yaml", "x: ${DIB_PENGUIN_COLORS}"),
    ):
        path = tmp_path / name / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (tmp_path / "mine" / "static" / "link").symlink_to("nothing")
    catalog = Catalog.load([], builtin=tmp_path)
    mine = catalog.get("mine")
    assert mine
    return list(misspelt.warnings(variables, [mine], catalog))


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("DIB_PENGUIN_COLOR", "DIB_PENGUIN_COLOUR"),
        ("DIB_PENGUINSIZE", "DIB_PENGUIN_SIZE"),
        ("DIB_PENGUIN_NAMES", "DIB_PENGUIN_NAME"),
        ("DIB_IMAGE_SIZ", "DIB_IMAGE_SIZE"),  # the engine's
    ],
)
def test_a_misspelt_name_is_told(tmp_path: Path, name: str, meant: str) -> None:
    assert told(tmp_path, {name: "x", "PATH": "/bin"}) == [
        f"{name} is set, and nothing that this build uses reads it: did you mean {meant}?"
    ]


@pytest.mark.parametrize(
    "variables",
    [
        {"DIB_PENGUIN_COLOUR": "red", "DIB_IMAGE_SIZE": "4"},  # read
        {"DIB_PENGUIN_COLORS": "red"},  # by another element, which another image has
        {"DIB_REPOREF_nova": "x"},  # a name that is put together
        {"DIB_WALRUS": "x"},  # like none
        {"DIB_PENGUIN_COLOR": ""},
        {"DIB_PENGUIN_COLOR": "red", "DIB_PENGUIN_COLOUR": "red"},  # both, for elements old and new
        {"PENGUIN_COLOUR": "red"},
    ],
)
def test_others_are_not(tmp_path: Path, variables: dict[str, str]) -> None:
    assert told(tmp_path, variables) == []
