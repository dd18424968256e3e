"""Damaged declarative files of every kind: each is read, or refused with an error that a person can understand."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dib_py.element import WINDOWS, Element
from dib_py.errors import DibError
from dib_py.windows import declarations
from tests.windows.applying import ELEMENTS

FILES = [
    declaration
    for path in sorted(ELEMENTS.iterdir())
    for declaration in declarations.find([Element(path.name, path, WINDOWS)])
    if not declaration.kind.whole
]
VARIABLES = {"DIB_A": "1"}
PIECES = st.one_of(
    st.sampled_from(
        ["${DIB_A}", "${DIB_B}", "${DIB_", "- ", ": ", "\n", "  ", "[", "{", "&a ", "*a", "|", "<", ">", "\0"]
    ),
    st.text(max_size=6),
)


KINDS = sorted({declaration.kind.name for declaration in FILES})


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged(tmp_path: Path, kind: str, data: st.DataObject) -> None:
    declaration = data.draw(st.sampled_from([one for one in FILES if one.kind.name == kind]))
    text = declaration.path.read_text()
    start = data.draw(st.integers(0, len(text)))
    length = data.draw(st.integers(0, 12))
    path = tmp_path / declaration.element / declaration.path.relative_to(ELEMENTS / declaration.element)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes((text[:start] + data.draw(PIECES) + text[start + length :]).encode("utf-8", "surrogatepass"))
    with contextlib.suppress(DibError):
        declaration.room.parse(path, VARIABLES)
