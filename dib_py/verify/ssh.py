"""The guest's ssh server, through a forwarded port, with this machine's ssh."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from socket import create_connection

from dib_py.errors import HostError
from dib_py.verify.checks import Answer, LoginRefused, Seed, Unreachable
from dib_py.verify.machine import SSH_PORT

_MOST = 4 * 1024**2  # bytes of what a command prints
_FAILED = 255  # ssh's own exit code
_HELLO_WITHIN = 5.0  # seconds
_ADDRESS = "127.0.0.1"
_DENIED = re.compile(r"Permission denied|Too many authentication failures")
_NOISE = re.compile(r"^Warning: Permanently added .*\n", re.MULTILINE)


class Ssh:
    """Logs in for each command; nothing is kept open, and nothing of it in anybody's known hosts."""

    def __init__(self, seed: Seed, directory: Path, timeout: float) -> None:
        """``directory`` takes a script that answers ssh's question; ``timeout`` in seconds is for a command."""
        self._seed = seed
        self._timeout = timeout
        self._answerer = directory / "ask-pass"

    def banner(self) -> str:
        """What the server says about itself first; empty if there is none yet."""
        with contextlib.suppress(OSError), create_connection((_ADDRESS, SSH_PORT), _HELLO_WITHIN) as connection:
            connection.settimeout(_HELLO_WITHIN)
            said = connection.recv(256)
            if said.startswith(b"SSH-"):
                return said.split(b"\n")[0].decode("ascii", "replace").strip()
        return ""

    def run(self, script: str, timeout: float | None = None, *, password: str = "") -> Answer:
        """See :class:`dib_py.verify.checks.Ssh`."""
        limit = self._timeout if timeout is None else timeout
        options, environment = self._with_password(password) if password else self._with_key()
        argv = ["ssh", *_options(limit), *options, f"{self._seed.user}@{_ADDRESS}", "exec sh -s"]
        code, output, errors = _bounded(argv, script.encode(), environment, limit)
        if code == _FAILED:
            raise _failed(errors)
        if code == -signal.SIGXFSZ:
            raise Unreachable(f"the guest says more than {_MOST} bytes")
        return Answer(code, output, errors)

    def _with_key(self) -> tuple[Sequence[str], dict[str, str]]:
        options = ("PreferredAuthentications=publickey", "BatchMode=yes", f"IdentityFile={self._seed.key_file}")
        return _as_options(*options), _environment()

    def _with_password(self, password: str) -> tuple[Sequence[str], dict[str, str]]:
        if not self._answerer.exists():
            fresh = self._answerer.with_suffix(f".{time.monotonic_ns()}")
            fresh.write_text('#!/bin/sh\nprintf "%s\\n" "$DIB_PY_ANSWER"\n')
            fresh.chmod(0o700)
            fresh.replace(self._answerer)
        options = (
            *("PreferredAuthentications=password,keyboard-interactive", "PubkeyAuthentication=no"),
            "NumberOfPasswordPrompts=1",
        )
        answering = {"SSH_ASKPASS": str(self._answerer), "SSH_ASKPASS_REQUIRE": "force", "DIB_PY_ANSWER": password}
        return _as_options(*options), _environment() | answering


def _bounded(argv: Sequence[str], data: bytes, environment: dict[str, str], limit: float) -> tuple[int, str, str]:
    """Exit code, output and errors of ssh, which ends where a guest says more than anybody wants to keep."""
    if shutil.which("ssh") is None:
        raise HostError("ssh is not installed", hint="install the package openssh-client")
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        try:
            done = subprocess.run(
                ["prlimit", f"--fsize={_MOST}", *argv],
                input=data,
                env=environment,
                stdout=output,
                stderr=errors,
                timeout=limit,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise Unreachable(f"ssh did not end within {limit:g} s") from None
        said = []
        for file in (output, errors):
            file.seek(0)
            said.append(file.read(_MOST).decode(errors="replace"))
    return done.returncode, said[0], _NOISE.sub("", said[1])


def _failed(errors: str) -> Unreachable:
    """What ssh's own failure means, by what it says."""
    said = " / ".join(errors.strip().splitlines()[-2:]) or "it does not say why"
    refused = _DENIED.search(errors)
    return (LoginRefused if refused else Unreachable)(f"ssh can't log in: {said}")


def _options(limit: float) -> list[str]:
    return [
        *("-F", "none", "-T", "-p", str(SSH_PORT)),
        *_as_options(
            *("StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "GlobalKnownHostsFile=/dev/null"),
            *("IdentitiesOnly=yes", "IdentityAgent=none", "LogLevel=ERROR", "ControlPath=none"),
            f"ConnectTimeout={max(1, int(limit))}",
        ),
    ]


def _as_options(*settings: str) -> list[str]:
    return [word for setting in settings for word in ("-o", setting)]


def _environment() -> dict[str, str]:
    """Ours, without an agent, whose keys are nobody's here, and with a display for old ssh's askpass."""
    kept = {name: value for name, value in os.environ.items() if name != "SSH_AUTH_SOCK"}
    return {"DISPLAY": ":0", **kept}
