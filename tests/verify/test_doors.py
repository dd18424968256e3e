"""Console and agent, with guests that are threads of ours at the other end of a socket."""

from __future__ import annotations

import base64
import json
import re
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from socket import AF_UNIX, SHUT_RDWR, SOCK_STREAM, socket, socketpair
from typing import IO, Any, cast

import pytest

from dib_py.events import Events
from dib_py.verify.agent import Agent
from dib_py.verify.board import Board
from dib_py.verify.checks import AgentRefused, LoginRefused, Need, Unreachable
from dib_py.verify.console import Console
from dib_py.verify.console_copy import ConsoleCopy
from dib_py.verify.limits import TCG
from dib_py.verify.result import Stage
from dib_py.verify.watch import Doors, Watch

PASSWORD = "secret-1"


@contextmanager
def played(guest: Callable[[socket], None]) -> Iterator[socket]:
    """Our end of a socket at whose other end ``guest`` runs until it is closed."""
    ours, theirs = socketpair(AF_UNIX, SOCK_STREAM)

    def play() -> None:
        with closing(theirs):
            try:
                guest(theirs)
            except (OSError, StopIteration):
                return

    thread = threading.Thread(target=play, daemon=True)
    thread.start()
    with closing(ours):
        yield ours
        with suppress(OSError):
            ours.shutdown(SHUT_RDWR)  # closing alone is not noticed while somebody reads
    thread.join(60)


