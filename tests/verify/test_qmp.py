"""The machine's control: what is said of a qemu that is slow, and of one that has ended."""

from __future__ import annotations

import json
import threading
from contextlib import closing
from socket import AF_UNIX, SOCK_STREAM, socketpair

import pytest

from dib_py.errors import HostError
from dib_py.verify import qmp
from dib_py.verify.qmp import Qmp

GREETING = {"QMP": {"version": {"qemu": {"micro": 0, "minor": 2, "major": 7}, "package": ""}, "capabilities": []}}


class Qemu:
    """Takes the client as qemu does, and leaves each command after that unanswered."""

    def __init__(self) -> None:
        self.client, self._socket = socketpair(AF_UNIX, SOCK_STREAM)
        self.mute = True
        threading.Thread(target=self._answer, daemon=True).start()

    def _answer(self) -> None:
        self._say(GREETING)
        while message := self._socket.recv(4096):  # one at a time: the client waits for each answer
            command = json.loads(message)
            if command["execute"] == "qmp_capabilities":
                self._say({"return": {}, "id": command.get("id")})
            elif not self.mute:
                break
        self._socket.close()

    def _say(self, message: object) -> None:
        self._socket.sendall(json.dumps(message).encode() + b"\r\n")


@pytest.fixture
def qemu() -> Qemu:
    return Qemu()


@pytest.mark.parametrize("greeting", [b"", json.dumps(GREETING).encode() + b"\r\n"], ids=["silent", "mute"])
def test_one_that_does_not_take_us(greeting: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(qmp, "_TIMEOUT", 0.2)
    ours, theirs = socketpair(AF_UNIX, SOCK_STREAM)
    with theirs:
        theirs.sendall(greeting)
        with pytest.raises(HostError, match=r"^qemu did not answer within 0\.2 s$"):
            Qmp(ours, lambda name, data: None)


def test_one_that_is_slow_is_not_said_to_have_ended(qemu: Qemu, monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(Qmp(qemu.client, lambda name, data: None)) as control:
        monkeypatch.setattr(qmp, "_TIMEOUT", 0.1)
        with pytest.raises(HostError, match=r"^qemu did not answer within 0\.1 s$"):
            control.execute("query-status")


def test_one_that_ends_is(qemu: Qemu) -> None:
    with closing(Qmp(qemu.client, lambda name, data: None)) as control:
        qemu.mute = False
        with pytest.raises(HostError, match=r"^qemu has ended$"):
            control.execute("query-status")
