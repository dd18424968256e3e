from __future__ import annotations

import re
from pathlib import Path

import pytest

from dib_py.errors import BaseError, FileError
from dib_py.windows import requirements
from tests.windows.applying import subject
from tests.windows.phony import COMPLETE, SPECIALIZED, Guest


def required(tmp_path: Path, text: str, **variables: str) -> requirements.Requirements:
    path = tmp_path / "tools" / "requires.yaml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return requirements.parse(path, variables)


@pytest.mark.parametrize(
    ("text", "guest", "holds"),
    [
        ("generalized: true", Guest(), True),
        ("generalized: true", Guest(image_state=COMPLETE), False),
        ("generalized: true", Guest(image_state=SPECIALIZED), False),
        ("generalized: true", Guest(image_state=None), False),
        ("generalized: no", Guest(image_state=COMPLETE), True),
        ("server: true", Guest("2022"), True),
        ("server: true", Guest("11"), False),
        ("architectures: [x86, amd64]", Guest(), True),
        ("architectures: [arm64]", Guest(), False),
        ("least-version: 6.2", Guest("7", uefi=False), False),
        ("least-version: 6.2", Guest("2012"), True),
        ("least-version: 10.0", Guest("8.1"), False),
        ("exists: '%SystemRoot%\\SYSTEM32\\cmd.exe'", Guest(system_root="WINNT"), True),
        ("exists: C:\\nowhere", Guest(), False),
        ("absent: C:\\pagefile.sys", Guest(), False),
        ("absent: C:\\pagefile.sys", Guest(page_file=False), True),
    ],
)
def test_conditions(tmp_path: Path, text: str, guest: Guest, holds: bool) -> None:
    wanted = required(tmp_path, f"- {text}\n  because: it is not so\n  remedy: make it so\n")
    opened = subject(tmp_path, guest).open()
    if holds:
        requirements.check(wanted, opened)
    else:
        with pytest.raises(BaseError, match="it is not so") as caught:
            requirements.check(wanted, opened)
        assert caught.value.hint == "make it so"


def test_all_that_is_wrong_is_told_together(tmp_path: Path) -> None:
    wanted = required(tmp_path, "- server: false\n- architectures: [arm64, x86]\n")
    with pytest.raises(BaseError) as caught:
        requirements.check(wanted, subject(tmp_path).open())
    assert "element tools needs server: false" in caught.value.message
    assert "element tools needs architectures: arm64, x86" in caught.value.message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- because: x", ":1: one condition each, not none"),
        ("- {server: true, generalized: true}", ":1: one condition each, not generalized and server"),
        ("- {least-version: ten}", ":1: 'ten' is no version"),
        ("- {sever: true}", ":1: unknown key sever"),
        ("- {exists: 'D:\\x'}", ":1: .*only paths on C:"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(FileError, match=message):
        required(tmp_path, text)


# -- variables
@pytest.mark.parametrize(
    ("form", "value"),
    [
        ("time-zone", "W. Europe Standard Time"),
        ("time-zone", "UTC"),
        ("time-zone", "Pacific Standard Time_dstoff"),
        ("locale", "de-CH"),
        ("locale", "sr-Latn-RS"),
        ("locale", "es-419"),
        ("locale", "ca-ES-valencia"),
        ("computer-name", "*"),
        ("computer-name", "web-01"),
        ("computer-name", "ABCDEFGHIJKLMNO"),
        ("product-key", "VDYBN-27WPP-V4HQT-9VMD4-VMK7H"),
        ("locale", ""),
        ("keyboard", "0407:00000407"),
        ("keyboard", "0409:00000409;0c0c:a000040c;de-CH"),
        ("addresses", "any"),
        ("addresses", "10.0.0.0/8, LocalSubnet, 2001:db8::/32"),
    ],
)
def test_what_a_variable_may_hold(tmp_path: Path, form: str, value: str) -> None:
    assert required(tmp_path, f"- variable: DIB_X\n  form: {form}\n", DIB_X=value).requirements == ()


@pytest.mark.parametrize(
    ("form", "value", "hint"),
    [
        ("time-zone", "Europe/Berlin", "Windows calls it 'W. Europe Standard Time'"),
        ("time-zone", "europe/zurich", "Windows calls it 'W. Europe Standard Time'"),
        ("time-zone", "Europe/Berlim", "is 'W. Europe Standard Time' meant?"),
        ("time-zone", "W. Europe Standart Time", "is 'W. Europe Standard Time' meant?"),
        ("time-zone", "nonsense", "tzutil /l"),
        ("locale", "deutsch", "like de-CH"),
        ("locale", "de", "like de-CH"),
        ("locale", "de_DE.UTF-8", "like de-CH"),
        ("computer-name", "ABCDEFGHIJKLMNOP", "at most 15"),
        ("computer-name", "a b", "letters"),
        ("computer-name", "web.example", "letters"),
        ("computer-name", "12345", "not digits alone"),
        ("product-key", "AAAA", "five groups"),
        ("keyboard", "german", "like 0407:00000407"),
        ("keyboard", "0407:00000407;", "several with ;"),
        ("keyboard", "0407:0000407", "like 0407:00000407"),
        ("addresses", "friends", "LocalSubnet"),
    ],
)
def test_what_a_variable_may_not_hold(tmp_path: Path, form: str, value: str, hint: str) -> None:
    with pytest.raises(FileError, match=rf":2: DIB_X is '{re.escape(value)}', not ") as caught:
        required(tmp_path, f"- generalized: true\n- variable: DIB_X\n  form: {form}\n", DIB_X=value)
    assert hint in caught.value.hint


def test_a_pattern_of_an_element_s_own(tmp_path: Path) -> None:
    text = "- variable: DIB_X\n  matches: '[A-Z]{3}'\n  remedy: three capitals\n"
    assert required(tmp_path, text).requirements == ()
    assert required(tmp_path, text, DIB_X="ZRH").requirements == ()
    with pytest.raises(FileError, match="DIB_X is 'ZRHX', not ") as caught:
        required(tmp_path, text, DIB_X="ZRHX")
    assert caught.value.hint == "three capitals"


def test_a_secret_is_not_shown(tmp_path: Path) -> None:
    with pytest.raises(FileError) as caught:
        required(tmp_path, "- variable: DIB_PRODUCT_KEY\n  form: product-key\n", DIB_PRODUCT_KEY="AAAA")
    assert "AAAA" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- variable: DIB_X", "either form or matches"),
        ("- {variable: DIB_X, form: nonsense}", "'nonsense' is no form"),
        ("- {variable: DIB_X, matches: '['}", "no regular expression"),
        ("- {variable: DIB_X, form: locale, server: true}", "unknown key server"),
    ],
)
def test_a_wrong_word_on_a_variable(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(FileError, match=message):
        required(tmp_path, text)
