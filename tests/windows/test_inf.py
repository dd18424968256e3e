"""INF files: their syntax, and that nothing that is fed to the reader ends in anything but an answer or a FileError."""

from __future__ import annotations

import codecs
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dib_py.errors import DibError, FileError
from dib_py.windows import driver_package
from dib_py.windows.hive import Value
from dib_py.windows.inf import LARGEST, Inf, parse
from dib_py.windows.inf_target import SERVER, WORKSTATION, System, install_section, models_section
from tests.windows.virtio_media import DRIVERS, package

PATH = Path("viostor.inf")
SERVER_2022 = System("amd64", 10, 0, 20348, SERVER)
HEAD = '[Version]\nSignature="$Windows NT$"\nClassGuid={4D36E97B-E325-11CE-BFC1-08002BE10318}\n'


def read(text: str) -> Inf:
    return parse(PATH, (HEAD + text).encode())


@pytest.mark.parametrize(
    ("line", "key", "values"),
    [
        ("a = b", "a", ("b",)),
        ("a=b,c , d", "a", ("b", "c", "d")),
        ("lone", "", ("lone",)),
        ("one, two", "", ("one", "two")),
        ("HKR,,Name,0x00010001,7", "", ("HKR", "", "Name", "0x00010001", "7")),
        ('a = "b, c; d" ; comment', "a", ("b, c; d",)),
        ('a = "say ""hi"""', "a", ('say "hi"',)),
        ('a = "never closed', "a", ("never closed",)),
        ('a = x" y "z', "a", ("x y z",)),
        ("a = b = c", "a", ("b = c",)),
        ('x, "a=b"', "", ("x", "a=b")),
        ("a = ", "a", ("",)),
        ("a =,2    ; no value for the service name", "a", ("", "2")),
        ('1 = %DiskId1%,,,""', "1", ("%DiskId1%", "", "", "")),
        ("a = b, \\\n    c, \\ ; more\n d", "a", ("b", "c", "d")),
        ('a = "b \\\n  c"', "a", ("b   c",)),
        ("*IfType         = 6 ", "*IfType", ("6",)),
    ],
)
def test_an_entry_is_read_as_windows_reads_it(line: str, key: str, values: tuple[str, ...]) -> None:
    [entry] = read(f"[Section]\n{line}\n").section("SECTION")
    assert (entry.key, entry.values) == (key, values)


def test_lines_are_counted_from_where_an_entry_begins() -> None:
    entries = read("[Section]\n; comment\n\nfirst = 1, \\\n 2\nsecond\n").section("section")
    assert [entry.line for entry in entries] == [7, 9]


def test_sections_of_one_name_are_joined_and_keep_the_first_spelling() -> None:
    inf = read("[Some.Section]\na\n[other]\nb\n[SOME.section]\nc\n")
    assert [entry.value(0) for entry in inf.section("some.Section")] == ["a", "c"]
    assert inf.names["some.section"] == "Some.Section"


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be", "utf-8-sig", "utf-8", "cp1252"])
def test_text_is_read_in_every_encoding_that_windows_reads(encoding: str) -> None:
    mark = codecs.BOM_UTF16_BE if encoding == "utf-16-be" else b""
    text = HEAD + '[Strings]\r\nVENDOR = "Größe, Inc."\r\n'
    assert parse(PATH, mark + text.encode(encoding)).expand("%vendor%") == "Größe, Inc."


def test_strings_are_filled_in_and_unknown_names_stay() -> None:
    inf = read('[Strings]\nA = "1"\n[Strings.0407]\nA = "eins"\nB = "zwei"\n[Strings.0409]\nB = "two"\n')
    assert inf.expand("%a%-%B%-%12%-100%%-%SystemRoot%") == "1-two-%12%-100%-%SystemRoot%"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"entry = 1\n[Version]\n", "viostor.inf:1: an entry stands before the first [section]"),
        (b"[Version]\n[open\n", "viostor.inf:2: malformed section name: [open"),
        (b"[Version]\n[ ]\n", "viostor.inf:2: malformed section name: [ ]"),
        (b"[Section]\n", "viostor.inf: has no [Version], so it is no INF file"),
        (b"", "viostor.inf: has no [Version], so it is no INF file"),
        (b"MZ\x90\0\3\0", "viostor.inf: is no INF file: it holds binary data, or UTF-16 without its mark"),
        (bytes(LARGEST + 1), f"viostor.inf: is no INF file: it has {LARGEST + 1} bytes"),
    ],
)
def test_what_is_no_inf_file_is_told_with_its_line(content: bytes, message: str) -> None:
    with pytest.raises(FileError) as failure:
        parse(PATH, content)
    assert str(failure.value) == message


