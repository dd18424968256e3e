"""What checks wait for."""

from __future__ import annotations

import threading
import time

from dib_py.verify.board import Board
from dib_py.verify.checks import Need


def test_a_need_comes_while_it_is_awaited() -> None:
    board = Board()
    threading.Timer(0.02, board.up, [Need.LOGIN]).start()
    assert board.wait(Need.LOGIN, 5)


def test_a_need_that_will_not_come_is_not_waited_for() -> None:
    board = Board()
    board.never("kernel panic", Need.LOGIN, Need.SSH)
    started = time.monotonic()
    assert not board.wait(Need.LOGIN, 60)
    assert time.monotonic() - started < 50
    assert board.missing([Need.SSH], time.monotonic() + 60) == "kernel panic"


def test_what_has_come_stays() -> None:
    board = Board()
    board.up(Need.LOGIN)
    board.never("the machine has ended", *Need)
    assert board.is_up(Need.LOGIN) and not board.is_up(Need.SSH)


def test_a_need_that_is_late_is_missing() -> None:
    board = Board()
    board.up(Need.MACHINE)
    late = board.missing([Need.MACHINE, Need.LOGIN], time.monotonic())
    assert late == "the limit had passed before this was so: the guest has come up"
    assert board.missing([Need.MACHINE], time.monotonic()) == ""
