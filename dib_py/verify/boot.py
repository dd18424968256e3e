"""One boot of the machine: what checks are handed, from power on to its end."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from dib_py.errors import DibError, HostError
from dib_py.events import ConsoleOutput, Events, MachineEnded, MachineStarted, StageReached
from dib_py.verify.agent import Agent
from dib_py.verify.board import Board
from dib_py.verify.checks import Limits, Need, Reader, Request, Seed, Trouble, Unreachable
from dib_py.verify.console import Console
from dib_py.verify.console_copy import ConsoleCopy
from dib_py.verify.firmware import Firmware
from dib_py.verify.machine import AGENT_PORT, Hardware, Machine
from dib_py.verify.metadata import Metadata
from dib_py.verify.readers import Readers
from dib_py.verify.result import BootReport, Moment, Stage
from dib_py.verify.shell import Shell
from dib_py.verify.signs import is_of_emulation
from dib_py.verify.ssh import Ssh
from dib_py.verify.watch import IN_GUEST, Doors, Watch

MOST_RESETS = 3  # first boots may restart once or twice, to relabel or to change firmware variables
_NOTHING_WITHIN = 5.0  # seconds; a bootloader says something at once
_TELL = 0.25  # seconds between looks at what is to be told
_JOIN_WITHIN = 5.0
_COMMAND_WITHIN = 20.0  # seconds for a guest to take the command to switch itself off


@dataclass(frozen=True)
class Given:
    """What all boots of a verification have in common; ``clock`` is the seconds since its start."""

    image_path: Path
    image_format: str
    virtual_size: int
    disk_size: int
    seed: Seed
    seed_disk: Path
    limits: Limits
    metadata: Metadata
    readers: Readers
    directory: Path
    clock: Callable[[], float]
    events: Events
    kept_console: ConsoleCopy | None = None
    lacks_bootloader: bool = False


class Boot:
    """A :class:`dib_py.verify.checks.Subject`; the machine is on while this is open, and its answers stay after that.

    One that is never opened is the subject of checks that only read.
    """

    def __init__(self, given: Given, number: int, hardware: Hardware, disk: Path, board: Board) -> None:
        self.boot = number
        self.seed = given.seed
        self.limits = given.limits
        self.image_path = given.image_path
        self.image_format = given.image_format
        self.virtual_size = given.virtual_size
        self.disk_size = given.disk_size
        self.memory = hardware.memory
        self.board = board
        self._given = given
        self._hardware = hardware
        self._clock = given.clock
        self._machine = Machine(
            hardware, disk, given.seed_disk, given.directory / f"boot-{number}", self._on_machine_event
        )
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._ended = threading.Event()
        self._over = threading.Event()  # it has ended, or won't come up
        self._threads: list[threading.Thread] = []
        self._moments: list[Moment] = []
        self._trouble: Trouble | None = None
        self._ending = ""
        self._resets = 0
        self._asked_to_end = False
        self._ended_by_itself = False
        self._broken = ""
        self._is_accident = False
        self._screenshot: bytes | None = None
        self._told_stage = Stage.NOTHING
        self._told_line: list[str] = []
        self._finished_at: float | None = None
        self._opened = threading.Event()  # the doors are there, if not open

    # -- the machine
    def __enter__(self) -> Boot:
        self._started = self._clock()
        self._machine.__enter__()
        console = Console(self._machine.serial, self._clock, self._given.kept_console)
        agent = Agent(self._machine.agent, self.limits.command)
        ssh = Ssh(self.seed, self._given.directory, self.limits.command)
        shell = Shell(agent, ssh, console, self.seed, self.board, self.limits.command)
        self._doors = Doors(console, agent, ssh, shell)
        self._watch = Watch(self._doors, self.board, self.limits, self._clock, self._note, self.give_up)
        self._opened.set()
        self._machine.power_on()
        self._note("powered on")
        accelerator = "kvm" if self._hardware.kvm else "tcg"
        self._given.events.emit(MachineStarted(self.boot, accelerator, self._hardware.firmware.value))
        self.board.up(Need.MACHINE)
        self._watch.start()
        if self._given.lacks_bootloader:
            self._start(self._await_nothing)
        self._start(self._tell_all)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.finish()

    def finish(self) -> None:
        """Switch the machine off, if it is still on. May be called again."""
        if self._closing.is_set():
            return
        if self._machine.running:
            self._look_at_screen()
            self._ending = self._ending or (
                f"ended by the verification: {self._trouble.what}" if self._trouble else "ended by the verification"
            )
        self._closing.set()
        self._machine.kill()
        self._doors.console.close()
        self._watch.stop()
        for thread in self._threads:
            thread.join(_JOIN_WITHIN)
        self._machine.__exit__(None, None, None)
        self._finished_at = self._clock()
        self._note(self._ending)
        self._tell()
        self._given.events.emit(MachineEnded(self.boot, self._ending))
        self.board.never(f"the machine has ended: {self._ending}", *IN_GUEST, Need.MACHINE)

    def _await_nothing(self) -> None:
        """What a firmware that started an empty sector comes to: nothing is ever on the console."""
        if not self._over.wait(_NOTHING_WITHIN) and not self._doors.console.total:
            self.give_up(Trouble(Stage.FIRMWARE, "there is no bootloader: the disk's first sector holds no program"))

    def wait_until_over(self, timeout: float) -> bool:
        """Wait until the machine has ended, or is known not to come up; whether that is so."""
        return self._over.wait(max(0.0, timeout))

    @property
    def over(self) -> bool:
        return self._over.is_set()

    @property
    def ended_by_itself(self) -> bool:
        """Whether the guest switched the machine off."""
        return self._ended_by_itself

    @property
    def broken(self) -> str:
        """What ended qemu, where that was neither the guest nor the verification: it is no fault of the image's."""
        return self._broken

    @property
    def is_accident(self) -> bool:
        """Whether it is broken by the emulation's own fault, and another boot may well go on."""
        return self._is_accident

    def give_up(self, trouble: Trouble) -> None:
        """The guest won't come up, or won't answer any more."""
        with self._lock:
            if self._trouble is not None or self._over.is_set():
                return
            self._trouble = trouble
            if not self._hardware.kvm and self._opened.is_set() and is_of_emulation(self._doors.console.text):
                self._is_accident = True
                self._broken = f"the emulation (TCG) showed the kernel its own breakpoint: {trouble.what}"
        self._note(trouble.what)
        self._look_at_screen()
        self.board.never(trouble.what, *IN_GUEST)
        self._over.set()

    def switch_off(self, timeout: float) -> bool:
        """The power button, or a command where that is not heeded; whether the guest ended the machine in time."""
        deadline = self._clock() + timeout
        if not self._asked_to_end and self.press_power_button(min(self.limits.shutdown, timeout)):
            return True
        self._note("told to switch itself off by a command")
        with contextlib.suppress(DibError):
            self._doors.shell.run("poweroff", min(_COMMAND_WITHIN, max(1.0, deadline - self._clock())))
        self._ended.wait(max(0.0, min(self.limits.shutdown, deadline - self._clock())))
        return self._ended_by_itself

    def report(self) -> BootReport:
        end = self._clock() if self._finished_at is None else self._finished_at
        moments = sorted((*self._moments, *self._doors.console.moments), key=lambda moment: moment.at)
        return BootReport(
            self.boot,
            self.stage,
            self._ending,
            self._started,
            end - self._started,
            tuple(moments),
            self._doors.console.lines,
            self._screenshot,
        )

    @property
    def stage(self) -> Stage:
        """How far it has come: to the login where a door is open, whatever the console says; no further than where it
        was given up."""
        if self._trouble is not None and self._trouble.stage is Stage.FIRMWARE:
            return Stage.FIRMWARE
        if not self._opened.is_set():
            return Stage.NOTHING
        return Stage.LOGIN if self._watch.came_up else self._doors.console.stage

    @property
    def firmware(self) -> Firmware:
        return self._hardware.firmware

    # -- what checks ask
    @property
    def requests(self) -> Sequence[Request]:
        return self._given.metadata.requests

    @property
    def trouble(self) -> Trouble | None:
        return self._trouble

    @property
    def ending(self) -> str:
        return self._ending

    @property
    def console(self) -> Console:
        return self._known_doors.console

    @property
    def agent(self) -> Agent:
        return self._known_doors.agent

    @property
    def ssh(self) -> Ssh:
        return self._known_doors.ssh

    @property
    def shell(self) -> Shell:
        return self._known_doors.shell

    @property
    def _known_doors(self) -> Doors:
        if not self._opened.is_set():
            raise Unreachable("no machine was started")
        return self._doors

    @property
    def image(self) -> Reader:
        return self._given.readers.image

    @property
    def disk(self) -> Reader:
        return self._given.readers.disk

    def wait(self, need: Need, timeout: float) -> bool:
        return self.board.wait(need, timeout)

    def press_power_button(self, timeout: float) -> bool:
        self._look_at_screen()
        self._asked_to_end = True
        self._note("power button pressed")
        with contextlib.suppress(HostError):  # it has ended meanwhile
            self._machine.press_power_button()
        return self._ended.wait(timeout) and self._ended_by_itself

    # -- what happens
    def _on_machine_event(self, name: str, data: dict[str, Any]) -> None:
        if name == "ENDED":
            self._on_end(int(data["code"]), bool(data["guest"]))
        elif name == "FIRMWARE":
            self._doors.console.hint(data["line"])
        elif name == "RESET" and data.get("guest"):
            self._on_reset()
        elif name == "GUEST_PANICKED":
            self._watch.panicked()
        elif name == "BLOCK_IO_ERROR":
            self._start(lambda: self._on_disk_error(data))
        elif (name, data) == ("VSERPORT_CHANGE", {"id": AGENT_PORT, "open": True}):
            self._watch.greet_agent()

    def _on_end(self, code: int, by_guest: bool) -> None:
        self._ended_by_itself = by_guest
        if self._opened.is_set():
            self._doors.console.close()  # its last words tell how far it came
        if not self._ending and not self._closing.is_set():
            if by_guest:
                self._ending = "the guest switched the machine off"
            else:
                said = self._machine.messages.splitlines()[-1:] or [_how(code)]
                self._ending = f"qemu was ended, and not by the guest: {said[0]}"
                self._broken = "" if self._trouble else self._ending
        if not self._asked_to_end and not self._closing.is_set():
            with self._lock:
                self._trouble = self._trouble or Trouble(self.stage, self._ending)
        self._ended.set()
        self._over.set()
        self.board.never(f"the machine has ended: {self._ending}", *IN_GUEST)

    def _on_disk_error(self, data: dict[str, Any]) -> None:
        what = f"the disk can't be read or written: {data.get('reason', '')}"
        if data.get("nospace") is True and self._trouble is None:
            self._broken = what = "there is no room left on this machine for what the guest writes"
        self.give_up(Trouble(self.stage, what))

    def _on_reset(self) -> None:
        self._resets += 1
        self._note("restarted")
        self._watch.restarted()
        if self._resets >= MOST_RESETS:
            seconds = self._clock() - self._started
            what = f"it restarts again and again: {self._resets} times in {seconds:.0f} s"
            self._start(lambda: self.give_up(Trouble(self.stage, what)))

    # -- what is told
    def _tell_all(self) -> None:
        while not self._closing.wait(_TELL):
            self._tell()

    def _tell(self) -> None:
        """Say how far it is: the console's last line as often as somebody can read it, not as it comes."""
        stage = self.stage
        last = self._doors.console.tail(1)
        if last and last != self._told_line:
            self._told_line = last
            self._given.events.emit(ConsoleOutput(last[0]))
        if stage > self._told_stage:
            self._told_stage = stage
            self._given.events.emit(StageReached(self.boot, stage.word, self._clock() - self._started))

    def _note(self, text: str) -> None:
        self._moments.append(Moment(self._clock(), text))

    def _look_at_screen(self) -> None:
        self._screenshot = self._machine.screenshot() or self._screenshot

    def _start(self, work: Callable[[], None]) -> None:
        thread = threading.Thread(target=work, name=f"boot-{self.boot}", daemon=True)
        self._threads.append(thread)
        thread.start()


def _how(code: int) -> str:
    """What an exit code says of a process that says nothing itself."""
    return f"it was killed by signal {-code} ({signal.strsignal(-code)})" if code < 0 else f"exit code {code}"
