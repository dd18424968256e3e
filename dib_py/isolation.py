"""The build's side of the supervisor: keeper, init and worker, each forked from the one before.

keeper: in the host's pid namespace, so that it can be waited for. init: process 1 of the build, in the outer mount
namespace with the storage daemon; reaps. worker: in the nested mount namespace, where the guest is mounted and hooks
run. All of them die with the supervisor: by the death signal, and by the end of a pipe that only the supervisor holds.
"""

from __future__ import annotations

import os
import select
import signal
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from dib_py import build_directory, events, mount_table, namespaces, sweep
from dib_py.disk import storage_daemon
from dib_py.errors import DibError, HookFailed, HostError
from dib_py.events import BuildFailed, Event, Events, Message
from dib_py.namespaces import CLONE_NEWNS, CLONE_NEWPID, CLONE_NEWUSER, MS_NODEV, MS_NOEXEC, MS_NOSUID, MS_REC
from dib_py.state import build_path

MARKER = "DIB_PY_BUILD"  # in the environment of every process of a build: its directory's name

_GRANT_WITHIN = 10.0  # seconds for the terminal's displays to stop


@dataclass
class Channel:
    """The pipes between the supervisor and the build; -1 for an end that this process has closed."""

    events: int  # JSON lines from the worker
    events_in: int
    stray: int  # what anything in the build writes to standard output or error
    stray_in: int
    life: int  # never written to: its end means that the supervisor is gone
    life_in: int
    word: int  # the first word of the keeper: init's pid, or what went wrong
    word_in: int
    grant: int  # a byte for each time that the terminal is lent to the worker
    grant_in: int

    @classmethod
    def open(cls) -> Channel:
        ends = [end for _ in range(5) for end in os.pipe2(os.O_CLOEXEC)]
        channel = cls(*ends)
        os.set_blocking(channel.events, False)
        os.set_blocking(channel.stray, False)
        return channel

    def keep_supervisor_side(self) -> None:
        self.close_ends("events_in", "stray_in", "life", "word_in", "grant")

    def keep_build_side(self) -> None:
        self.close_ends("events", "stray", "life_in", "word", "grant_in")

    def close(self) -> None:
        self.close_ends(*self.__dataclass_fields__)

    def close_ends(self, *names: str) -> None:
        """Close these ends in this process, if they are open."""
        for name in names:
            if getattr(self, name) >= 0:
                os.close(getattr(self, name))
                setattr(self, name, -1)

    def first_word(self) -> str:
        text = b""
        while chunk := os.read(self.word, 4096):
            text += chunk
        return text.decode(errors="replace")

    def say_word(self, text: str) -> None:
        os.write(self.word_in, text.encode())
        self.close_ends("word_in")

    def grant_terminal(self) -> None:
        with suppress(BrokenPipeError):
            os.write(self.grant_in, b"g")

    def supervisor_is_gone(self) -> bool:
        poll = select.poll()
        poll.register(self.life, select.POLLIN)
        return bool(poll.poll(0))


