"""A Linux' files, and the appliance's scripts, on this machine."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import cast

from dib_py.target import Output
from dib_py.target.guestfs_runner import Runner, Script


class DirectoryFiles:
    """See :class:`dib_py.inside.packages.Files`."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @classmethod
    def of(cls, root: Path, content: Mapping[str, str]) -> DirectoryFiles:
        for path, text in content.items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(text)
        return cls(root)

    def read(self, path: str) -> str:
        return self._place(path).read_text() if self.exists(path) else ""

    def names(self, path: str) -> list[str]:
        place = self._place(path)
        return sorted(one.name for one in place.iterdir()) if place.is_dir() else []

    def exists(self, path: str) -> bool:
        return self._place(path).is_file()

    def _place(self, path: str) -> Path:
        return self.root / path.lstrip("/")


class HereRunner:
    """Runs scripts on this machine, with ``root`` for the appliance's /sysroot and a directory beside it for /run."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def run(self, program: Script, output: Output, timeout: float | None = None) -> int:
        own = self.root.with_name(f"{self.root.name}-run")
        own.mkdir(exist_ok=True)
        text = "set -eu\n" + program.text.replace("/sysroot$1", f"{self.root}$1").replace("/run/dib", str(own))
        argv = ["bash", "-c", text, "runner", *program.arguments]
        done = subprocess.run(
            argv, input=program.input, capture_output=True, env=os.environ | {"LC_ALL": "C"}, check=False
        )
        output(done.stdout)
        return done.returncode

    def check(self, script: str) -> str:
        printed = bytearray()
        assert self.run(Script(script), printed.extend) == 0
        return printed.decode()


def runner(root: Path) -> Runner:
    return cast(Runner, HereRunner(root))
