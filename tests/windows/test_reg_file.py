from __future__ import annotations

import codecs
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dib_py.errors import FileError
from dib_py.windows.hive import DWORD, SZ, Value
from dib_py.windows.reg_file import HEADER, parse, parse_text, write
from dib_py.windows.registry_edits import Absent, KeyEdit, RegistryEdits

HERE = Path("element/registry.d/10-x.reg")
ALL_TYPES = f"""{HEADER}

; what regedit writes
[HKEY_LOCAL_MACHINE\\SOFTWARE\\Every Type]
@="the default"
"quote \\"and\\" \\\\backslash\\\\"="C:\\\\Windows \\"x\\""
"dword"=dword:0000001f
"short" = dword:A ; a comment
"binary"=hex:01,02,\\
  fe,ff
"empty"=hex:
"none"=hex(0):
"expand"=hex(2):25,00,41,00,25,00,00,00
"multi"=hex(7):61,00,00,00,62,00,00,00,00,00
"qword"=hex(b):01,00,00,00,00,00,00,00
"odd"=hex(ffff0012):61,00,00,00
"gone"=-
[-HKLM\\SYSTEM\\CurrentControlSet\\Services\\Old]
"""


def edits(text: str, **variables: str) -> tuple[KeyEdit, ...]:
    return parse_text(text, HERE, variables).edits


def test_every_type_is_read() -> None:
    wanted = (
        Value.string("", "the default"),
        Value.string('quote "and" \\backslash\\', 'C:\\Windows "x"'),
        Value.dword("dword", 31),
        Value.dword("short", 10),
        Value.binary("binary", b"\1\2\xfe\xff"),
        Value.binary("empty", b""),
        Value("none", 0, b""),
        Value.string("expand", "%A%", expand=True),
        Value.strings("multi", ["a", "b"]),
        Value.qword("qword", 1),
        Value("odd", 0xFFFF0012, b"a\0\0\0"),
        Absent("gone"),
    )
    assert edits(ALL_TYPES) == (
        KeyEdit(r"HKLM\SOFTWARE\Every Type", wanted),
        KeyEdit(r"HKLM\SYSTEM\CurrentControlSet\Services\Old", deleted=True),
    )


@pytest.mark.parametrize(
    "encoded",
    [
        codecs.BOM_UTF16_LE + ALL_TYPES.encode("utf-16-le"),
        codecs.BOM_UTF16_BE + ALL_TYPES.encode("utf-16-be"),
        ALL_TYPES.encode("utf-16-le"),
        ALL_TYPES.encode(),
        ALL_TYPES.encode("utf-8-sig"),
        ALL_TYPES.replace("\n", "\r\n").encode(),
    ],
)
def test_encodings_and_line_ends_do_not_matter(tmp_path: Path, encoded: bytes) -> None:
    path = tmp_path / "10-x.reg"
    path.write_bytes(encoded)
    assert parse(path, {}).edits == edits(ALL_TYPES)


