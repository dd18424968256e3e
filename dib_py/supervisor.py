"""The process that the user sees: it starts the build in namespaces of its own, shows its events and cleans up after.

Invariant: whatever ends this process, also SIGKILL, ends all of the build; what that leaves (a directory, a partial
file) is in the build's record, and is removed here or by the next run. ``docs/processes.rst`` has the picture.
"""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from types import FrameType

from dib_py import events, isolation, sweep
from dib_py.errors import DibError, HostError
from dib_py.events import BuildFailed, Events, Message, Subscriber
from dib_py.isolation import Channel, Worker
from dib_py.settings import Settings
from dib_py.state import build_root

__all__ = ["Worker", "check_build_root", "run"]

Work = Callable[[Worker], None]

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_END_WITHIN = 3.0  # seconds for a killed build to end, before its FUSE connections are aborted; and once more after
_LONGEST_LINE = 16 * 1024**2


def check_build_root(settings: Settings) -> None:
    """Raise HostError unless build directories can be made; nothing has started yet."""
    root = build_root(settings)
    if not root.is_dir():
        raise HostError(
            f"the directory to build in, {root}, {'is no directory' if root.exists() else 'does not exist'}",
            hint="--tmp-dir and TMPDIR name it; without them it is /var/tmp",
        )
    sweep.check_build_directory(root)


def run(work: Work, settings: Settings, subscribers: Iterable[Subscriber] = ()) -> int:
    """Run ``work`` in a worker of its own and return the exit code for the command.

    Call it from the main thread, before any other thread exists. Errors of the worker come as BuildFailed to the
    subscribers; an interrupt ends the build with 128 and the signal's number. What a subscriber raises ends the build
    and is raised again, BrokenPipeError as exit code 141. HostError where no build can be started.
    """
    out = Events(*subscribers)
    removed = sweep.sweep()
    if removed:
        out.info(f"removed what a build that was killed had left: {', '.join(removed)}")
    record = sweep.Record.create()
    supervisor: _Supervisor | None = None
    try:
        directory = sweep.make_build_directory(record, build_root(settings))
        supervisor = _Supervisor(work, directory, record, out)
        try:
            return supervisor.run()
        except BrokenPipeError:
            return 128 + signal.SIGPIPE
    finally:
        if supervisor is None or supervisor.build_has_ended:
            record.remove_all()
            sweep.stale_partition_nodes()


