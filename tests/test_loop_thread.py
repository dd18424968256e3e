"""An event loop in a thread: what is too slow for it, and what comes after its end."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import closing

import pytest

from dib_py.loop_thread import LoopThread


@pytest.fixture
def loop() -> Iterator[LoopThread]:
    with closing(LoopThread("of the test")) as loop:
        yield loop


def test_work_runs_there_and_its_value_comes_here(loop: LoopThread) -> None:
    async def work() -> str:
        return threading.current_thread().name

    assert loop.call(work(), 60) == "of the test"


def test_what_fails_there_fails_here(loop: LoopThread) -> None:
    async def work() -> None:
        raise LookupError("nothing there")

    with pytest.raises(LookupError, match="nothing there"):
        loop.call(work(), 60)


def test_what_takes_too_long_has_come_to_its_end(loop: LoopThread) -> None:
    done = []

    async def work() -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            await asyncio.sleep(0.1)
            done.append("tidied up")

    with pytest.raises(asyncio.TimeoutError):
        loop.call(work(), 0.1)
    assert done == ["tidied up"]


def test_a_closed_one_takes_no_work(loop: LoopThread) -> None:
    async def work() -> None:
        """Never run."""

    loop.close()
    loop.close()
    with pytest.raises(EOFError):
        loop.call(work(), 60)