def open_terminal() -> int:
    """A descriptor of the user's terminal; HostError where there is none."""
    try:
        return os.open("/dev/tty", os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        raise HostError(
            "there is no terminal for a shell", hint="leave break= and --break out, or run on a terminal"
        ) from error


class Worker:
    """What the build's work is given."""

    def __init__(self, build_dir: Path, record: sweep.Record, channel: Channel) -> None:
        self.build_dir = build_dir  # private, the same path in every build
        self.daemon_directory = build_dir / build_directory.DAEMON  # for StorageDaemon.connect
        self.record = record
        self.events = Events(self._send)
        self._channel = channel
        self._sending = threading.Lock()

    def partial(self, final: Path) -> Path:
        """A path beside ``final`` for what is written until it is whole; a build that ends earlier leaves none."""
        return sweep.partial_path(self.record, final)

    @contextmanager
    def terminal(self) -> Iterator[int]:
        """The user's terminal, for an interactive program; displays stop meanwhile. HostError where there is none.

        Start the program through ``dib_py.foreground`` with the descriptor as its standard streams: it takes the
        terminal's foreground; the supervisor takes it back afterwards.
        """
        terminal = open_terminal()
        try:
            self.events.emit(events.TerminalLent())
            if not select.select([self._channel.grant], [], [], _GRANT_WITHIN)[0]:
                raise HostError("the terminal was not lent to the shell")
            os.read(self._channel.grant, 1)
            yield terminal
        finally:
            self.events.emit(events.TerminalReturned())
            os.close(terminal)

    def _send(self, event: Event) -> None:
        line = memoryview(events.to_json(event).encode() + b"\n")
        with self._sending:
            while line:
                line = line[os.write(self._channel.events_in, line) :]


def take_foreground() -> None:
    """Be the terminal's foreground process group again, if there is a terminal."""
    with suppress(OSError):
        terminal = os.open("/dev/tty", os.O_RDWR | os.O_CLOEXEC)
        before = signal.signal(signal.SIGTTOU, signal.SIG_IGN)  # a background process is stopped for this otherwise
        try:
            os.tcsetpgrp(terminal, os.getpgrp())
        finally:
            signal.signal(signal.SIGTTOU, before)
            os.close(terminal)


def keep(work: Callable[[Worker], None], directory: Path, record: sweep.Record, channel: Channel) -> NoReturn:
    """The keeper: makes the namespaces, starts init in them and passes its exit code on. Never returns."""
    code = 1
    try:
        parent = os.getppid()
        namespaces.die_with_parent()
        channel.keep_build_side()
        if os.getppid() != parent or channel.supervisor_is_gone():
            os._exit(1)
        record.unlock()
        os.setpgid(0, 0)  # an interrupt typed at the terminal is the supervisor's alone
        _plain_signals()
        _redirect_streams(channel.stray_in)
        os.environ[MARKER] = directory.name
        code = _start_init(work, directory, record, channel)
    except BaseException as error:
        with suppress(OSError):
            channel.say_word(str(error))
        traceback.print_exc()
    finally:
        os._exit(code)


def _start_init(work: Callable[[Worker], None], directory: Path, record: sweep.Record, channel: Channel) -> int:
    uid, gid = os.geteuid(), os.getegid()
    private = _private_path()
    if uid == 0:
        namespaces.unshare(CLONE_NEWPID)
    else:
        namespaces.unshare(CLONE_NEWUSER | CLONE_NEWPID)
        namespaces.map_to_root(uid, gid)
    init = os.fork()
    if init == 0:
        _guarded(lambda: _be_init(work, directory, private, record, channel))
    channel.say_word(str(init))
    channel.close()
    os.dup2(os.open(os.devnull, os.O_RDWR), 1)  # so that the pipe of stray output ends with the build
    os.dup2(1, 2)
    _, status = os.waitpid(init, 0)
    code = os.waitstatus_to_exitcode(status)
    return 128 - code if code < 0 else code


def _private_path() -> Path:
    sweep.state_directory()
    path = build_path()
    path.mkdir(mode=0o700, exist_ok=True)
    return path


def _plain_signals() -> None:
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def _redirect_streams(stray: int) -> None:
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.dup2(stray, 1)
    os.dup2(stray, 2)
    os.close(null)


def _guarded(body: Callable[[], int]) -> NoReturn:
    """Be a forked process that ends with what ``body`` returns, whatever it raises."""
    code = 1
    try:
        code = body()
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


# -- init
def _be_init(
    work: Callable[[Worker], None], directory: Path, private: Path, record: sweep.Record, channel: Channel
) -> int:
    namespaces.die_with_parent()
    if channel.supervisor_is_gone():
        return 1
    channel.close_ends("word_in")
    namespaces.unshare(CLONE_NEWNS)
    namespaces.propagation("/", namespaces.MS_SLAVE | MS_REC)
    namespaces.propagation("/", namespaces.MS_SHARED | MS_REC)
    namespaces.mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)
    namespaces.mount(directory, private, flags=namespaces.MS_BIND)
    wakeup = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    signal.set_wakeup_fd(wakeup[1], warn_on_full_buffer=False)
    (private / build_directory.DAEMON).mkdir()
    daemon = storage_daemon.spawn(private / build_directory.DAEMON)
    worker = os.fork()
    if worker == 0:
        _plain_signals()
        _guarded(lambda: _be_worker(work, Worker(private, record, channel)))
    code = _reap_until(worker, channel, wakeup[0], _FuseWatch(private, record))
    storage_daemon.end(daemon, private / build_directory.DAEMON)
    return code


class _FuseWatch:
    """Notes the FUSE connections of the build's exports in its record, as the mount table gets them."""

    def __init__(self, directory: Path, record: sweep.Record) -> None:
        self._directory = directory
        self._record = record
        self._noted: set[int] = set()
        self.table = mount_table.TABLE.open("rb", buffering=0)

    def look(self) -> None:
        self.table.seek(0)
        for entry in mount_table.parse(self.table.read()):
            ours = entry.fstype == "fuse" and entry.point.is_relative_to(self._directory)
            if ours and entry.minor not in self._noted:
                self._noted.add(entry.minor)
                self._record.note(sweep.FUSE, str(entry.minor))


def _reap_until(worker: int, channel: Channel, wakeup: int, fuse: _FuseWatch) -> int:
    """Reap what ends, until the worker does; its exit code. A supervisor that is gone ends it all at once."""
    poll = select.poll()
    poll.register(fuse.table, select.POLLPRI)
    poll.register(channel.life, select.POLLIN)
    poll.register(wakeup, select.POLLIN)
    while True:
        for file, _ in poll.poll():
            if file == channel.life:
                os._exit(1)
            if file == fuse.table.fileno():
                fuse.look()
            with suppress(BlockingIOError):
                os.read(wakeup, 512)
        with suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid == worker:
                    code = os.waitstatus_to_exitcode(status)
                    return 128 - code if code < 0 else code
                if pid == 0:
                    break


# -- worker
def _be_worker(work: Callable[[Worker], None], worker: Worker) -> int:
    namespaces.die_with_parent()
    namespaces.unshare(CLONE_NEWNS)
    namespaces.propagation("/", namespaces.MS_SLAVE | MS_REC)  # the outer namespace never learns of the guest's mounts
    namespaces.propagation("/", namespaces.MS_SHARED | MS_REC)  # and hooks' mounts are seen by later hooks
    namespaces.propagation("/proc", namespaces.MS_PRIVATE)  # but for each hook's own /proc
    try:
        work(worker)
    except DibError as error:
        worker.events.emit(_failure(error))
        return error.exit_code
    except BaseException as error:
        worker.events.emit(Message("debug", traceback.format_exc().rstrip()))
        worker.events.emit(
            BuildFailed(
                f"internal error: {type(error).__name__}: {error}",
                "this is a bug of dib-py; its log has the traceback (-v)",
                1,
            )
        )
        return 1
    return 0


def _failure(error: DibError) -> BuildFailed:
    if isinstance(error, HookFailed):
        return BuildFailed(
            str(error), error.hint, error.exit_code, error.phase, error.element, error.step, list(error.tail)
        )
    return BuildFailed(str(error), error.hint, error.exit_code)
