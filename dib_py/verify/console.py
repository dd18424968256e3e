"""The serial console: captured from power on, watched for signs, and typed at.

The guest at its other end is trusted with nothing: it may flood the console, so what is kept is bounded, and more than
a guest has to say ends the boot.
"""

from __future__ import annotations

import contextlib
import re
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable
from socket import socket

from dib_py.verify.checks import Answer, LoginRefused, Trouble, Unreachable
from dib_py.verify.console_copy import ConsoleCopy
from dib_py.verify.result import Line, Moment, Stage
from dib_py.verify.signs import Signs
from dib_py.verify.transcript import Transcript

MOST = 16 * 1024**2  # bytes of one boot; a kernel that tells all it can has one
FASTEST = 128 * 1024  # bytes a second, over _FLOOD_WINDOW: ten times what a real line of 115200 baud carries
_FLOOD_WINDOW = 8.0  # seconds
_CHUNK = 65536
_LOGIN_STEP = 20.0  # seconds for the answer to a name or a password, at least
_MOST_OUTPUT = 256 * 1024  # characters of one command
_TYPED = 60  # bytes of a script in one line: a terminal takes 4095 characters
_SHELL_PROMPT = r"[$#%>] ?(\x1b\[[0-9;?]*[a-zA-Z])*$"
_WRONG = re.compile(r"Login incorrect|Authentication failure|Permission denied|Account .*expired")


