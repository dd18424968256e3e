"""Command scripts of Windows run by Wine's cmd.exe: not Windows', but one that knows the same language."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from dib_py import process


@dataclass(frozen=True)
class Wine:
    """A Windows of Wine's in a directory; ``windows`` is its system root."""

    prefix: Path

    @property
    def windows(self) -> Path:
        return self.prefix / "drive_c" / "windows"

    @property
    def environment(self) -> dict[str, str]:
        wanted = {"WINEPREFIX": str(self.prefix), "WINEDEBUG": "-all", "WINEDLLOVERRIDES": "mscoree,mshtml="}
        return {**os.environ, **wanted, "DISPLAY": "", "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8"}

    def run(self, *argv: str, timeout: float = 120) -> str:
        """A program's output; CommandFailed with its exit code."""
        return process.run(["wine", *argv], env=self.environment, timeout=timeout)

    def begin(self, path: str) -> subprocess.Popen[bytes]:
        """A command script at work, by its path in Windows."""
        return subprocess.Popen(
            ["wine", "cmd", "/d", "/c", path],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def script(self, path: str, timeout: float = 120) -> int:
        """The exit code of a command script, as far as a byte holds it."""
        return self.begin(path).wait(timeout)


@contextmanager
def started(prefix: Path) -> Iterator[Wine]:
    """A new Windows, whose processes end with this."""
    wine = Wine(prefix)
    try:
        wine.run("wineboot", "--init")
        yield wine
    finally:
        subprocess.run(["/usr/lib/wine/wineserver", "-k", "-w"], env=wine.environment, timeout=60, check=False)
