"""The host's side of the runner: programs started in the libguestfs appliance over a virtio-serial port.

libguestfs itself neither streams a program's output, nor returns its exit code, nor can cancel it, so a script of ours
(``guestfs-runner.sh``, which describes the protocol) waits at the other end of the port. A runner does one program at a
time; the handle stays free meanwhile.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from dib_py.errors import DibError, TargetError
from dib_py.target import HookTimeout, Output

SCRIPT = Path(__file__).with_name("guestfs-runner.sh")
# What the appliance's own programs are given; LVM's configuration is the one that libguestfs's daemon makes.
ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C", "HOME": "/root", "LVM_SYSTEM_DIR": "/tmp/lvm"}

_KILL_GRACE = 60.0  # seconds in which the appliance must have ended a program that it was told to kill
_KILL_AGAIN = 2.0  # seconds; the first request may come before the program has started
_CONNECTED_WITHIN = 10.0  # seconds; qemu connects when it starts
_CHUNK = 256 * 1024
_SUN_PATH_MAX = 107


@dataclass(frozen=True)
class Program:
    """What to run: in ``root`` of the appliance ("" is the appliance itself), from ``cwd``, with exactly ``env``.

    ``space`` is where a proc of its own is mounted ("-": nowhere); "none" leaves it in the appliance's own namespaces,
    as mounting for the guest needs.
    """

    argv: Sequence[str]
    env: Mapping[str, str]
    root: str = ""
    cwd: str = "/"
    space: str = "none"
    input: bytes = b""

    @property
    def environment(self) -> bytes | None:
        """As the runner reads it; TargetError where a NUL is in it."""
        return _encoded([f"{name}={value}" for name, value in self.env.items()])

    def request(self, nonce: str) -> bytes:
        """All that goes to the runner; TargetError where a field holds a NUL, which no program can be given."""
        return _request("run", nonce, self.space, [self.root, self.cwd, *self.argv], self.input)


@dataclass(frozen=True)
class Script:
    """A text of the engine's own, for the runner's bash: a fork costs a tenth of what a bash of its own does.

    It runs with ``set -eu`` and the environment that the runner was started with.
    """

    text: str
    arguments: Sequence[str] = ()
    input: bytes = b""

    environment: ClassVar[bytes | None] = None

    def request(self, nonce: str) -> bytes:
        """All that goes to the runner; TargetError where an argument holds a NUL."""
        return _request("script", nonce, "-", [self.text, *self.arguments], self.input)


def _request(verb: str, nonce: str, space: str, fields: Sequence[str], input: bytes) -> bytes:
    encoded = _encoded(fields)
    return f"{verb} {nonce} {space} {len(fields)} {len(encoded)} {len(input)}\n".encode() + encoded + input


def _encoded(fields: Sequence[str]) -> bytes:
    if any("\0" in field for field in fields):
        raise TargetError("an argument or a variable holds a NUL byte")
    return b"".join(os.fsencode(field) + b"\0" for field in fields)


class MarkerSplitter:
    """Finds the end marker in a stream, and holds back only what could be its beginning."""

    def __init__(self, marker: bytes) -> None:
        self._marker = marker
        self._held = b""

    def feed(self, chunk: bytes) -> tuple[bytes, int | None]:
        """The output that is certain by now, and the exit code once the marker was seen whole."""
        data = self._held + chunk
        at = data.find(self._marker)
        if at < 0:
            at = len(data) - self._overlap(data)
            self._held = data[at:]
            return data[:at], None
        end = data.find(b"\n", at)
        if end < 0:
            self._held = data[at:]
            return data[:at], None
        return data[:at], int(data[at + len(self._marker) : end])

    def _overlap(self, data: bytes) -> int:
        longest = min(len(data), len(self._marker) - 1)
        return next((n for n in range(longest, 0, -1) if data.endswith(self._marker[:n])), 0)


class Runner:
    """One port: :meth:`listen` before the appliance starts, :meth:`accept` once it runs, then :meth:`run`."""

    def __init__(self, path: Path, listener: socket.socket, last_words: Callable[[], str]) -> None:
        self.path = path
        self.name = path.stem
        self._listener = listener
        self._last_words = last_words
        self._port: socket.socket | None = None
        self._environment: bytes | None = None  # that the runner has
        self._lock = threading.Lock()

    @classmethod
    def listen(cls, path: Path, last_words: Callable[[], str] = lambda: "") -> Runner:
        """A socket at ``path`` for the appliance's qemu; ``last_words`` says what it printed before it died."""
        if len(os.fsencode(path)) > _SUN_PATH_MAX:
            raise TargetError(f"the path {path} is too long for a unix socket", hint="choose a shorter TMPDIR")
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(path))
        listener.listen(1)
        return cls(path, listener, last_words)

    def accept(self) -> None:
        """Take the connection that qemu made when it started."""
        self._listener.settimeout(_CONNECTED_WITHIN)
        try:
            self._port, _ = self._listener.accept()
        except TimeoutError as error:
            raise TargetError("the appliance did not open its port to the runner") from error
        finally:
            self._listener.close()

    def fileno(self) -> int:
        """The connection's descriptor, for a port on which no runner waits."""
        return self._open_port().fileno()

    def close(self) -> None:
        self._listener.close()
        if self._port is not None:
            with contextlib.suppress(OSError):
                self._port.shutdown(socket.SHUT_RDWR)  # a process that was forked may have it too
            self._port.close()
            self._port = None
        self.path.unlink(missing_ok=True)

    def run(self, program: Program | Script, output: Output, timeout: float | None = None) -> int:
        """Run a program to its end; returns its exit code, 128 + n if signal n ended it.

        Raises HookTimeout after ``timeout`` seconds. Whatever is raised, also by ``output``, the program has ended.
        """
        environment = program.environment
        with self._lock:
            run = _Run(self._open_port(), self._last_words)
            if environment is not None and environment != self._environment:
                run.send_environment(environment)
                self._environment = environment
            return run.carry_out(program, output, timeout)

    def check(self, script: str, *arguments: str, input: bytes = b"", timeout: float | None = 600.0) -> str:
        """Run a shell script in the appliance itself and return what it printed; TargetError where it fails."""
        printed = bytearray()
        try:
            code = self.run(Script(script, arguments, input), printed.extend, timeout)
        except HookTimeout as error:
            raise TargetError(f"the appliance did not end this within {timeout:g} s: {script.strip()}") from error
        text = printed.decode(errors="replace")
        if code != 0:
            raise TargetError(f"in the appliance, this failed with exit code {code}: {script.strip()}\n{text.strip()}")
        return text

    def _open_port(self) -> socket.socket:
        if self._port is None:
            raise TargetError("the appliance is not running")
        return self._port


