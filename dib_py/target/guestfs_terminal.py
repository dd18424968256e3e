"""A shell for the user inside the appliance: what is typed goes in through a port of its own, what the shell prints
comes back as any program's output.

As a program (``python -m dib_py.target.guestfs_terminal DESCRIPTOR``) it hands what is typed on its standard input, a
terminal that it puts into raw mode, to the descriptor until it is told to end.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import subprocess
import sys
import termios
import tty
from collections.abc import Iterator, Mapping, Sequence
from types import FrameType

from dib_py.target.guestfs_runner import ENVIRONMENT, Program, Runner

PORT = "terminal"
_COMMAND_FILE = "/run/dib/shell"


def shell(
    runner: Runner, port: int, argv: Sequence[str], *, env: Mapping[str, str], terminal: int, root: str, proc: str
) -> int:
    """Run ``argv`` in ``root`` of the appliance on ``terminal``; ``port`` is the socket that leads to its input.

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
    command = f"stty rows {size.lines} cols {size.columns}\nexec {shlex.join([*space, '--', *inner])}\n"
    runner.check(f"cat > {_COMMAND_FILE}", input=os.fsencode(command))
    line = f"exec script -qefc '/bin/bash {_COMMAND_FILE}' /dev/null </dev/virtio-ports/{PORT}"
    with _typed(terminal, port):
        return runner.run(Program(["/bin/bash", "-c", line], ENVIRONMENT), lambda chunk: _write(terminal, chunk))


@contextlib.contextmanager
def _typed(terminal: int, port: int) -> Iterator[None]:
    """While open, what is typed goes to the port."""
    program = [sys.executable, "-m", "dib_py.foreground", sys.executable, "-m", __name__, str(port)]
    with subprocess.Popen(program, stdin=terminal, stdout=terminal, stderr=terminal, pass_fds=[port]) as typing:
        try:
            yield
        finally:
            typing.terminate()


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
        tty.setraw(0)
        while data := os.read(0, 4096):
            _write(port, data)
    finally:
        termios.tcsetattr(0, termios.TCSADRAIN, before)


if __name__ == "__main__":
    main()
