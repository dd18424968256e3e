"""Ends a process with SIGKILL at every point at which it is about to change a filesystem."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Callable

_CHANGES = {f"os.{name}" for name in ("rename", "remove", "link", "mkdir", "rmdir", "chmod", "utime", "truncate")}
_CHANGES |= {"fcntl.flock"}


def run_and_kill_at(point: int, work: Callable[[], object]) -> bool:
    """Do ``work`` in a forked child that is killed before its change number ``point``; True if it ended before that."""
    child = os.fork()
    if child == 0:
        try:
            _arm(point)
            work()
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0, "the child failed"
    return os.WIFEXITED(status)


def _arm(point: int) -> None:
    count = 0

    def watch(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal count
        writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_CREAT | os.O_WRONLY)
        if event in _CHANGES or writes:
            count += 1
            if count > point:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(watch)
