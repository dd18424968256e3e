"""Archives that a program writes while they are read."""

from __future__ import annotations

from pathlib import Path

import pytest

from dib_py.errors import HostError
from dib_py.process import CommandFailed
from dib_py.target.guestfs_files import fed_by


def read(script: str) -> bytes:
    with fed_by(["bash", "-c", f"printf archive; {script}"]) as path:
        return Path(path).read_bytes()


@pytest.mark.parametrize("code", [0, 1])
def test_a_file_that_changed_meanwhile_is_no_failure(code: int) -> None:
    assert read(f"exit {code}") == b"archive"


@pytest.mark.parametrize(("script", "code"), [("exit 2", 2), ("kill -9 $$", -9), ("kill -15 $$", -15)])
def test_half_an_archive_is_a_failure(script: str, code: int) -> None:
    with pytest.raises(CommandFailed, match="half of it") as caught:
        read(f"echo half of it >&2; {script}")
    assert caught.value.returncode == code


def test_a_program_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(HostError, match="no-tar is not installed"), fed_by([str(tmp_path / "no-tar")]):
        raise AssertionError("started")
