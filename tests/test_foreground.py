"""A shell at a stop point, on a real terminal: it has job control, and the terminal comes back afterwards."""

from __future__ import annotations

import os
import pty
import select
import sys
import time
from pathlib import Path

import pytest

pytestmark = [pytest.mark.root, pytest.mark.timeout(60)]

ROOT = Path(__file__).parents[1]
PROGRAM = """
import os, sys, time
from pathlib import Path
from dib_py import supervisor
from dib_py.events import TerminalLent, TerminalReturned
from dib_py.settings import Settings
from dib_py.target import host_run

def work(worker):
    with worker.terminal() as terminal:
        env = {"PATH": os.environ["PATH"], "PS1": "ready> ", "TERM": "dumb"}
        argv = ["bash", "--norc", "--noprofile", "-i"]
        code = host_run.interactive(argv, env=env, terminal=terminal, proc=Path("/proc"))
    worker.events.info(f"shell ended with {code}")
    time.sleep(60)

def show(event):
    name = type(event).__name__
    print(name if isinstance(event, (TerminalLent, TerminalReturned)) else event, flush=True)

sys.exit(supervisor.run(work, Settings(tmp_dir=Path(sys.argv[1])), [show]))
"""


class Terminal:
    """What a person at the terminal types and reads."""

    def __init__(self, argv: list[str]) -> None:
        self.pid, self._file = pty.fork()
        if self.pid == 0:
            os.environ["PYTHONPATH"] = str(ROOT)
            os.execv(argv[0], argv)
        self.text = ""

    def type(self, text: str) -> None:
        os.write(self._file, text.encode())

    def wait_for(self, text: str) -> None:
        deadline = time.monotonic() + 60
        while text not in self.text:
            if not select.select([self._file], [], [], max(0.0, deadline - time.monotonic()))[0]:
                pytest.fail(f"{text!r} did not come: {self.text!r}")
            self.text += os.read(self._file, 4096).decode(errors="replace")
        self.text = self.text.partition(text)[2]

    def exit_code(self) -> int:
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def test_a_shell_at_a_stop_point(tmp_path: Path) -> None:
    terminal = Terminal([sys.executable, "-c", PROGRAM, str(tmp_path)])
    terminal.wait_for("TerminalLent")
    terminal.wait_for("ready> ")
    terminal.type("set -o | grep monitor; echo $((6 * 7))\n")
    terminal.wait_for("monitor        \ton")
    terminal.wait_for("42")
    terminal.type("sleep 50\n")
    time.sleep(0.5)
    terminal.type("\x03")  # ends what the shell runs, and neither the shell nor the build
    terminal.wait_for("ready> ")
    terminal.type("exit 3\n")
    terminal.wait_for("TerminalReturned")
    terminal.wait_for("shell ended with 3")
    terminal.type("\x03")  # the foreground is the supervisor's again
    terminal.wait_for("interrupted by SIGINT")
    assert terminal.exit_code() == 130
    assert list(tmp_path.iterdir()) == []
