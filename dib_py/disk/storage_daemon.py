"""qemu-storage-daemon: started by the build's init, driven by the worker over a QMP socket in a directory of the build.

The two live apart on purpose: the daemon stays in the outer mount namespace with its FUSE exports, and must die with
the init, so :func:`spawn` runs there; :class:`StorageDaemon` is the client and can be anywhere that sees the directory.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from socket import AF_UNIX
from socket import socket as UnixSocket
from typing import Any

from qemu.qmp import ExecInterruptedError, ExecuteError, QMPClient, QMPError, StateError

from dib_py.errors import DiskError, HostError
from dib_py.loop_thread import LoopThread

PROGRAM = "qemu-storage-daemon"
SOCKET_NAME = "qmp.sock"
LOG_NAME = "storage-daemon.log"

# Of a node that writes: nothing is written through, as a build that dies starts again and a layer is known by its
# digest, and freed blocks leave the file.
FILE_OPTIONS = {"discard": "unmap", "cache": {"no-flush": True}}

_PR_SET_PDEATHSIG = 1
_SUN_PATH_MAX = 107
_REPLY_LIMIT = 16 * 1024**2  # bytes of one reply; a chain of hundreds of nodes is described in one
_COMMAND_TIMEOUT = 300.0  # seconds; a command drains what is in flight first
_END_WITHIN = 2.0  # seconds for a daemon that is asked to end to close its files
_TAIL = 5  # lines of the daemon's log that a message has
_WAITS = "info: QEMU waiting for connection on"  # in the log of each daemon
_POLL = 0.001  # seconds between looks at something that ends soon


def spawn(directory: Path) -> subprocess.Popen[bytes]:
    """Start a storage daemon that serves QMP in ``directory``, writes its log there and dies with this thread.

    It has a session of its own, so that an interrupt typed at the terminal does not reach it. Raises HostError where
    the program is missing, DiskError where the directory's path is too long for a socket.
    """
    socket = socket_path(directory, SOCKET_NAME)
    libc = ctypes.CDLL(None, use_errno=True)
    parent = os.getpid()

    def die_with_parent() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it ended between fork and prctl
            os._exit(1)

    # wait=on: the first client is taken before the monitor's thread starts. With wait=off both threads can see it: the
    # daemon (qemu 7.2) then crashes, once in thousands of starts, or one thread waits for another client for ever.
    argv = [
        PROGRAM,
        "--chardev",
        f"socket,id=qmp,path={_escaped(socket)},server=on,wait=on",
        "--monitor",
        "chardev=qmp",
    ]
    try:
        with (directory / LOG_NAME).open("ab") as log:
            return subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                start_new_session=True,
                preexec_fn=die_with_parent,
            )
    except FileNotFoundError as error:
        raise HostError(f"{PROGRAM} is not installed", hint="dib-py doctor lists what is needed") from error


@contextlib.contextmanager
def serving(directory: Path) -> Iterator[StorageDaemon]:
    """A storage daemon in ``directory`` and its client, while open, for one that no build's init has to hold."""
    process = spawn(directory)
    try:
        with StorageDaemon.connect(directory) as daemon:
            yield daemon
    finally:
        end(process, directory)


def end(process: subprocess.Popen[bytes], directory: Path) -> None:
    """End the daemon that :func:`spawn` started in ``directory``, with its exports: at once, or in some seconds."""
    process.terminate()
    with contextlib.suppress(OSError), UnixSocket(AF_UNIX) as client:  # one that had no client yet waits for it first
        client.setblocking(False)
        client.connect(str(directory / SOCKET_NAME))
    try:
        process.wait(_END_WITHIN)
    except subprocess.TimeoutExpired:
        process.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_END_WITHIN)


def socket_path(directory: Path, name: str) -> Path:
    """The path of a unix socket in ``directory``; DiskError where the kernel could not bind it."""
    path = directory / name
    if len(os.fsencode(path)) > _SUN_PATH_MAX:
        raise DiskError(
            f"the path {path} is too long for a unix socket ({_SUN_PATH_MAX} bytes at most)",
            hint="choose a shorter TMPDIR",
        )
    return path


def _escaped(path: Path) -> str:
    """``path`` as a value in one of qemu's option lists."""
    return str(path).replace(",", ",,")


class StorageDaemon:
    """A synchronous QMP client: the connection's event loop runs in a thread of its own, for its whole life."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._client = QMPClient("dib-py", readbuflen=_REPLY_LIMIT)
        self._loop = LoopThread("storage-daemon")

    @classmethod
    def connect(cls, directory: Path, timeout: float = 60.0) -> StorageDaemon:
        """The client of the daemon that :func:`spawn` starts or started; waits ``timeout`` seconds for its socket."""
        daemon = cls(directory)
        socket = str(socket_path(directory, SOCKET_NAME))
        deadline = time.monotonic() + timeout
        while True:
            try:
                daemon._loop.call(daemon._client.connect(socket), timeout)
                return daemon
            except (QMPError, OSError, asyncio.TimeoutError) as error:
                if time.monotonic() >= deadline:
                    daemon.close()
                    raise DiskError(
                        f"the storage daemon did not answer within {timeout:g} s{daemon._tail()}"
                    ) from error
                time.sleep(_POLL)

    def __enter__(self) -> StorageDaemon:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def execute(self, command: str, **arguments: Any) -> Any:
        """Run a QMP command and return its value; names in ``arguments`` are written with ``_`` for QMP's ``-``.

        Raises DiskError, which names the command, when the daemon refuses it, does not answer, or has ended.
        """
        sent = {name.replace("_", "-"): value for name, value in arguments.items()}
        try:
            return self._loop.call(self._client.execute(command, sent or None), _COMMAND_TIMEOUT)
        except ExecuteError as error:
            raise DiskError(f"storage daemon: {command}: {error}") from error
        except asyncio.TimeoutError as error:  # first: from Python 3.11 on it is an OSError
            raise DiskError(f"storage daemon: {command}: no answer within {_COMMAND_TIMEOUT:g} s") from error
        except (ExecInterruptedError, StateError, EOFError, OSError) as error:
            raise DiskError(f"storage daemon: {command}: the daemon has ended{self._tail()}") from error

    def run_job(self, command: str, **arguments: Any) -> None:
        """Start a background job with ``command`` and wait for its end; DiskError with the job's own words."""
        job = f"job-{command}"
        self.execute(command, job_id=job, **arguments)
        while True:
            state = next(one for one in self.execute("query-jobs") if one["id"] == job)
            if state["status"] == "concluded":
                break
            time.sleep(_POLL)
        self.execute("job-dismiss", id=job)
        if "error" in state:
            raise DiskError(f"storage daemon: {command}: {state['error']}")

    def close(self) -> None:
        """Hang up; the daemon goes on. May be called again."""
        if self._loop.closed:
            return
        with contextlib.suppress(Exception):  # a connection that broke reports it here once more
            self._loop.call(self._client.disconnect(), 10.0)
        self._loop.close()

    def _tail(self) -> str:
        """The end of the daemon's log, ready to be appended to a message."""
        try:
            text = (self.directory / LOG_NAME).read_text(errors="replace")
        except OSError:
            return ""
        last = [line for line in text.splitlines() if _WAITS not in line][-_TAIL:]
        return ":\n" + "\n".join(last) if last else " (its log is empty)"
