"""The appliance's runner on this machine: two FIFOs stand for the port, which is one file for both ways."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping

import pytest

from dib_py.errors import TargetError
from dib_py.target import HookTimeout
from dib_py.target.guestfs_runner import ENVIRONMENT, SCRIPT, Program, Runner, Script

pytestmark = pytest.mark.root  # programs get namespaces

PATH = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
SPACES = [("", "none"), ("/", "-"), ("/", "/proc")]


def forward(read: Callable[[int], bytes], write: Callable[[bytes], object]) -> None:
    with contextlib.suppress(OSError):  # the other end has ended
        while data := read(65536):
            write(data)


@pytest.fixture(scope="module")
def runner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runner]:
    place = tmp_path_factory.mktemp("runner")
    ways = []
    for name in ("in", "out"):
        os.mkfifo(place / name)
        ways.append(os.open(place / name, os.O_RDWR))
    (place / "work").mkdir()
    text = SCRIPT.read_text()
    for old, new in (('exec 3<>"$1"', 'exec 3<"$1/in" 4>"$1/out"'), ("cat >&3", "cat >&4")):
        assert old in text
        text = text.replace(old, new)
    (place / "script").write_text(text)
    runner = Runner.listen(place / "runner.sock")
    qemu = socket.socket(socket.AF_UNIX)
    qemu.connect(str(runner.path))
    runner.accept()
    for read, write in (
        (qemu.recv, lambda data: os.write(ways[0], data)),
        (lambda size: os.read(ways[1], size), qemu.sendall),
    ):
        threading.Thread(target=forward, args=(read, write), daemon=True).start()
    process = subprocess.Popen(["bash", place / "script", "serve", place, place / "work"], env=dict(ENVIRONMENT))
    yield runner
    process.kill()
    process.wait(60)
    runner.close()
    for way in ways:
        os.write(way, b"\n")  # who waits for data ends
    qemu.close()


def run(
    runner: Runner, *argv: str, env: Mapping[str, str] = PATH, root: str = "/", space: str = "-", input: bytes = b""
) -> tuple[int, bytes]:
    printed = bytearray()
    code = runner.run(Program(argv, env, root=root, space=space, input=input), printed.extend, timeout=60)
    return code, bytes(printed)


@pytest.mark.parametrize(("root", "space"), SPACES)
def test_programs_have_their_environment_and_say_how_they_ended(runner: Runner, root: str, space: str) -> None:
    env = {**PATH, "WORD": f"a b\n{space}", "BASH_FUNC_f%%": "() { echo of f;\n}", "odd-name": ""}
    code, printed = run(runner, "env", "-0", env=env, root=root, space=space)
    assert code == 0
    assert dict(item.partition("=")[::2] for item in printed.decode().split("\0") if item) == env
    script = "f; echo again >/dev/stdout; echo error >&2; exit 7"
    assert run(runner, "bash", "-c", script, env=env, root=root, space=space) == (7, b"of f\nagain\nerror\n")
    assert run(runner, "sh", "-c", "kill -9 $$", root=root, space=space)[0] == 137
    assert run(runner, "no-such-program", root=root, space=space)[0] == 127


@pytest.mark.parametrize("size", [0, 1, 4095, 4096, 100_000])
def test_fields_and_input_of_any_size_arrive_whole(runner: Runner, size: int) -> None:
    word, data = "x" * size, os.urandom(size)
    assert run(runner, "sh", "-c", 'cat; printf %s "$1"', "sh", word, input=data) == (0, data + word.encode())
    assert runner.check('cat; printf %s "$1"', word, input=b"y" * size) == "y" * size + word


def test_what_a_program_leaves_behind_ends_with_it(runner: Runner) -> None:
    started = time.monotonic()
    code, printed = run(runner, "sh", "-c", "(sleep 1; echo late) & setsid sleep 600 & echo done", space="/proc")
    assert (code, printed) == (0, b"done\n")
    assert run(runner, "sh", "-c", "ps -e -o args | grep -c '[s]leep 600'", space="-", root="")[1] == b"0\n"
    assert time.monotonic() - started < 60


@pytest.mark.parametrize(("root", "space"), SPACES)
def test_a_program_that_takes_too_long_is_killed_and_the_next_one_runs(runner: Runner, root: str, space: str) -> None:
    script = "trap '' TERM INT; echo begun; sleep 600 & wait; sleep 600"
    with pytest.raises(HookTimeout):
        runner.run(Program(["bash", "-c", script], PATH, root=root, space=space), lambda data: None, timeout=0.5)
    assert run(runner, "echo", "next", root=root, space=space) == (0, b"next\n")


@pytest.mark.parametrize(("root", "space"), SPACES)
def test_programs_have_the_standard_files_open_and_no_others(runner: Runner, root: str, space: str) -> None:
    """LVM's complain of others, and a daemon would keep them. Here 4 is of the test."""
    script = "for fd in 3 {5..20}; do (: >&$fd) 2>/dev/null && echo $fd; done; echo none"
    assert run(runner, "bash", "-c", script, root=root, space=space) == (0, b"none\n")


def test_scripts_of_the_engine(runner: Runner) -> None:
    assert runner.check('printf "%s|" "$#" "$@" "$PWD"', "a b", "") == "2|a b||/|"
    assert runner.check("left=1; exec >/dev/null; echo no") == ""
    for script in ("false", "echo $nothing", "f() { return 3; }; f", "(exit 3)"):
        printed = bytearray()
        assert runner.run(Script(f"{script}; echo further"), printed.extend, timeout=60) != 0
        assert b"further" not in printed
        with pytest.raises(TargetError, match="in the appliance, this failed with exit code"):
            runner.check(script)
    assert runner.check('echo "${left-unset}"') == "unset\n"
    with pytest.raises(TargetError, match="did not end this within"):
        runner.check("sleep 600 | cat", timeout=0.5)
    assert runner.check("echo next") == "next\n"


def test_what_holds_a_nul_is_refused(runner: Runner) -> None:
    for program in (Program(["true", "a\0b"], PATH), Program(["true"], {"A": "b\0c"})):
        with pytest.raises(TargetError, match="NUL"):
            runner.run(program, lambda data: None)
    assert run(runner, "echo", "next") == (0, b"next\n")
