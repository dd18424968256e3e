"""The console in a file of the user's, which may be on a full disk."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from dib_py.errors import OutputError
from dib_py.events import Event, Events, Message
from dib_py.verify.console_copy import ConsoleCopy, empty


def test_two_boots_are_one_file(tmp_path: Path) -> None:
    path = tmp_path / "console"
    for text in (b"\x1b[2Jfirst\r\n", b"second\xff"):
        copy = ConsoleCopy(path, Events())
        copy.write(text)
        copy.close()
        copy.close()
        copy.write(b"too late")
    assert path.read_bytes() == b"\x1b[2Jfirst\r\nsecond\xff"


def test_a_full_disk_is_told_once_and_nothing_else_happens() -> None:
    told: list[Event] = []
    copy = ConsoleCopy(Path("/dev/full"), Events(told.append))
    for _ in range(3):
        copy.write(b"Linux version 6\n")
    assert [event.text for event in told if isinstance(event, Message)] == [
        "--keep-console: /dev/full can't be written any more: No space left on device"
    ]


def test_a_place_that_has_gone_is_told(tmp_path: Path) -> None:
    told: list[Event] = []
    copy = ConsoleCopy(tmp_path / "gone" / "console", Events(told.append))
    copy.write(b"x")
    assert len(told) == 1


def test_a_pipe_is_written_if_somebody_reads_it_and_not_waited_for_if_nobody_does(tmp_path: Path) -> None:
    told: list[Event] = []
    os.mkfifo(tmp_path / "pipe")
    ConsoleCopy(tmp_path / "pipe", Events(told.append)).close()
    assert len(told) == 1
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    copy = ConsoleCopy(tmp_path / "pipe", Events(told.append))
    copy.write(b"x" * 5000)
    assert os.read(reader, 9000) == b"x" * 5000 and len(told) == 1
    copy.close()
    os.close(reader)


def test_what_is_emptied_is_a_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "old").write_text("x")
    for name in ("pipe", "old", "new"):
        empty(tmp_path / name)
    assert (tmp_path / "old").read_bytes() == (tmp_path / "new").read_bytes() == b""
    with pytest.raises(OutputError, match="can't be written"):
        empty(tmp_path / "gone" / "console")