@pytest.mark.parametrize(
    ("system", "section"),
    [
        (SERVER_2022, "M.NTamd64.10.0...17763"),
        (System("amd64", 10, 0, 14393, SERVER), "M.NTamd64.10.0"),
        (System("amd64", 10, 0, 14393, WORKSTATION), "M.NTamd64.10.0.1"),
        (System("amd64", 6, 3, 9600, SERVER), "M.NTamd64.6.1"),
        (System("amd64", 6, 0, 6003, SERVER), "M.NT.6.0"),
        (System("x86", 6, 1, 7601, WORKSTATION), "M.NT.6.0"),
        (System("x86", 5, 2, 3790, WORKSTATION), "M.NT"),
        (System("arm64", 10, 0, 22631, WORKSTATION), "M.NT.6.0"),
    ],
)
def test_the_models_that_fit_most_closely_are_taken(system: System, section: str) -> None:
    decorations = "NTamd64.6.1, NTamd64.10.0, NTamd64.10.0...17763, NTamd64.10.0.1, NT.6.0, NT, NTamd64.10.0.3.5"
    names = [f"[M.{name.strip()}]\n" for name in decorations.split(",")]
    inf = read(f"[Manufacturer]\n%mfg% = M, {decorations}\n[M]\n{''.join(names)}")
    assert models_section(inf, system, inf.section("Manufacturer")[0]) == section


def test_models_of_no_decoration_are_for_x86_alone() -> None:
    inf = read("[Manufacturer]\n%mfg% = M\n[M]\n")
    assert models_section(inf, SERVER_2022, inf.section("Manufacturer")[0]) is None


def test_a_decoration_that_is_none_is_told_with_its_line() -> None:
    inf = read("[Manufacturer]\n%mfg% = M, amd64\n[M.amd64]\n")
    with pytest.raises(FileError, match=r"viostor.inf:5: amd64 is no version of Windows"):
        models_section(inf, SERVER_2022, inf.section("Manufacturer")[0])


def test_an_install_section_is_taken_in_the_form_that_fits_and_as_spelled() -> None:
    inf = read("[Inst]\n[Inst.Services]\n[INST.nt]\n[Inst.NT.Services]\n[Inst.NTx86]\n[Inst.ntAMD64.Wdf]\n")
    assert install_section(inf, SERVER_2022, "inst") == "INST.nt"
    assert install_section(inf, System("x86", 6, 1, 7601, WORKSTATION), "inst") == "Inst.NTx86"
    assert install_section(read("[Inst]\n"), SERVER_2022, "inst") == "Inst"
    assert install_section(inf, SERVER_2022, "other") is None


QEMU_SERIAL = Path("/usr/share/doc/qemu-system-data/qemupciserial.inf")
WINE = Path("/usr/share/wine/wine.inf")


@pytest.mark.skipif(not QEMU_SERIAL.exists(), reason="QEMU's documentation is not installed")
def test_the_inf_file_that_comes_with_qemu() -> None:
    found = driver_package.read(parse(QEMU_SERIAL, QEMU_SERIAL.read_bytes()), SERVER_2022)
    assert [(device.id, device.configuration) for device in found.devices] == [
        (r"PCI\VEN_1B36&DEV_0002", "ComPort_inst1"),
        (r"PCI\VEN_1B36&DEV_0003", "ComPort_inst2"),
        (r"PCI\VEN_1B36&DEV_0004", "ComPort_inst4"),
    ]
    assert (found.class_name, found.version) == ("MultiFunction", (1, 3, 0, 0))
    first = found.configurations[0].device_settings[0]
    assert first.value is not None and (first.key, first.value.text) == ("Child0000", "*PNP0501")
    assert found.configurations[0].device_settings[2].value == Value.binary("ResourceMap", b"\2")


@pytest.mark.skipif(not WINE.exists(), reason="Wine is not installed")
def test_the_inf_file_of_wine() -> None:
    found = parse(WINE, WINE.read_bytes())
    assert found.value("version", "signature") == "$CHICAGO$"
    assert sum(map(len, found.sections.values())) > 1000


REAL = [package(driver, "2k22", "amd64")[f"{driver.inf}.inf"] for driver in DRIVERS]


@settings(max_examples=300)
@given(st.one_of(st.binary(max_size=400), st.text(alphabet='[]=,;%"\\ \nNT.amd64HKR0x1', max_size=200).map(str.encode)))
def test_anything_is_an_inf_file_or_an_error(content: bytes) -> None:
    for text in (content, HEAD.encode() + content):
        try:
            driver_package.read(parse(PATH, text), SERVER_2022)
        except FileError as error:
            assert str(error).startswith("viostor.inf")


@settings(max_examples=400)
@given(st.sampled_from(REAL), st.data())
def test_a_damaged_inf_file_is_read_or_an_error(content: bytes, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(content)))
    end = data.draw(st.integers(start, min(start + 40, len(content))))
    junk = st.one_of(st.binary(max_size=8), st.sampled_from([b"", b"]", b"\n[", b",", b"%", b'"', b"-1", b"9" * 30]))
    damaged = content[:start] + data.draw(junk) + content[end:]
    try:
        found = driver_package.read(parse(PATH, damaged), SERVER_2022)
    except DibError as error:
        assert isinstance(error, FileError)
        assert str(error).startswith("viostor.inf")
    else:
        assert len(found.version_blob()) == 48
