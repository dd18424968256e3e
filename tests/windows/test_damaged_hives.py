"""Hives that somebody damaged, or made up, end in one message: the appliance's disk may be anybody's."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dib_py.errors import DibError, TargetError
from dib_py.windows.hive import Hive, Value
from dib_py.windows.installation import open_installation
from dib_py.windows.new_hive import hive
from dib_py.windows.volume import Directory
from tests.windows.phony import Guest, Planted, plant

HEADER = 4096


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Planted:
    return plant(Guest(), tmp_path_factory.mktemp("damaged"))


# the same examples each time: this is about our handling, not a search for what brings hivex itself down
@settings(max_examples=60, derandomize=True)
@given(st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=30))
def test_a_damaged_registry_is_an_error_or_none(
    tmp_path_factory: pytest.TempPathFactory, planted: Planted, damage: list[tuple[float, int]]
) -> None:
    for name in ("SYSTEM", "SOFTWARE"):
        file = planted.hive_file(name)
        sound = file.read_bytes()
        content = bytearray(sound)
        for place, byte in damage:
            content[HEADER + int(place * (len(content) - HEADER))] = byte
        try:
            file.write_bytes(content)
            with contextlib.suppress(DibError):
                scratch = tmp_path_factory.mktemp("scratch")
                open_installation(Directory(planted.system), Directory(planted.boot), scratch)
            with contextlib.suppress(DibError):
                list(Hive(file).walk())
        finally:
            file.write_bytes(sound)


def test_a_key_that_is_below_itself_is_noticed(tmp_path: Path) -> None:
    content = bytearray(hive({r"Outer\Inner": [Value.dword("x", 1)]}))
    outer = content.index(b"nk", content.index(b"ROOT"))
    inner = content.index(b"nk", outer + 2)
    assert content[outer + 76 : outer + 81] == b"Outer" and content[inner + 76 : inner + 81] == b"Inner"
    content[inner + 20 : inner + 24] = content[outer + 20 : outer + 24]  # as many subkeys
    content[inner + 28 : inner + 32] = content[outer + 28 : outer + 32]  # in the same list
    (tmp_path / "hive").write_bytes(content)
    with pytest.raises(TargetError, match=r"is damaged: the key .* is in two places"):
        list(Hive(tmp_path / "hive").walk())


def test_a_damaged_list_of_values_names_the_hive(tmp_path: Path) -> None:
    content = bytearray(hive({"Key": [Value.dword("x", 1)]}))
    key = content.index(b"nk", content.index(b"ROOT"))
    content[key + 40 : key + 44] = b"\xf8\xff\xff\x7f"  # the list of values is said to be far away
    (tmp_path / "hive").write_bytes(content)
    with pytest.raises(TargetError, match=r"HKLM\\SYSTEM is damaged"):
        Hive(tmp_path / "hive", r"HKLM\SYSTEM").values("Key")