# -- the console
def terminal(port: socket) -> None:
    """getty, login and a shell, as far as somebody who types can tell."""
    file = port.makefile("r", newline="\r")

    def ask(prompt: str) -> str:
        port.sendall(prompt.encode())
        return next(file).rstrip("\r")

    while True:
        user = ask("\r\nhost login: ")
        if not user:
            continue
        port.sendall(user.encode() + b"\r\n")
        if ask("Password: ") != PASSWORD:
            port.sendall(b"\r\n\r\nLogin incorrect\r\n")
            continue
        port.sendall(b"\r\n[   99.123] a message of the kernel comes between\r\nuser@host:~$ ")
        shell = subprocess.Popen(["sh"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        assert shell.stdin is not None and shell.stdout is not None
        output = shell.stdout

        def show(output: IO[bytes] = output) -> None:
            while data := output.read1(1000):
                port.sendall(data.replace(b"\n", b"\r\n"))

        showing = threading.Thread(target=show, daemon=True)
        showing.start()
        for line in file:
            port.sendall(line.encode() + b"\n")  # as a terminal echoes
            shell.stdin.write(line.rstrip("\r").encode() + b"\n")
            shell.stdin.flush()
            if line == "exit\r":
                break
        shell.stdin.close()
        shell.wait()
        showing.join()
        output.close()


def console(port: socket, kept: Path | None = None) -> Console:
    started = time.monotonic()
    return Console(port, lambda: time.monotonic() - started, ConsoleCopy(kept, Events()) if kept else None)


def test_a_command_is_run_at_the_console() -> None:
    script = "echo one; echo 'two \"three\" $HOME' >&2; printf '\\tend'; exit 3"
    with played(terminal) as port:
        answer = console(port).run(script, "somebody", PASSWORD, 20)
    assert answer.exit_code == 3
    assert answer.output == 'one\ntwo "three" $HOME\n\tend'


def test_a_long_command_comes_through_whole() -> None:
    text = "".join(chr(ord("a") + number % 26) for number in range(5000))
    with played(terminal) as port:
        door = console(port)
        assert door.run(f"echo {text}", "somebody", PASSWORD, 20).output == f"{text}\n"
        assert door.run("echo again", "somebody", PASSWORD, 20).output == "again\n"


def test_a_wrong_password_is_refused_and_the_next_login_works() -> None:
    with played(terminal) as port:
        door = console(port)
        with pytest.raises(LoginRefused, match="the console refuses the password of somebody"):
            door.run("true", "somebody", "wrong", 20)
        assert door.run("echo in", "somebody", PASSWORD, 20).output == "in\n"


def silent(port: socket) -> None:
    while port.recv(1000):
        pass


def test_a_console_that_says_nothing_is_unreachable() -> None:
    with played(silent) as port, pytest.raises(Unreachable, match="did not answer in time"):
        console(port).run("true", "somebody", PASSWORD, 0.3)


def test_what_comes_is_kept_and_watched(tmp_path: Path) -> None:
    said = b"[    0.000000] Linux version 6\r\n\x1b[32mWelcome to Debian!\x1b[0m\r\nhost login: "

    def guest(port: socket) -> None:
        for position in range(0, len(said), 7):
            port.sendall(said[position : position + 7])

    with played(guest) as port:
        door = console(port, tmp_path / "raw")
        door.close()
        assert door.stage is Stage.LOGIN and door.total == len(said)
        assert door.text == "[    0.000000] Linux version 6\nWelcome to Debian!\nhost login:"
        assert [(moment.stage, moment.line) for moment in door.moments] == [
            (Stage.KERNEL, 1),
            (Stage.USERSPACE, 2),
            (Stage.LOGIN, 3),
        ]
    assert (tmp_path / "raw").read_bytes() == said


def test_a_flood_is_noticed_and_bounded(tmp_path: Path) -> None:
    line = b"spam " * 20 + b"\r\n"

    def guest(port: socket) -> None:
        for _ in range(30_000):
            port.sendall(line)

    with played(guest) as port:
        door = console(port)
        door.close(30)
        assert door.flooded and door.trouble is not None
        assert re.match(r"the console is flooded: \d+\.\d MB came", door.trouble.what)
        assert len(door.text) < 2 * 1024**2


# -- the agent
def qga(answers: dict[str, Any], *, noise: bytes = b"", late: int = 0) -> Callable[[socket], None]:
    """An agent with these answers; an exception is an error. It ignores the first ``late`` synchronisations."""

    def guest(port: socket) -> None:
        port.sendall(noise)
        ignored = 0
        for line in port.makefile("rb"):
            if line.startswith(b"\xff"):
                line = line[1:]
            message = json.loads(line)
            if message["execute"] == "guest-sync-delimited":
                ignored += 1
                if ignored > late:
                    port.sendall(b"\xff" + json.dumps({"return": message["arguments"]["id"]}).encode() + b"\n")
                continue
            answer = answers[message["execute"]]
            answer = answer(message.get("arguments", {})) if callable(answer) else answer
            if isinstance(answer, Exception):
                reply = {"error": {"class": type(answer).__name__, "desc": str(answer)}}
            else:
                reply = {"return": answer}
            port.sendall(json.dumps(reply).encode() + b"\n")

    return guest


def test_the_agent_answers() -> None:
    with played(qga({"guest-ping": {}, "guest-info": {"version": "7.2"}})) as port:
        agent = Agent(port, 10)
        assert agent.ask("guest-ping") == {}
        assert agent.ask("guest-info")["version"] == "7.2"


def test_arguments_have_dashes() -> None:
    with played(qga({"guest-exec": lambda arguments: sorted(arguments)})) as port:
        assert Agent(port, 10).ask("guest-exec", path="/bin/true", capture_output=True) == ["capture-output", "path"]


def test_old_answers_and_noise_are_passed_over() -> None:
    noise = b'{"return": {"of": "somebody else"}}\n\xff{"return": 1}\n'
    with played(qga({"guest-ping": {}}, noise=noise)) as port:
        assert Agent(port, 10).ask("guest-ping") == {}


def test_a_refusal_says_why() -> None:
    class CommandNotFound(Exception):
        pass

    guest = qga({"guest-exec": CommandNotFound("it is disabled")})
    with played(guest) as port, pytest.raises(AgentRefused, match="guest-exec: it is disabled") as refused:
        Agent(port, 10).ask("guest-exec")
    assert refused.value.kind == "CommandNotFound"


def test_an_agent_that_says_nothing_is_unreachable() -> None:
    silent = qga({}, late=10_000)
    with played(silent) as port, pytest.raises(Unreachable, match=r"did not answer guest-ping within 0\.3 s"):
        Agent(port, 600).ask("guest-ping", 0.3)


def test_a_machine_that_ends_is_unreachable() -> None:
    def guest(port: socket) -> None:
        port.recv(1)

    with played(guest) as port, pytest.raises(Unreachable, match="the machine has ended"):
        Agent(port, 10).ask("guest-ping")


def test_a_program_in_the_guest() -> None:
    looks: list[int] = []

    def status(arguments: dict[str, Any]) -> dict[str, Any]:
        looks.append(arguments["pid"])
        if len(looks) < 2:
            return {"exited": False}
        return {"exited": True, "exitcode": 2, "out-data": base64.b64encode(b"out").decode()}

    with played(qga({"guest-exec": {"pid": 7}, "guest-exec-status": status})) as port:
        answer = Agent(port, 10).execute(["/bin/false"])
    assert (answer.exit_code, answer.output, answer.errors, looks) == (2, "out", "", [7, 7])


RAN = {"exited": True, "exitcode": 0}


@pytest.mark.parametrize(
    ("started", "status"),
    [
        ({}, RAN),
        ([], RAN),
        (None, RAN),
        ({"pid": "x"}, RAN),
        ({"pid": 7}, {}),
        ({"pid": 7}, [1]),
        ({"pid": 7}, {"exited": True, "exitcode": "x"}),
        ({"pid": 7}, {"exited": True, "exitcode": 1e999}),
        ({"pid": 7}, {**RAN, "out-data": "a"}),
        ({"pid": 7}, {**RAN, "err-data": {}}),
    ],
)
def test_answers_that_make_no_sense_are_none(started: Any, status: Any) -> None:
    guest = qga({"guest-exec": started, "guest-exec-status": status})
    with played(guest) as port, pytest.raises(Unreachable, match="makes no sense"):
        Agent(port, 10).execute(["/bin/sh"])


@pytest.mark.parametrize("answer", [b"[" * 100_000, b"{", b"\x80", b"1" * 5000])
def test_answers_that_are_no_json_are_none(answer: bytes) -> None:
    def guest(port: socket) -> None:
        for line in port.makefile("rb"):
            message = json.loads(line.lstrip(b"\xff"))
            if message["execute"] == "guest-sync-delimited":
                port.sendall(b"\xff" + json.dumps({"return": message["arguments"]["id"]}).encode() + b"\n")
            else:
                port.sendall(answer + b"\n")

    with played(guest) as port, pytest.raises(Unreachable, match="does not answer guest-ping in JSON"):
        Agent(port, 10).ask("guest-ping")


class Broken:
    """A shell with a bug."""

    name = ""

    def open(self, *about: object) -> bool:
        raise ZeroDivisionError


def test_checks_never_wait_for_a_shell_that_nobody_tries_to_open_any_more() -> None:
    board, nothing = Board(), cast(Any, None)
    watch = Watch(Doors(nothing, nothing, nothing, cast(Any, Broken())), board, TCG, lambda: 0.0, print, print)
    with pytest.raises(ZeroDivisionError):
        watch._await_shell()
    assert board.reason(Need.SHELL) == "no door into the guest opened"
