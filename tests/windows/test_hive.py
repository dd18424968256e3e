"""Edits of a hive: what is new is written, what is there already is not."""

from __future__ import annotations

from pathlib import Path

import pytest

from dib_py.errors import TargetError
from dib_py.windows import new_hive
from dib_py.windows.hive import BINARY, DWORD, MULTI_SZ, NONE, QWORD, SZ, Hive, Value

DEVICE_PROPERTY = 0xFFFF0012  # a type of DriverDatabase


@pytest.fixture
def file(tmp_path: Path) -> Path:
    keys = {"": (), r"One\Two": [Value.dword("Number", 1), Value.string("Text", "old")]}
    path = tmp_path / "SYSTEM"
    path.write_bytes(new_hive.hive(keys))
    return path


def committed(file: Path) -> Hive:
    return Hive(file)


def test_values_of_every_type_come_back(file: Path) -> None:
    values = [
        Value.string("", "the default"),
        Value.string("path", r"%SystemRoot%\x", expand=True),
        Value.strings("many", ["a", "bc"]),
        Value.dword("four", 0xFFFFFFFF),
        Value.qword("eight", 1 << 40),
        Value.binary("bytes", b"\x00\xff"),
        Value("nothing", NONE, b""),
        Value("property", DEVICE_PROPERTY, b"\x01"),
    ]
    hive = Hive(file)
    hive.set(r"New\{a}#b&c/d", values)
    hive.commit()
    read = committed(file)
    assert read.values(r"new\{A}#B&C/D") == {value.name: value for value in values}


def test_the_stored_bytes_are_those_of_windows(file: Path) -> None:
    assert Value.string("x", "C:").data == b"C\0:\0\0\0"
    assert Value.strings("x", ["a", "b"]).data == b"a\0\0\0b\0\0\0\0\0"
    assert Value.dword("x", 3) == Value("x", DWORD, b"\3\0\0\0")
    assert Value.qword("x", 3) == Value("x", QWORD, b"\3\0\0\0\0\0\0\0")
    assert (SZ, BINARY, MULTI_SZ) == (1, 3, 7)


def test_a_value_keeps_its_spelling_and_the_others_stay(file: Path) -> None:
    hive = Hive(file)
    hive.set(r"one\TWO", [Value.string("text", "new")])
    hive.commit()
    assert committed(file).values(r"One\Two") == {
        "Number": Value.dword("Number", 1),
        "Text": Value.string("Text", "new"),
    }


def test_saying_what_is_there_writes_nothing(file: Path) -> None:
    before = file.read_bytes()
    hive = Hive(file)
    hive.set(r"One\Two", [Value.string("TEXT", "old")])
    hive.set("One")
    hive.delete_value(r"One\Two", "None")
    hive.delete_key(r"One\Three")
    assert not hive.changed
    hive.commit()
    assert file.read_bytes() == before


def test_an_empty_key_is_made(file: Path) -> None:
    hive = Hive(file)
    hive.set(r"One\Empty")
    hive.commit()
    assert committed(file).exists(r"One\Empty")


def test_deletion_is_of_that_value_and_that_key(file: Path) -> None:
    hive = Hive(file)
    hive.delete_value(r"One\Two", "NUMBER")
    hive.set("Other")
    hive.commit()
    assert list(committed(file).values(r"One\Two")) == ["Text"]
    hive.delete_key("One")
    hive.commit()
    assert committed(file).keys() == ["Other"]


def test_the_root_is_not_deleted(file: Path) -> None:
    with pytest.raises(TargetError, match="root"):
        Hive(file).delete_key("")


def test_walking_goes_through_all_keys_by_name(file: Path) -> None:
    hive = Hive(file)
    hive.set(r"alpha\c")
    hive.set(r"alpha\B")
    assert [path for path, _ in hive.walk()] == ["", "alpha", r"alpha\B", r"alpha\c", "One", r"One\Two"]
    assert [value.name for value in dict(hive.walk("One"))[r"One\Two"]] == ["Number", "Text"]


@pytest.mark.parametrize("content", [b"", b"regf", b"MZ" + bytes(9000)])
def test_what_is_no_hive_is_refused_by_name(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(TargetError, match="SOFTWARE is no registry hive"):
        Hive(tmp_path / "x", "SOFTWARE")
