from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dib_py.errors import FileError
from dib_py.windows.templating import Missing, Template, literal, names

HERE = Path("element/registry.d/10-x.reg")


def fill(text: str, **variables: str) -> str:
    return Template(HERE, variables, 1).fill(text)


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("port ${DIB_PORT}", "port 3389"),
        ("${DIB_PORT:-22}", "3389"),
        ("${DIB_NONE:-22}", "22"),
        ("${DIB_NONE:-}", ""),
        ("${DIB_EMPTY:-22}", "22"),
        ("[${DIB_EMPTY}]", "[]"),
        ("${DIB_NONE:-${DIB_PORT}}", "3389"),
        ("${DIB_NONE:-${DIB_NEITHER:-a}b}", "ab"),
        ("${DIB_PORT:+port=${DIB_PORT}}", "port=3389"),
        ("[${DIB_NONE:+port=${DIB_NONE}}${DIB_EMPTY:+x}]", "[]"),
        ("${DIB_PORT:?name a port}", "3389"),
        ("$${DIB_PORT:?x}", "${DIB_PORT:?x}"),
        ("$${DIB_PORT}", "${DIB_PORT}"),
        ("$$${DIB_NONE:-22}", "$${DIB_NONE:-22}"),
        ("${env:PATH} $DIB_PORT {DIB_PORT} $(x) 100%", "${env:PATH} $DIB_PORT {DIB_PORT} $(x) 100%"),
        ("${DIB_PORT}${DIB_PORT}", "33893389"),
    ],
)
def test_variables_are_filled_in(text: str, filled: str) -> None:
    assert fill(text, DIB_PORT="3389", DIB_EMPTY="") == filled


def test_what_a_variable_holds_is_not_looked_into() -> None:
    assert fill("${DIB_A}", DIB_A="${DIB_B}", DIB_B="no") == "${DIB_B}"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a\nb ${DIB_PROT}", "10-x.reg:2: variable DIB_PROT is not set"),
        ("${DIB_PORT", "10-x.reg:1: malformed variable"),
        ("${DIB_PORT-1}", "10-x.reg:1: malformed variable"),
        ("\n\n${DIB_X:-a", "10-x.reg:3: .*no closing brace"),
        ("${DIB_X:-" * 20 + "}" * 20, "10-x.reg:1: .*no closing brace"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(text: str, message: str) -> None:
    with pytest.raises(FileError, match=message):
        fill(text, DIB_PORT="1")


def test_a_variable_that_may_have_been_meant_is_named() -> None:
    with pytest.raises(FileError) as caught:
        fill("${DIB_PROT}", DIB_PORT="1")
    assert "DIB_PORT meant?" in caught.value.hint


@given(st.text(alphabet="${}DIB_A:-\n x"))
def test_any_text_is_filled_or_refused(text: str) -> None:
    with contextlib.suppress(FileError):
        assert "{DIB_" in text or fill(text, DIB_A="1") == text


@given(st.text(alphabet="${}DIB_A:-\n x"))
def test_literal_text_is_itself_again(text: str) -> None:
    assert fill(literal(text), DIB_A="1") == text


def test_names_are_found_wherever_they_stand() -> None:
    text = "when: DIB_A = 1\n${DIB_B:-${DIB_C}} %DIB_D% $env:DIB_E XDIB_F"
    assert names(text) == names(text.encode()) == {"DIB_A", "DIB_B", "DIB_C", "DIB_D", "DIB_E"}
    assert names("\ufeff${DIB_A}".encode("utf-16-le")) == {"DIB_A"}


@pytest.mark.parametrize("given", [{}, {"DIB_FILE": ""}])
def test_an_element_says_what_to_do_about_a_variable_that_is_not_set(given: dict[str, str]) -> None:
    with pytest.raises(Missing, match=r"10-x\.reg:2: variable DIB_FILE is not set") as caught:
        fill("\n${DIB_FILE:?download it from ${DIB_SITE} and name it}", DIB_SITE="here", **given)
    assert caught.value.hint == "download it from here and name it"
