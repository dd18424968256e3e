from __future__ import annotations

from pathlib import Path

import pytest

from dib_py.errors import BaseError, FileError
from dib_py.windows import requirements
from tests.windows.applying import subject
from tests.windows.phony import COMPLETE, Guest


def required(tmp_path: Path, text: str) -> requirements.Requirements:
    path = tmp_path / "tools" / "requires.yaml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return requirements.parse(path, {})


@pytest.mark.parametrize(
    ("text", "guest", "holds"),
    [
        ("generalized: true", Guest(), True),
        ("generalized: true", Guest(image_state=COMPLETE), False),
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