class Console:
    """Reads from ``serial`` in a thread of its own until it ends."""

    def __init__(self, serial: socket, clock: Callable[[], float], kept: ConsoleCopy | None = None) -> None:
        """``clock``: seconds since the verification's start. ``kept`` gets all raw bytes."""
        self._serial = serial
        self._clock = clock
        self._transcript = Transcript()
        self._signs = Signs(self._reached)
        self._lock = threading.Lock()
        self._typing = threading.Lock()
        self._moments: list[Moment] = []
        self._total = 0
        self._arrivals: deque[tuple[float, int]] = deque()
        self._flood: Trouble | None = None
        self._heard: bytearray | None = None  # what came since somebody types
        self._kept = kept
        self.last_word = clock()  # when something came
        self._thread = threading.Thread(target=self._read, name="console", daemon=True)
        self._thread.start()

    # -- what came
    @property
    def text(self) -> str:
        return "\n".join(line.text for line in self.lines)

    @property
    def lines(self) -> tuple[Line, ...]:
        with self._lock:
            return self._transcript.lines

    @property
    def moments(self) -> tuple[Moment, ...]:
        """When each stage was reached first, as far as the console tells."""
        with self._lock:
            return tuple(self._moments)

    @property
    def stage(self) -> Stage:
        return self._signs.stage

    @property
    def trouble(self) -> Trouble | None:
        return self._flood or self._signs.trouble

    @property
    def flooded(self) -> bool:
        return self._flood is not None

    @property
    def cloud_init_ended(self) -> bool:
        return self._signs.cloud_init_ended

    @property
    def total(self) -> int:
        """Bytes that came."""
        return self._total

    def tail(self, count: int) -> list[str]:
        with self._lock:
            return self._transcript.tail(count)

    def hint(self, line: str) -> None:
        """Something that another channel says, such as the firmware's own log: it is no part of the console."""
        with self._lock:
            self._signs.look(line)

    def restarted(self) -> None:
        """The machine was reset."""
        with self._lock:
            self._signs.restarted()

    def close(self, timeout: float = 5.0) -> None:
        """Read what the machine, which has ended, has left."""
        self._thread.join(timeout)

    def _read(self) -> None:
        while data := self._receive():
            self._take(data)

    def _receive(self) -> bytes:
        try:
            return self._serial.recv(_CHUNK)
        except OSError:  # closed at this end
            return b""

    def _take(self, data: bytes) -> None:
        now = self._clock()
        self.last_word = now
        self._total += len(data)
        self._watch_for_flood(now, len(data))
        if self._kept and self._total <= MOST:
            self._kept.write(data)
        with self._lock:
            if self._heard is not None and len(self._heard) < MOST:
                self._heard += data
            *complete, rest = data.split(b"\n")
            for piece in complete:
                self._transcript.feed(piece, now)
                self._signs.look(self._transcript.unfinished)
                self._transcript.feed(b"\n", now)
            self._transcript.feed(rest, now)
            if self._signs.stage < Stage.LOGIN:
                self._signs.look(self._transcript.unfinished, complete=False)

    def _watch_for_flood(self, now: float, size: int) -> None:
        self._arrivals.append((now, size))
        while now - self._arrivals[0][0] > _FLOOD_WINDOW:
            self._arrivals.popleft()
        recent = sum(size for _, size in self._arrivals)
        if self._flood is None and (self._total > MOST or recent > FASTEST * _FLOOD_WINDOW):
            self._flood = Trouble(self._signs.stage, f"the console is flooded: {self._total / 1e6:.1f} MB came")

    def _reached(self, stage: Stage) -> None:
        line = self._transcript.number if stage > Stage.FIRMWARE else None
        self._moments.append(Moment(self._clock(), f"{stage.word} reached", stage, line))

    # -- typing
    def run(self, script: str, user: str, password: str, timeout: float) -> Answer:
        deadline = time.monotonic() + timeout
        if not self._typing.acquire(timeout=timeout):
            raise Unreachable(f"the console was in use for {timeout:g} s")
        try:
            with self._lock:
                self._heard = bytearray()
            self._log_in(user, password, deadline)
            try:
                return self._command(script, deadline)
            finally:
                with contextlib.suppress(Unreachable):
                    self._type("exit")
                    self._expect(r"login: ", min(deadline, time.monotonic() + _LOGIN_STEP))
        finally:
            with self._lock:
                self._heard = None
            self._typing.release()

    def _log_in(self, user: str, password: str, deadline: float) -> None:
        self._type("")  # a fresh prompt: messages may have come after the one that is there
        self._expect(r"login: ", deadline)
        self._type(user)
        self._expect(r"[Pp]assword: ", deadline)
        self._type(password)
        answer = ""
        with contextlib.suppress(Unreachable):  # messages may hide the shell's prompt
            answer = self._expect(rf"{_SHELL_PROMPT}|{_WRONG.pattern}", min(deadline, time.monotonic() + _LOGIN_STEP))
        if _WRONG.search(answer):
            raise LoginRefused(f"the console refuses the password of {user}: {_last_line(answer)}")
        ready = secrets.token_hex(6)
        # the echo of what is typed has quotes in it, so only the answer matches
        self._type(f"stty -echo; PS1= ; PS2= ; echo {ready[:4]}''{ready[4:]}")
        self._expect(ready, deadline)

    def _command(self, script: str, deadline: float) -> Answer:
        begin, end = secrets.token_hex(6), secrets.token_hex(6)
        octal = [
            f"\\0{byte:03o}" for byte in script.encode()
        ]  # nothing in it that a shell or terminal takes for its own
        self._type("S=")
        for at in range(0, len(octal), _TYPED):
            self._type(f'S="$S{"".join(octal[at : at + _TYPED])}"')
        self._type(f"echo {begin[:4]}''{begin[4:]}; printf %b \"$S\" | sh; echo {end[:4]}''{end[4:]} $?")
        heard = self._expect(rf"{end} (\d+)", deadline)
        match = re.search(rf"{begin}\r*\n(.*?){end} (\d+)", heard, re.DOTALL)
        if match is None:
            raise Unreachable("the console lost what a command printed")
        return Answer(int(match.group(2)), match.group(1).replace("\r", "")[:_MOST_OUTPUT])

    def _type(self, line: str) -> None:
        with self._lock:
            self._heard = bytearray()
        try:
            self._serial.sendall(line.encode() + b"\r")
        except OSError as error:
            raise Unreachable("the machine has ended") from error

    def _expect(self, pattern: str, deadline: float) -> str:
        """What came since something was typed, once ``pattern`` is in it."""
        wanted = re.compile(pattern)
        while True:
            with self._lock:
                heard = bytes(self._heard or b"").decode("utf-8", "replace")
            if wanted.search(heard):
                return heard
            if time.monotonic() > deadline or not self._thread.is_alive():
                raise Unreachable(f"the console did not answer in time; it said: {_last_line(heard)!r}")
            time.sleep(0.05)


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else ""
