"""Root in the guest, through whichever door opens first, for checks that prove none of the doors."""

from __future__ import annotations

import shlex
import threading
from collections.abc import Callable

from dib_py.errors import DibError
from dib_py.verify.agent import Agent
from dib_py.verify.board import Board
from dib_py.verify.checks import Answer, Need, Seed, Unreachable
from dib_py.verify.console import Console
from dib_py.verify.ssh import Ssh

_TRY_WITHIN = 30.0  # seconds for a door to prove itself
_AGAIN = 1.0  # seconds between tries
_PROBE = "id -u"


class Shell:
    """Tries the doors until one of them answers as root, then stays with it."""

    def __init__(self, agent: Agent, ssh: Ssh, console: Console, seed: Seed, board: Board, timeout: float) -> None:
        """``timeout``: how long a command may take, in seconds, where nothing else is said."""
        self._agent = agent
        self._ssh = ssh
        self._console = console
        self._seed = seed
        self._board = board
        self._timeout = timeout
        self._door: Callable[[str, float], Answer] | None = None
        self.name = ""  # of the door that opened

    def run(self, script: str, timeout: float | None = None) -> Answer:
        """See :class:`dib_py.verify.checks.Shell`."""
        if self._door is None:
            raise Unreachable("no door into the guest is open")
        return self._door(script, self._timeout if timeout is None else timeout)

    def open(self, hopeless: Callable[[], bool], ending: threading.Event) -> bool:
        """Try what may be open until something is, until it is ``hopeless`` or ``ending``; whether something was."""
        doors: tuple[tuple[str, Need, Callable[[str, float], Answer]], ...] = (
            ("the guest agent", Need.AGENT, self._by_agent),
            ("ssh", Need.SSH, self._by_ssh),
            ("the console", Need.CLOUD_INIT, self._by_console),  # the user has no password before
        )
        while not hopeless():
            for name, need, door in doors:
                if self._board.is_up(need) and self._opens(door):
                    self.name, self._door = name, door
                    return True
            if ending.wait(_AGAIN):
                break
        return False

    def _opens(self, door: Callable[[str, float], Answer]) -> bool:
        try:
            answer = door(_PROBE, _TRY_WITHIN)
        except DibError:
            return False
        return answer.exit_code == 0 and answer.output.strip() == "0"

    def _by_agent(self, script: str, timeout: float) -> Answer:
        return self._agent.execute(["/bin/sh", "-c", script], timeout)

    def _by_ssh(self, script: str, timeout: float) -> Answer:
        return self._ssh.run(_as_root(script), timeout)

    def _by_console(self, script: str, timeout: float) -> Answer:
        return self._console.run(_as_root(script), self._seed.user, self._seed.password, timeout)


def _as_root(script: str) -> str:
    return f"sudo -n sh -c {shlex.quote(script)}"
