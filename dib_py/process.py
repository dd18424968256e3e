"""The one door to programs on this machine: an argv list, quiet on success, everything shown on failure."""

from __future__ import annotations

import os
import shlex
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

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


def follow(
    argv: Sequence[str | Path], output: Callable[[bytes], None], *, env: Mapping[str, str] | None = None
) -> None:
    """Run a program that takes long, handing over each chunk of its standard output as it comes.

    Raises as :func:`run` does; the message of a failure shows standard error. However this ends, the program has ended.
    """
    args = [str(arg) for arg in argv]
    with tempfile.TemporaryFile() as errors:
        try:
            process = subprocess.Popen(args, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors, env=env)
        except FileNotFoundError as error:
            raise HostError(f"{args[0]} is not installed", hint="dib-py doctor lists what is needed") from error
        assert process.stdout is not None
        with process.stdout as pipe:
            try:
                while chunk := os.read(pipe.fileno(), 65536):
                    output(chunk)
                returncode = process.wait()
            except BaseException:
                process.kill()
                process.wait()
                raise
        if returncode != 0:
            errors.seek(0)
            raise CommandFailed(args, returncode, errors.read().decode(errors="replace"))