class _Supervisor:
    """One build, from fork to reaping."""

    def __init__(self, work: Work, directory: Path, record: sweep.Record, out: Events) -> None:
        self._work = work
        self._directory = directory
        self._record = record
        self._out = out
        self._channel = Channel.open()
        self._signal = 0
        self._failure: BuildFailed | None = None
        self._keeper: int | None = None  # its process, and that of the build's init, once they run
        self._init: int | None = None
        self._ended: int | None = None  # the build's exit status, once it has one

    def run(self) -> int:
        wakeup = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        before = {number: signal.signal(number, self._note_signal) for number in self._wanted_signals()}
        before_wakeup = signal.set_wakeup_fd(wakeup[1], warn_on_full_buffer=False)
        try:
            self._start()
            self._follow(wakeup[0])
        finally:
            try:
                self._kill()
            finally:
                signal.set_wakeup_fd(before_wakeup)
                for number, handler in before.items():
                    signal.signal(number, handler)
                self._channel.close()
                os.close(wakeup[0])
                os.close(wakeup[1])
        return self._exit_code()

    @property
    def build_has_ended(self) -> bool:
        """False only for one that even SIGKILL could not end; its record stays for a later run."""
        return self._keeper is None or self._ended is not None

    def _wanted_signals(self) -> list[signal.Signals]:
        """SIGINT and SIGTERM always, also in a script's background; SIGHUP unless nohup asked to ignore it."""
        ignored = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
        return [signal.SIGCHLD, *(one for one in SIGNALS if one is not signal.SIGHUP or not ignored)]

    def _note_signal(self, number: int, frame: FrameType | None) -> None:
        if number != signal.SIGCHLD and not self._signal:
            self._signal = number

    def _start(self) -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)  # a handler of ours must not run in the child
        try:
            self._keeper = os.fork()
            if self._keeper == 0:
                isolation.keep(self._work, self._directory, self._record, self._channel)
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        self._channel.keep_supervisor_side()
        word = self._channel.first_word()
        if not word.isdigit():
            raise HostError(
                f"the build's namespaces can't be made: {word or 'the process that makes them died'}",
                hint="run as root, or allow user namespaces (sysctl user.max_user_namespaces, "
                "kernel.apparmor_restrict_unprivileged_userns)",
            )
        self._init = int(word)

    def _follow(self, wakeup: int) -> None:
        """Hand events on until the build or the user ends it."""
        poll = select.poll()
        for file in (wakeup, self._channel.events, self._channel.stray):
            poll.register(file, select.POLLIN)
        lines, stray = _Lines(self._dispatch), _Lines(self._dispatch_stray)
        while self._ended is None and not self._signal:
            for file, _ in poll.poll():
                if file == wakeup:
                    with suppress(BlockingIOError):
                        os.read(wakeup, 512)
                    self._reap()
                elif not (lines if file == self._channel.events else stray).read(file):
                    poll.unregister(file)
        if self._signal:
            name = signal.Signals(self._signal).name
            self._fail(BuildFailed(f"interrupted by {name}", "", 128 + self._signal))
            return
        for file, reader in ((self._channel.events, lines), (self._channel.stray, stray)):
            while reader.read(file):  # every writer has ended
                pass
        stray.finish()  # of an event, what has no newline is no event: its writer was killed

    def _dispatch(self, line: bytes) -> None:
        event = events.from_json(line.decode())
        if isinstance(event, events.TerminalReturned):
            isolation.take_foreground()
        if isinstance(event, BuildFailed):
            self._failure = event
        self._out.emit(event)
        if isinstance(event, events.TerminalLent):
            self._channel.grant_terminal()

    def _dispatch_stray(self, line: bytes) -> None:
        self._out.emit(Message("debug", line.decode(errors="replace")))

    def _fail(self, failure: BuildFailed) -> None:
        self._failure = failure
        self._out.emit(failure)

    def _exit_code(self) -> int:
        if self._failure is not None:
            return self._failure.exit_code
        if self._ended != 0:
            number = -(self._ended or 0)
            how = f"was killed by signal {number}" if number > 0 else f"ended with code {self._ended}"
            hint = "the kernel's log says if memory ran out (dmesg)" if number == signal.SIGKILL else ""
            self._fail(BuildFailed(f"the build's worker {how}", hint, 1))
            return 1
        return 0

    # -- the end
    def _reap(self) -> bool:
        """Whether the build has ended."""
        if self._keeper is not None and self._ended is None:
            pid, status = os.waitpid(self._keeper, os.WNOHANG)
            if pid:
                code = os.waitstatus_to_exitcode(status)
                self._ended = 128 - code if code > 128 else code  # keepers say 128 + n for a build that signal n ended
        return self._ended is not None

    def _kill(self) -> None:
        """End all of the build at once; what waits for a daemon that is gone is freed."""
        if self._keeper is None or self._reap():
            return
        with suppress(ProcessLookupError):
            os.kill(self._init or self._keeper, signal.SIGKILL)
        if self._wait(_END_WITHIN):
            return
        for number in self._record.entries(sweep.FUSE):
            with suppress(OSError, DibError):
                sweep.abort_connection(int(number))
        if not self._wait(_END_WITHIN):
            self._out.warning(f"the build (process {self._init}) does not end; the next run will sweep what it leaves")

    def _wait(self, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while not self._reap() and time.monotonic() < deadline:
            time.sleep(0.01)
        return self._ended is not None


class _Lines:
    """Cuts what a pipe gives into lines."""

    def __init__(self, dispatch: Callable[[bytes], None]) -> None:
        self._dispatch = dispatch
        self._rest = b""

    def read(self, file: int) -> bool:
        """Read once; False at the end, or when nothing is there."""
        try:
            chunk = os.read(file, 65536)
        except BlockingIOError:
            return False
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        if len(self._rest) > _LONGEST_LINE:
            lines, self._rest = [*lines, self._rest], b""
        for line in lines:
            self._dispatch(line)
        return bool(chunk)

    def finish(self) -> None:
        """Take what follows the last newline for a line too."""
        if self._rest:
            self._dispatch(self._rest)
            self._rest = b""
