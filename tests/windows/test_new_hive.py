"""Hives from nothing, read back by three other readers: hivex, hivexregedit and chntpw's reged."""

from __future__ import annotations

import struct
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dib_py.windows.hive import BINARY, Hive, Value
from dib_py.windows.new_hive import LARGEST_VALUE, MOST_SUBKEYS, checksum, hive

KEYS = {
    "": [Value.string("", "the default")],
    "Select": [Value.dword("Current", 1), Value.binary("none", b""), Value.qword("long", 1 << 40)],
    r"ControlSet001\Services\Tcpip\Parameters": [Value.string("Hostname", "phony"), Value.strings("list", ["a", "b"])],
    r"ControlSet001\Größe\キー": [Value.string("größe", "ü"), Value.binary("large", bytes(range(256)) * 60)],
}


def opened(directory: Path, content: bytes) -> Hive:
    file = directory / "hive"
    file.write_bytes(content)
    return Hive(file)


def test_hivex_reads_back_what_was_written(tmp_path: Path) -> None:
    read = opened(tmp_path, hive(KEYS))
    assert {path: values for path, values in read.walk() if values} == {
        path: sorted(values, key=lambda value: value.name.casefold()) for path, values in KEYS.items()
    }
    assert read.keys("") == ["ControlSet001", "Select"]


def test_hivex_edits_it(tmp_path: Path) -> None:
    edited = opened(tmp_path, hive(KEYS))
    edited.set(r"ControlSet001\Services\New", [Value.dword("Start", 2)])
    edited.delete_key(r"ControlSet001\Größe")
    edited.commit()
    again = Hive(tmp_path / "hive")
    assert again.keys(r"ControlSet001\Services") == ["New", "Tcpip"]
    assert again.keys("ControlSet001") == ["Services"]


def test_hivexregedit_exports_it(tmp_path: Path) -> None:
    (tmp_path / "hive").write_bytes(hive(KEYS))
    argv = ["hivexregedit", "--export", "--unsafe-printable-strings", str(tmp_path / "hive"), r"\Select"]
    exported = subprocess.run(argv, capture_output=True, check=True, text=True).stdout
    assert exported.splitlines()[2:] == [
        r"[\Select]",
        '"Current"=dword:00000001',
        '"long"=hex(b):00,00,00,00,00,01,00,00',
        '"none"=hex(3):',
        "",
    ]


def test_reged_reads_it_and_finds_nothing_wrong(tmp_path: Path) -> None:
    (tmp_path / "hive").write_bytes(hive(KEYS))
    argv = ["reged", "-x", str(tmp_path / "hive"), "HKLM", r"\ControlSet001\Services", str(tmp_path / "out.reg")]
    said = subprocess.run(argv, capture_output=True, text=True, check=False).stdout
    assert (tmp_path / "out.reg").read_text().splitlines()[-4:] == [
        r"[HKLM\ControlSet001\Services\Tcpip\Parameters]",
        '"Hostname"="phony"',
        '"list"=hex(7):61,00,00,00,62,00,00,00,00,00',
        "",
    ], said


def test_header_and_bins_have_what_windows_checks() -> None:
    made = hive(KEYS, name="SYSTEM", time=132_000_000_000_000_000)
    signature, first, second, time, major, minor, kind, form, root, size, cluster = struct.unpack_from("<4sIIQ7I", made)
    assert (signature, first, second, major, minor, kind, form, cluster) == (b"regf", 1, 1, 1, 5, 0, 1, 1)
    assert time == 132_000_000_000_000_000
    assert len(made) == 4096 + size
    assert made[48:62].decode("utf-16-le") == "SYSTEM\0"
    assert int.from_bytes(made[508:512], "little") == checksum(made)
    assert made[4096 + root + 4 : 4096 + root + 8] == b"nk\x2c\x00"
    at = 4096
    while at < len(made):  # each bin says where it is; its cells fill it to its end
        mark, offset, length = struct.unpack_from("<4sII", made, at)
        assert (mark, offset, length % 4096) == (b"hbin", at - 4096, 0)
        cell = at + 32
        while cell < at + length:
            step = abs(struct.unpack_from("<i", made, cell)[0])
            assert step >= 8 and step % 8 == 0
            cell += step
        at += length
        assert cell == at


@pytest.mark.parametrize(("page", "expected"), [(bytes(508), 1), (b"\xff\xff\xff\xff" + bytes(504), 0xFFFFFFFE)])
def test_checksum_is_never_zero_or_all_ones(page: bytes, expected: int) -> None:
    assert checksum(page) == expected


def test_the_same_keys_give_the_same_bytes() -> None:
    assert hive(KEYS) == hive(dict(reversed(KEYS.items())))


def test_many_subkeys_are_found_by_name(tmp_path: Path) -> None:
    keys = {rf"Services\driver{number}": [Value.dword("Start", number)] for number in range(MOST_SUBKEYS)}
    read = opened(tmp_path, hive(keys))
    assert len(read.keys("Services")) == MOST_SUBKEYS
    value = read.value(r"services\DRIVER777", "start")
    assert value is not None and value.number == 777


def test_what_cannot_be_written_is_an_error() -> None:
    with pytest.raises(ValueError, match="value big has 16345 bytes"):
        hive({"": [Value("big", BINARY, bytes(LARGEST_VALUE + 1))]})
    with pytest.raises(ValueError, match="key Many has 1013 subkeys"):
        hive({rf"Many\{number}": [] for number in range(MOST_SUBKEYS + 1)})


NAMES = st.text(st.characters(min_codepoint=32, max_codepoint=0xD7FF, exclude_characters="\\"), min_size=1, max_size=20)


@settings(max_examples=60)
@given(st.dictionaries(NAMES, st.tuples(st.integers(0, 0xFFFF0012), st.binary(max_size=5000)), max_size=8))
def test_any_value_comes_back(tmp_path_factory: pytest.TempPathFactory, values: dict[str, tuple[int, bytes]]) -> None:
    wanted = {name: Value(name, kind, data) for name, (kind, data) in values.items()}
    read = opened(tmp_path_factory.mktemp("hives"), hive({"Key": wanted.values()}))
    assert read.values("Key") == wanted
