"""READMEs in the habits that element authors have."""

from __future__ import annotations

from pathlib import Path

import pytest

from dib_py import readme
from dib_py.readme import Variable

PENGUIN = Path(__file__).parent / "elements" / "resolve-basic" / "penguin" / "README.rst"


def test_an_element_of_the_usual_kind() -> None:
    found = readme.parse(PENGUIN.read_text())
    assert found.summary == "A penguin distribution, e.g. for cold places."
    assert found.text.endswith("It has no version that one could choose.")
    assert found.variables == (
        Variable("DIB_PENGUIN_FISH", "What it eats, which may take two lines.", "herring", "No"),
        Variable("DIB_PENGUIN_ICE", "makes it thick. Defaults to thin."),
        Variable("DIB_RELEASE", "Set DIB_RELEASE to choose nothing."),
    )


@pytest.mark.parametrize(
    ("text", "summary"),
    [
        ("", ""),
        ("vm\n==\nSets up a disk (with partitions).\n", "Sets up a disk (with partitions)."),
        ("==\nvm\n==\nOne. Two.\n", "One."),
        ("tt\n--\n\nNo full stop at the end\n\nMore.\n", "No full stop at the end"),
        ("title\n=====\n.. note:: not this\n   nor this\n\nBut this.\n", "But this."),
        ("title\n=====\n\n* A list item\n  of two lines.\n* Another.\n", "A list item of two lines."),
        ("title\n=====\n\nUse :doc:`other <../other>`, `a link <https://x.example>`_ or *both*:\n",
         "Use other, a link or both"),
        ("title\n=====\n\nVersion 1.2 of it. Next.\n", "Version 1.2 of it."),
    ],
)  # fmt: skip
def test_the_first_sentence(text: str, summary: str) -> None:
    assert readme.parse(text).summary == summary


def test_definitions_without_blank_lines_between_them() -> None:
    text = "DIB_ONE:\n   :Required: Yes\n   :Description: First.\nDIB_TWO:\n   :Default: 0\n"
    assert readme.parse(text).variables == (
        Variable("DIB_ONE", "First.", "", "Yes"),
        Variable("DIB_TWO", "", "0"),
    )


def test_a_definition_whose_fields_come_after_a_blank_line() -> None:
    assert readme.parse("DIB_ONE\n\n  :Default: 1\n").variables == (Variable("DIB_ONE", "", "1"),)


def test_a_definition_of_several_variables() -> None:
    assert readme.parse("``DIB_ONE``, ``DIB_TWO``\n  :Default: 1\n").variables == (
        Variable("DIB_ONE", "", "1"),
        Variable("DIB_TWO", "", "1"),
    )


def test_escaped_underscores_are_underscores() -> None:
    assert readme.parse("DIB\\_ONE\n  :Example: DIB\\_ONE=1\n").variables == (Variable("DIB_ONE"),)


def test_bytes_that_make_no_sense_do_no_harm() -> None:
    assert readme.parse("\x00\ufffd`*`_ ``\n\\\n..\n::\n=").variables == ()