class _Run:
    """One program on its way."""

    def __init__(self, port: socket.socket, last_words: Callable[[], str]) -> None:
        self._port = port
        self._last_words = last_words
        self._nonce = secrets.token_hex(16)
        self._stream = MarkerSplitter(f"\0dib-end {self._nonce} ".encode())

    def send_environment(self, environment: bytes) -> None:
        self._send(f"environment {len(environment)}\n".encode() + environment)

    def carry_out(self, program: Program | Script, output: Output, timeout: float | None) -> int:
        request = program.request(self._nonce)
        deadline = None if timeout is None else time.monotonic() + timeout
        try:
            self._send(request)
            code = self._follow(output, deadline)
        except TargetError:  # there is no runner any more
            raise
        except BaseException:
            self._end()
            raise
        if code is None:
            self._end()
            raise HookTimeout
        return code

    def _follow(self, output: Output, deadline: float | None) -> int | None:
        """Hand on the output until the program has ended; None when the deadline came first."""
        while True:
            chunk = self._receive(deadline)
            if chunk is None:
                return None
            certain, code = self._stream.feed(chunk)
            if certain:
                output(certain)
            if code is not None:
                return code

    def _end(self) -> None:
        """Have the program killed and wait until it is gone, throwing its output away."""
        give_up = time.monotonic() + _KILL_GRACE
        while time.monotonic() < give_up:
            self._send(f"kill {self._nonce}\n".encode())
            if self._follow(lambda chunk: None, min(give_up, time.monotonic() + _KILL_AGAIN)) is not None:
                return
        raise TargetError("the appliance could not end a program", hint=self._last_words())

    def _receive(self, deadline: float | None) -> bytes | None:
        """The next bytes from the appliance; None when the deadline has passed."""
        left = None if deadline is None else deadline - time.monotonic()
        if left is not None and left <= 0:
            return None
        self._port.settimeout(left)
        try:
            chunk = self._port.recv(_CHUNK)
        except TimeoutError:
            return None
        except OSError as error:
            raise self._gone() from error
        if not chunk:
            raise self._gone()
        return chunk

    def _send(self, data: bytes) -> None:
        self._port.settimeout(None)
        try:
            self._port.sendall(data)
        except OSError as error:
            raise self._gone() from error

    def _gone(self) -> DibError:
        return TargetError("the libguestfs appliance has ended", hint=self._last_words())
