"""A shell for the user inside the appliance, on a console of its own: the only terminal that can be had there.

As a program (``python -m dib_py.target.guestfs_terminal DESCRIPTOR``) it hands what is typed on its standard input, a
terminal that it puts into raw mode, to the descriptor until it is told to end.
"""

from __future__ import annotations

import contextlib
import os
import select
import shlex
import signal
import subprocess
import sys
import termios
import threading
import tty
from collections.abc import Iterator, Mapping, Sequence
from types import FrameType

from dib_py.target.guestfs_runner import ENVIRONMENT, Program, Runner

CONSOLE = "/dev/hvc0"  # what the appliance's kernel calls its first virtio console

_COMMAND_FILE = "/run/dib/shell"
_LAST_WORDS = 0.5  # seconds without output after which an ended shell has said all


def shell(
    runner: Runner, console: int, argv: Sequence[str], *, env: Mapping[str, str], terminal: int, root: str, proc: str
) -> int:
    """Run ``argv`` in ``root`` of the appliance on ``terminal``; ``console`` is the socket that leads to its console.

    ``proc`` is where its own proc is mounted, or empty.
    """
    space = ["unshare", "--pid", "--fork", "--kill-child", "--mount", "--propagation", "unchanged"]
    space += [f"--mount-proc={proc}"] if proc else []
    variables = [f"{name}={value}" for name, value in env.items()]
    # a session inside the pid namespace: a shell knows no foreground group from outside of it
    inner = [
        "setsid",
        "-c",
        "-w",
        "env",
        "-i",
        "--",
        *variables,
        "/bin/unshare",
        f"--root={root}",
        "--wd=/",
        "--",
        *argv,
    ]
    size = os.get_terminal_size(terminal)
    command = f"stty sane rows {size.lines} cols {size.columns}\n{shlex.join([*space, '--', *inner])}\n"
    runner.check(f"cat > {_COMMAND_FILE}", input=os.fsencode(command))
    program = Program(["/bin/bash", "-c", f"/bin/bash {_COMMAND_FILE} <>{CONSOLE} >&0 2>&0"], ENVIRONMENT)
    with _typed(terminal, console), _shown(terminal, console):
        return runner.run(program, lambda chunk: None)


@contextlib.contextmanager
def _typed(terminal: int, console: int) -> Iterator[None]:
    """While open, what is typed goes to the console."""
    program = [sys.executable, "-m", "dib_py.foreground", sys.executable, "-m", __name__, str(console)]
    with subprocess.Popen(program, stdin=terminal, stdout=terminal, stderr=terminal, pass_fds=[console]) as typing:
        try:
            yield
        finally:
            typing.terminate()


@contextlib.contextmanager
def _shown(terminal: int, console: int) -> Iterator[None]:
    """While open, what the console prints goes to the terminal, to the last of it."""
    ended = threading.Event()

    def show() -> None:
        while select.select([console], [], [], _LAST_WORDS)[0] or not ended.is_set():
            if select.select([console], [], [], 0)[0]:
                data = os.read(console, 4096)
                if not data:
                    return
                _write(terminal, data)

    showing = threading.Thread(target=show, name="shell")
    showing.start()
    try:
        yield
    finally:
        ended.set()
        showing.join()


def _write(terminal: int, data: bytes) -> None:
    while data:
        data = data[os.write(terminal, data) :]


def main() -> None:
    """Hand on what is typed; the terminal is as it was when this ends."""

    def end(number: int, frame: FrameType | None) -> None:
        sys.exit(0)

    port = int(sys.argv[1])
    before = termios.tcgetattr(0)
    signal.signal(signal.SIGTERM, end)
    try:
        tty.setraw(0, termios.TCSADRAIN)  # what was typed already stays
        while data := os.read(0, 4096):
            _write(port, data)
    finally:
        termios.tcsetattr(0, termios.TCSADRAIN, before)


if __name__ == "__main__":
    main()