def test_variables_stand_for_text_and_need_no_escaping() -> None:
    text = f'{HEADER}\n[HKCU\\Software\\${{DIB_NAME}}]\n"${{DIB_NAME}}"="${{DIB_PATH:-x}} $${{DIB_PATH}}"\n'
    [edit] = edits(text, DIB_NAME="Größe]", DIB_PATH='C:\\"x"')
    assert edit == KeyEdit(r"HKCU\Software\Größe]", (Value.string("Größe]", 'C:\\"x" ${DIB_PATH}'),))


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("", 1, "known header"),
        ("REGEDIT4\n[HKLM\\SOFTWARE]", 1, "Windows 95"),
        (f'{HEADER}\n\n"a"="b"', 3, "before the first key"),
        (f"{HEADER}\n[HKLM\\SOFTWARE", 2, "closing bracket"),
        (f"{HEADER}\n[HKLM\\SOFTWRE\\A]", 2, "no hive"),
        (f"{HEADER}\n[HKLM\\BCD00000000\\Objects]", 2, "no hive"),
        (f"{HEADER}\n[HKLM]", 2, "no hive"),
        (f"{HEADER}\n[HKLM\\SOFTWARE\\\\A]", 2, "empty name"),
        (f"{HEADER}\n[-HKEY_LOCAL_MACHINE\\software]", 2, "whole hive"),
        (f"{HEADER}\n[HKLM\\SOFTWARE\\{'a' * 256}]", 2, "at most 255"),
        (f'{HEADER}\n[-HKLM\\SOFTWARE\\A]\n"a"="b"', 3, "key that is deleted"),
        (f'{HEADER}\n[HKLM\\SOFTWARE]\n"a"="C:\\Windows"', 3, "single backslash"),
        (f'{HEADER}\n[HKLM\\SOFTWARE]\n"a"="b', 3, "no value"),
        (f'{HEADER}\n[HKLM\\SOFTWARE]\n"a"', 3, "without ="),
        (f"{HEADER}\n[HKLM\\SOFTWARE]\na=1", 3, "neither a key nor a value"),
        (f'{HEADER}\n[HKLM\\SOFTWARE]\n"a"=dword:123456789', 3, "no value"),
        (f'{HEADER}\n[HKLM\\SOFTWARE]\n"a"=dword:${{DIB_A}}', 3, "no value"),
        (f'{HEADER}\n[HKLM\\SOFTWARE]\n"a"=hex:01,0g', 3, "hexadecimal byte"),
        (f'{HEADER}\n[HKLM\\SOFTWARE]\n"a"=hex:01,\\\n"b"=-', 4, "nothing continues it"),
        (f'{HEADER}\n[HKLM\\SOFTWARE]\n"a"=hex:01,\\', 3, "middle of a value"),
        (f'{HEADER}\n[HKLM\\SOFTWARE]\n\n"a"="${{DIB_A}}"', 4, "DIB_A is not set"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(text: str, line: int, message: str) -> None:
    with pytest.raises(FileError, match=message) as caught:
        edits(text)
    assert caught.value.line == line


def test_numbers_with_variables_are_sent_to_the_yaml_form() -> None:
    with pytest.raises(FileError) as caught:
        edits(f'{HEADER}\n[HKLM\\SOFTWARE]\n"a"=dword:${{DIB_A}}', DIB_A="1")
    assert "YAML form" in caught.value.hint


def test_what_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "10-x.reg"
    path.write_bytes(HEADER.encode() + b"\n\xff")
    with pytest.raises(FileError, match=r"10-x.reg:2: is not UTF-8-SIG text"):
        parse(path, {})


names = st.one_of(
    st.just("$${DIB_A}"), st.text(st.characters(min_codepoint=32, exclude_categories=("Cs",)), min_size=1, max_size=12)
)
keys = st.lists(names.filter(lambda name: "\\" not in name), max_size=3).map(
    lambda found: "\\".join((r"HKLM\SOFTWARE", *found))
)
texts = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), max_size=80)
values = st.one_of(
    st.builds(Value.string, names, texts),
    st.builds(Value.string, names, texts, expand=st.just(True)),
    st.builds(Value.strings, names, st.lists(texts.filter(bool))),
    st.builds(Value.dword, names, st.integers(0, 2**32 - 1)),
    st.builds(Value.qword, names, st.integers(0, 2**64 - 1)),
    st.builds(Value, st.one_of(names, st.just("")), st.integers(0, 2**32 - 1), st.binary(max_size=100)),
    st.builds(Absent, names),
)


@given(st.lists(st.builds(KeyEdit, keys, st.lists(values, max_size=4).map(tuple))).map(tuple))
def test_what_is_written_is_read_back(wanted: tuple[KeyEdit, ...]) -> None:
    written = write(RegistryEdits(HERE, wanted))
    again = parse_text(written.decode("utf-16"), HERE, {})
    assert again.edits == wanted
    assert write(again) == written


def test_lines_are_broken_as_regedit_does() -> None:
    written = write(RegistryEdits(HERE, (KeyEdit(r"HKLM\SOFTWARE", (Value.binary("a", bytes(40)),)),)))
    lines = written.decode("utf-16").split("\r\n")
    assert lines[3] == '"a"=hex:' + "00," * 23 + "\\"
    assert lines[4] == "  " + "00," * 16 + "00"
    assert all(len(line) <= 80 for line in lines)


def test_a_string_that_is_stored_without_its_end_stays_so() -> None:
    odd = (Value("a", SZ, b"a\0"), Value("b", SZ, b""), Value("c", DWORD, b"\1"))
    written = write(RegistryEdits(HERE, (KeyEdit(r"HKLM\SOFTWARE", odd),)))
    assert parse_text(written.decode("utf-16"), HERE, {}).edits[0].values == odd


@given(st.text(alphabet='[]-HKLM\\SOFTWARE"@=hexdword:(7),01;${DIB_A}\n ', max_size=80))
def test_any_text_is_read_or_refused(text: str) -> None:
    for lines in (text, f"{HEADER}\n{text}", f"{HEADER}\n[HKLM\\SOFTWARE]\n{text}", f'{HEADER}\n[HKCU]\n"a"={text}'):
        try:
            found = edits(lines, DIB_A="b")
        except FileError as error:
            assert error.line is not None
        else:
            assert all(edit.key for edit in found)
