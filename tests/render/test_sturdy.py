"""A build goes on when its log can't be written any more."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from dib_py.events import Message
from dib_py.render.plain import PlainLines
from dib_py.render.sturdy import Sturdy


def test_a_reader_that_has_gone_ends_the_build_as_it_ends_any_program() -> None:
    read, write = os.pipe()
    os.close(read)
    stream = os.fdopen(write, "w")
    with pytest.raises(BrokenPipeError):
        Sturdy(PlainLines(stream), stream, "standard output")(Message("info", "x"))
    with pytest.raises(BrokenPipeError):
        stream.close()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    with open("/dev/full", "w") as stream:  # noqa: PTH123 - the stream is what is tested
        show = Sturdy(PlainLines(stream), stream, "the log x")
        for _ in range(3):
            show(Message("info", "x"))
    assert capsys.readouterr().err == "dib-py: warning: the log x can't be written any more: No space left on device\n"
