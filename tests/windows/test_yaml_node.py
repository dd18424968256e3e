from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dib_py.errors import FileError
from dib_py.windows.yaml_node import Node, read


def node(tmp_path: Path, text: str, **variables: str) -> Node:
    path = tmp_path / "firewall.yaml"
    path.write_text(text)
    return read(path, variables)


def test_scalars_stay_text(tmp_path: Path) -> None:
    found = node(tmp_path, "- 010\n- no\n- 2.10\n- ''\n-\n- ~\n")
    assert [item.value for item in found.sequence()] == ["010", "no", "2.10", "", None, None]


def test_numbers_and_flags(tmp_path: Path) -> None:
    items = node(tmp_path, "[10, 0x1F, '7', yes, Off, 0]").sequence()
    assert [item.number() for item in items[:3]] == [10, 31, 7]
    assert [item.flag() for item in items[3:]] == [True, False, False]


def test_variables_are_text_whatever_they_hold(tmp_path: Path) -> None:
    found = node(tmp_path, "a: ${DIB_A}\n${DIB_K:-key}: b\n", DIB_A="[1, 2]: {x: y}").mapping()
    assert found["a"].text() == "[1, 2]: {x: y}"
    assert found["key"].text() == "b"


def test_mappings_whose_condition_does_not_hold_are_as_if_not_written(tmp_path: Path) -> None:
    text = """
- {name: a, when: DIB_X = 1}
- {name: b, when: DIB_X != 1, value: "${DIB_NOT_SET}"}
- name: c
  below:
    when: [DIB_X = 1, DIB_Y = 2]
"""
    items = node(tmp_path, text, DIB_X="1", DIB_Y="3").sequence()
    assert [item.mapping()["name"].text() for item in items] == ["a", "c"]
    assert "below" not in items[1].mapping()
    assert items[0].mapping(["name"]) == items[0].value  # when is no key of whoever reads


def test_a_file_as_a_whole_may_not_apply(tmp_path: Path) -> None:
    assert node(tmp_path, "when: DIB_X = 1\na: b\n", DIB_X="2").is_nothing
    assert node(tmp_path, "# nothing\n").is_nothing


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: ${DIB_NOPE}\n", ":2: variable DIB_NOPE is not set"),
        ("a: 1\nb: [\n", ":3: is not valid YAML"),
        ("- a: 1\n- when: DIB_NOPE = 1\n", ":2: 1: when: variable DIB_NOPE is not set"),
        ("a:\n  when: DIB_X 1\n", ":2: a: malformed when"),
        ("a: 1\na: 2\n", ":2: a is there twice"),
        ("? [a]\n: 1\n", ":1: "),
        ("a: &a [*a]\n", ":1: .*refers to itself"),
        ("a: &a\n  b: *a\n  when: DIB_NOPE = 1\n", "refers to itself"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(FileError, match=message):
        node(tmp_path, text)


def test_readers_are_told_what_has_the_wrong_shape(tmp_path: Path) -> None:
    found = node(tmp_path, "port: x\nlist: [1]\nnone:\nsize: 5000000000\nflag: maybe\n").mapping()
    for action, message in (
        (found["port"].number, ":1: must be a number, not 'x'"),
        (found["list"].text, ":2: must be text, not a list"),
        (found["none"].mapping, ":3: must be a mapping, not nothing"),
        (found["port"].sequence, ":1: must be a list, not text"),
        (found["size"].number, ":4: .* too large"),
        (found["flag"].flag, ":5: must be true or false"),
    ):
        with pytest.raises(FileError, match=message):
            action()


def test_an_unknown_key_gets_the_nearest_name(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=":1: unknown key prot") as caught:
        node(tmp_path, "prot: 1\n").mapping(["port", "action"])
    assert "port" in caught.value.hint
    with pytest.raises(FileError, match="port is missing"):
        node(tmp_path, "action: 1\n").mapping(needs=["port"])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(alphabet="ab:-[]{}&*!| \n'\"${}DIB_XwhenN=1", max_size=60))
def test_any_text_is_read_or_refused(tmp_path: Path, text: str) -> None:
    with contextlib.suppress(FileError):
        node(tmp_path, text, DIB_X="1")
