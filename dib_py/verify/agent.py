"""The guest agent, over the machine's virtio-serial port.

Protocol: https://www.qemu.org/docs/master/interop/qemu-ga-ref.html. What was said before the agent opened its end is
delivered once it does, so an answer may belong to a question that nobody waits for any more: each exchange begins with
guest-sync-delimited, whose answer has a number of ours behind a byte that is in no text.
"""

from __future__ import annotations

import base64
import json
import secrets
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from socket import socket
from typing import Any

from dib_py.verify.checks import AgentRefused, Answer, Unreachable

_SENTINEL = b"\xff"
_MOST = 64 * 1024**2  # bytes of one answer: a file's content, in base64
_SYNC_WITHIN = 10.0  # seconds; where nothing comes, it is asked again
_CHUNK = 65536
_POLL = 0.3  # seconds between looks at a program that runs


class Agent:
    """One exchange at a time."""

    def __init__(self, port: socket, timeout: float) -> None:
        """``timeout``: how long an answer may take, in seconds, where nothing else is said."""
        self._port = port
        self._timeout = timeout
        self._lock = threading.Lock()
        self._received = b""

    def ask(self, command: str, timeout: float | None = None, **arguments: Any) -> Any:
        """See :class:`dib_py.verify.checks.Agent`."""
        limit = self._timeout if timeout is None else timeout
        deadline = time.monotonic() + limit
        if not self._lock.acquire(timeout=limit):
            raise Unreachable(f"the guest agent was busy for {limit:g} s")
        try:
            self._synchronise(deadline)
            self._send(command, {name.replace("_", "-"): value for name, value in arguments.items()}, deadline)
            answer = json.loads(self._line(deadline))
        except TimeoutError:
            raise Unreachable(f"the guest agent did not answer {command} within {limit:g} s") from None
        except (ValueError, RecursionError) as error:
            raise Unreachable(f"the guest agent does not answer {command} in JSON: {error}") from error
        except OSError as error:
            raise Unreachable("the machine has ended") from error
        finally:
            self._lock.release()
        return _value(answer, command)

    def execute(self, argv: Sequence[str], timeout: float | None = None) -> Answer:
        """Run a program in the guest as root; AgentRefused where the agent may not run any."""
        limit = self._timeout if timeout is None else timeout
        deadline = time.monotonic() + limit
        started = self.ask("guest-exec", limit, path=argv[0], arg=list(argv[1:]), capture_output=True)
        with _understood("guest-exec"):
            pid = int(started["pid"])
        while True:
            status = self.ask("guest-exec-status", max(1.0, deadline - time.monotonic()), pid=pid)
            with _understood("guest-exec-status"):
                if status["exited"]:
                    code = int(status.get("exitcode", 128 + status.get("signal", 0)))
                    return Answer(code, _text(status.get("out-data", "")), _text(status.get("err-data", "")))
            if time.monotonic() > deadline:
                raise Unreachable(f"a command did not end within {limit:g} s: {argv[0]}")
            time.sleep(_POLL)

    def _synchronise(self, deadline: float) -> None:
        while True:
            number = secrets.randbelow(2**31)
            self._send("guest-sync-delimited", {"id": number}, deadline, before=_SENTINEL)
            step = min(deadline, time.monotonic() + _SYNC_WITHIN)
            try:
                while True:
                    self._received = self._received_past(_SENTINEL, step)
                    if json.loads(self._line(step)) == {"return": number}:
                        return
            except TimeoutError:
                if step >= deadline:
                    raise

    def _send(self, command: str, arguments: Mapping[str, Any], deadline: float, *, before: bytes = b"") -> None:
        message = {"execute": command, **({"arguments": arguments} if arguments else {})}
        self._wait_until(deadline)
        self._port.sendall(before + json.dumps(message).encode() + b"\n")

    def _line(self, deadline: float) -> bytes:
        rest = self._received_past(b"\n", deadline)
        line = self._received[: len(self._received) - len(rest) - 1]
        self._received = rest
        return line

    def _received_past(self, mark: bytes, deadline: float) -> bytes:
        """What follows the first ``mark``, read for as long as there is none; TimeoutError at the deadline."""
        while (at := self._received.find(mark)) < 0:
            self._wait_until(deadline)
            chunk = self._port.recv(_CHUNK)
            if not chunk:
                raise ConnectionResetError
            self._received += chunk
            if len(self._received) > _MOST:
                self._received = b""
                raise ValueError(f"over {_MOST} bytes")
        return self._received[at + 1 :]

    def _wait_until(self, deadline: float) -> None:
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self._port.settimeout(left)


@contextmanager
def _understood(command: str) -> Iterator[None]:
    """An answer is the guest's, and may be anything: what is not as the protocol has it is none."""
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise Unreachable(f"the guest agent's answer to {command} makes no sense: {error!r}") from error


def _text(encoded: str) -> str:
    return base64.b64decode(encoded).decode(errors="replace")


def _value(answer: Any, command: str) -> Any:
    if not isinstance(answer, dict):
        raise Unreachable(f"the guest agent answers {command} with no object")
    if "error" in answer:
        error = answer["error"] if isinstance(answer["error"], dict) else {}
        raise AgentRefused(
            f"the guest agent refuses {command}: {error.get('desc', 'it does not say why')}",
            str(error.get("class", "")),
        )
    return answer.get("return")
