"""Run hooks on this machine, on the host side or in a guest's root, so that nothing of them stays.

Each runs in a pid namespace of its own, whose init is ``timeout 0``: that runs a program without a limit, says 128 + n
for signal n, and hands the environment on untouched, exported functions included, which a shell would not. The hook
thus is no init: it can be killed, also by itself. When it ends, the kernel ends all that it left in the namespace
before its init counts as gone. Its mount namespace shares what hooks mount with those that follow; only /proc is its
own. It has a session of its own, without a terminal.
"""

from __future__ import annotations

import os
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from dib_py.errors import HostError
from dib_py.host_programs import find
from dib_py.target import HookTimeout, Output

UMASK = 0o022  # whatever the caller's is: it would get into images, and is in no key

_SHIMS = Path(__file__).parent / "shims"
_CHUNK = 65536
_END_WITHIN = 10.0  # seconds for a killed namespace to be gone


def run(
    argv: Sequence[str],
    *,
    env: Mapping[str, str],
    output: Output,
    root: Path | None = None,
    proc: Path | None = None,
    cwd: str = "/",
    timeout: float | None = None,
    input: bytes = b"",
) -> int:
    """Run a program with exactly ``env`` and return its exit code (128 + n for signal n); see the module.

    ``root``: chroot there, in which ``cwd`` is. ``proc``: where its own /proc is mounted, on one that is there already.
    Raises HookTimeout after ``timeout`` seconds; then, and when ``output`` raises, all of it has been killed.
    """
    init = [_program("timeout"), "0"]
    with _standard_input(input) as stdin:
        process = subprocess.Popen(
            [*_namespace(proc), *init, *_chroot(root, cwd), *argv],
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=dict(env),
            cwd=None if root else cwd,
            start_new_session=True,
            umask=UMASK,
        )
    assert process.stdout is not None
    with process.stdout as pipe:
        try:
            _stream(process, pipe.fileno(), output, None if timeout is None else time.monotonic() + timeout)
        finally:
            _kill(process)
    return process.returncode if process.returncode >= 0 else 128 - process.returncode


def host_side(
    argv: Sequence[str],
    *,
    env: Mapping[str, str],
    output: Output,
    cwd: Path | None = None,
    timeout: float | None = None,
) -> int:
    """Run a host-side hook, which sees this machine and a /proc of its own, as :func:`run` does."""
    return run(argv, env=with_sudo(env), output=output, proc=Path("/proc"), cwd=str(cwd or "/"), timeout=timeout)


def with_sudo(env: Mapping[str, str]) -> dict[str, str]:
    """``env`` with a sudo on its PATH for host-side hooks, which call it whether or not it is needed."""
    path = env.get("PATH", os.defpath)
    return dict(env) if shutil.which("sudo", path=path) else {**env, "PATH": f"{_SHIMS}:{path}"}


def interactive(
    argv: Sequence[str], *, env: Mapping[str, str], terminal: int, root: Path | None = None, proc: Path | None = None
) -> int:
    """Run a shell in the foreground of ``terminal``, in namespaces as a hook has them; returns its exit code."""
    take_foreground = [sys.executable, "-I", "-m", "dib_py.foreground"]
    process = subprocess.Popen(
        [*_namespace(proc), *take_foreground, *_chroot(root, "/"), *argv],
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        env=dict(env),
        umask=UMASK,
    )
    try:
        process.wait()
    finally:
        _kill(process)
    return process.returncode if process.returncode >= 0 else 128 - process.returncode


def _program(name: str) -> str:
    """A tool by its whole path: the hook's own PATH is for the hook."""
    found = find(name)
    if found is None:
        raise HostError(f"{name} is not installed", hint="dib-py doctor lists what is needed")
    return found


def _namespace(proc: Path | None) -> list[str]:
    options = ["--mount", "--propagation", "unchanged", "--pid", "--fork", "--kill-child"]
    return [_program("unshare"), *options, *([f"--mount-proc={proc}"] if proc else []), "--"]


def _chroot(root: Path | None, cwd: str) -> list[str]:
    return [_program("unshare"), f"--root={root}", f"--wd={cwd}", "--"] if root else []


@contextmanager
def _standard_input(data: bytes) -> Iterator[int]:
    """A file that reads as ``data``, so that nobody has to feed a pipe while output streams."""
    if not data:
        yield subprocess.DEVNULL
        return
    with os.fdopen(os.memfd_create("input"), "w+b") as file:
        file.write(data)
        file.seek(0)
        yield file.fileno()


def _stream(process: subprocess.Popen[bytes], pipe: int, output: Output, deadline: float | None) -> None:
    """Hand the output on until the program has ended: a daemon that still holds the pipe is not waited for."""
    os.set_blocking(pipe, False)
    ended = os.pidfd_open(process.pid)
    poll = select.poll()
    poll.register(pipe, select.POLLIN)
    poll.register(ended, select.POLLIN)
    try:
        while True:
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            ready = [file for file, _ in poll.poll(None if left is None else left * 1000 + 1)]
            if pipe in ready and _hand_on(pipe, output) == b"":
                poll.unregister(pipe)
            if ended in ready:
                while _hand_on(pipe, output):
                    pass
                return
            if deadline is not None and time.monotonic() >= deadline:
                raise HookTimeout
    finally:
        os.close(ended)


def _hand_on(pipe: int, output: Output) -> bytes | None:
    """One chunk, handed on; empty at the end of the pipe, None when nothing is there now."""
    try:
        chunk = os.read(pipe, _CHUNK)
    except BlockingIOError:
        return None
    if chunk:
        output(chunk)
    return chunk


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End the namespace, if it still lives, and wait until all in it has."""
    if process.poll() is not None:
        return
    init = _children(process.pid) or [process.pid]
    for child in init:
        with suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)  # unshare then waits until its namespace is empty
    try:
        process.wait(_END_WITHIN)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(_END_WITHIN)


def _children(pid: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []
