"""The one door to programs on this machine: an argv list, quiet on success, everything shown on failure."""

from __future__ import annotations

import os
import shlex
import subprocess
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from dib_py.errors import HostError


class CommandFailed(HostError):
    """A program ended with an error; the message shows its argv, exit code and output."""

    def __init__(self, argv: Sequence[str], returncode: int, output: str) -> None:
        shown = f"\n{output.rstrip()}" if output.strip() else ""
        super().__init__(f"command failed with exit code {returncode}: {shlex.join(argv)}{shown}")
        self.argv = list(argv)
        self.returncode = returncode
        self.output = output


def run(
    argv: Sequence[str | Path],
    *,
    input: str | bytes | None = None,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    timeout: float | None = None,
) -> str:
    """Run a program and return its standard output.

    Raises CommandFailed for a non-zero exit code, and HostError for a program that is not there or overruns ``timeout``
    (seconds).
    """
    args = [str(arg) for arg in argv]
    data = input.encode() if isinstance(input, str) else input
    try:
        done = subprocess.run(
            args,
            input=data,
            stdin=None if data is not None else subprocess.DEVNULL,
            capture_output=True,
            env=env,
            cwd=cwd,
            timeout=timeout,
            check=False,
        )
    except FileNotFoundError as error:
        raise HostError(f"{args[0]} is not installed", hint="dib-py doctor lists what is needed") from error
    except subprocess.TimeoutExpired as error:
        raise HostError(f"command did not end within {timeout:g} s: {shlex.join(args)}") from error
    stdout = done.stdout.decode(errors="replace")
    if done.returncode != 0:
        raise CommandFailed(args, done.returncode, stdout + done.stderr.decode(errors="replace"))
    return stdout


def follow(argv: Sequence[str | Path], output: Callable[[bytes], None]) -> None:
    """Run a program that takes long, handing over each chunk of its standard output as it comes.

    Raises as :func:`run` does; the message of a failure shows standard error. However this ends, the program has ended.
    """
    with _piped(argv, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        with process.stdout as pipe:
            while chunk := os.read(pipe.fileno(), 65536):
                output(chunk)


@contextmanager
def reading(argv: Sequence[str | Path], *, fine: Collection[int] = (0,)) -> Iterator[IO[bytes]]:
    """A program's standard output, to be read to its end; raises as :func:`run` does, but for exit codes that are
    ``fine``. The program ends with this."""
    with _piped(argv, stdout=subprocess.PIPE, fine=fine) as process:
        assert process.stdout is not None
        with process.stdout as pipe:
            yield pipe


@contextmanager
def writing(argv: Sequence[str | Path], output: IO[bytes]) -> Iterator[IO[bytes]]:
    """A program's standard input, whose output goes to a file; raises as :func:`run` does."""
    with _piped(argv, stdin=subprocess.PIPE, stdout=output) as process:
        assert process.stdin is not None
        try:
            with process.stdin as pipe:
                yield pipe
        except BrokenPipeError:  # it has ended; it says why
            process.wait()


@contextmanager
def _piped(
    argv: Sequence[str | Path],
    *,
    stdout: int | IO[bytes],
    stdin: int = subprocess.DEVNULL,
    fine: Collection[int] = (0,),
) -> Iterator[subprocess.Popen[bytes]]:
    args = [str(arg) for arg in argv]
    with tempfile.TemporaryFile() as errors:
        try:
            process = subprocess.Popen(args, stdin=stdin, stdout=stdout, stderr=errors)
        except FileNotFoundError as error:
            raise HostError(f"{args[0]} is not installed", hint="dib-py doctor lists what is needed") from error
        try:
            yield process
            returncode = process.wait()
        except BaseException:
            process.kill()
            process.wait()
            raise
        if returncode not in fine:
            errors.seek(0)
            raise CommandFailed(args, returncode, errors.read().decode(errors="replace"))
