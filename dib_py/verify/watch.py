"""The watch over one boot: it says on the board what of the guest has come, and what won't come any more."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from dataclasses import dataclass

from dib_py.errors import DibError
from dib_py.verify.agent import Agent
from dib_py.verify.board import Board
from dib_py.verify.checks import Limits, Need, Trouble
from dib_py.verify.console import Console
from dib_py.verify.result import Stage
from dib_py.verify.shell import Shell
from dib_py.verify.ssh import Ssh

IN_GUEST = (Need.LOGIN, Need.AGENT, Need.SSH, Need.SHELL, Need.CLOUD_INIT)  # what ends with the machine

_LOOK = 0.25  # seconds between looks at what has become of time
_AFTERMATH = 2.0  # seconds for the guest to say more about what is wrong
_PROMPT_SHARE = 1 / 3  # of a door's limit: how long after a door opens a prompt may come yet
_AGENT_WITHIN = 15.0
_AGENT_AGAIN = 1.0
_SSH_AGAIN = 2.0
_CLOUD_INIT_AGAIN = 3.0
_RESULT = "/run/cloud-init/result.json"  # written when the last of cloud-init's stages has ended
_JOIN_WITHIN = 5.0
_PANICKED = "the guest says that it panicked"


@dataclass(frozen=True)
class Doors:
    """The ways into a machine that is on, or was."""

    console: Console
    agent: Agent
    ssh: Ssh
    shell: Shell


class Watch:
    """Threads of its own, from :meth:`start` to :meth:`stop`."""

    def __init__(
        self,
        doors: Doors,
        board: Board,
        limits: Limits,
        clock: Callable[[], float],
        note: Callable[[str], None],
        give_up: Callable[[Trouble], None],
    ) -> None:
        """``note`` takes what belongs on the timeline; ``give_up`` is called when the guest won't come up."""
        self._doors = doors
        self._board = board
        self._limits = limits
        self._clock = clock
        self._note = note
        self._give_up = give_up
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []
        self._started = clock()
        self._panicked = False
        self._trouble_since: float | None = None
        self._door_open_since: float | None = None
        self._up_since: float | None = None
        self._cloud_init_since: float | None = None  # when it was settled whether cloud-init ends

    def start(self) -> None:
        for work in (self._watch, self._await_ssh, self._await_shell):
            self._start(work)

    def stop(self) -> None:
        """No thread is left that would say more, as far as they can be ended."""
        self._stopping.set()
        for thread in self._threads:
            thread.join(_JOIN_WITHIN)

    @property
    def came_up(self) -> bool:
        return self._up_since is not None

    def panicked(self) -> None:
        """The guest told qemu so."""
        self._panicked = True

    def restarted(self) -> None:
        """The machine was reset: what was in its way may not be there the next time."""
        self._doors.console.restarted()
        self._trouble_since, self._panicked = None, False

    def greet_agent(self) -> None:
        """Somebody opened the agent's port in the guest."""
        self._start(self._await_agent)

    def _watch(self) -> None:
        while not self._stopping.wait(_LOOK):
            now = self._clock()
            if self._up_since is None:
                self._look_for_coming_up(now)
            else:
                self._look_for_lateness(now, self._up_since)
            if self._doors.console.cloud_init_ended:
                self._cloud_init_ended()

    def _look_for_coming_up(self, now: float) -> None:
        console, limits = self._doors.console, self._limits
        open_for = now - self._door_open_since if self._door_open_since is not None else 0.0
        if console.stage is Stage.LOGIN or open_for > limits.door * _PROMPT_SHARE:
            self._up_since = now
            self._board.up(Need.LOGIN)
        elif console.trouble is not None or self._panicked:
            self._trouble_since = self._trouble_since or now
            if now - self._trouble_since > _AFTERMATH:
                self._give_up(console.trouble or Trouble(console.stage, _PANICKED))
        elif now - console.last_word > limits.silence:
            self._give_up(Trouble(console.stage, f"it hangs: nothing on the console for {limits.silence:g} s"))
        elif now - self._started > limits.login:
            self._give_up(Trouble(console.stage, f"it has not come up within {limits.login:g} s"))

    def _look_for_lateness(self, now: float, up_since: float) -> None:
        """Settle what has not come in its time since the guest came up."""
        console, limits = self._doors.console, self._limits
        if console.flooded or self._panicked:
            self._give_up((console.trouble if console.flooded else None) or Trouble(Stage.LOGIN, _PANICKED))
        if now - up_since > limits.cloud_init:
            self._board.never(f"cloud-init has not ended within {limits.cloud_init:g} s", Need.CLOUD_INIT)
        if self._board.reason(Need.CLOUD_INIT) is not None:
            self._cloud_init_since = self._cloud_init_since or now
            if now - self._cloud_init_since > limits.door:
                self._board.never("the guest agent does not answer", Need.AGENT)
                self._board.never("no ssh server answers", Need.SSH)

    # -- doors
    def _await_agent(self) -> None:
        while not self._stopping.is_set() and not self._board.is_up(Need.AGENT):
            with contextlib.suppress(DibError):
                self._doors.agent.ask("guest-ping", _AGENT_WITHIN)
                self._open(Need.AGENT, "the guest agent answers")
                return
            self._stopping.wait(_AGENT_AGAIN)

    def _await_ssh(self) -> None:
        while not self._stopping.wait(_SSH_AGAIN) and self._board.reason(Need.SSH) is None:
            if said := self._doors.ssh.banner():
                self._open(Need.SSH, f"the ssh server answers: {said}")
                return

    def _await_shell(self) -> None:
        shell = self._doors.shell
        try:
            if shell.open(self._doors_stay_closed, self._stopping):
                self._note(f"commands can be run by {shell.name}")
                self._board.up(Need.SHELL)
        finally:
            self._board.never("no door into the guest opened", Need.SHELL)
        if self._board.is_up(Need.SHELL):
            self._await_cloud_init()

    def _doors_stay_closed(self) -> bool:
        """Each of the doors' needs has been settled, and time enough has passed for those that came."""
        settled = all(self._board.reason(need) is not None for need in (Need.AGENT, Need.SSH, Need.CLOUD_INIT))
        since = self._cloud_init_since
        return settled and since is not None and self._clock() - since > 2 * self._limits.door

    def _open(self, need: Need, what: str) -> None:
        self._note(what)
        self._door_open_since = self._door_open_since or self._clock()
        self._board.up(need)

    # -- cloud-init
    def _await_cloud_init(self) -> None:
        """Ask for its end, for an image whose console does not tell."""
        while not self._stopping.is_set() and self._board.reason(Need.CLOUD_INIT) is None:
            with contextlib.suppress(DibError):
                if self._doors.shell.run(f"test -e {_RESULT}").exit_code == 0:
                    self._cloud_init_ended()
                    return
            self._stopping.wait(_CLOUD_INIT_AGAIN)

    def _cloud_init_ended(self) -> None:
        if self._board.reason(Need.CLOUD_INIT) is None:
            self._note("cloud-init has ended")
        self._board.up(Need.CLOUD_INIT)

    def _start(self, work: Callable[[], None]) -> None:
        thread = threading.Thread(target=work, name=work.__name__, daemon=True)
        self._threads.append(thread)
        thread.start()
