"""A build's directories and its hooks, for tests of what hooks leave outside the image."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

from dib_py.artefacts import Catcher
from dib_py.events import Event, Events, Message
from tests.artefacts.random_trees import in_own_mounts


class Build:
    """The directories of a build, with a caller in ``cwd`` who wants the image in ``output``."""

    def __init__(self, root: Path, *, cwd: str = "here", output: str = "here", build: str = "build") -> None:
        self.root = root
        self.cwd, self.output, self.build = root / cwd, root / output, root / build
        self.hooks = self.build / "hooks"
        for directory in (self.cwd, self.output, self.hooks, self.build / "mnt"):
            directory.mkdir(parents=True, exist_ok=True)
        self.said: list[str] = []

    def catcher(self, through: Sequence[Path] = (), **options: object) -> Catcher:
        os.chdir(self.cwd)
        return Catcher(
            hooks=self.hooks,
            build=self.build,
            excluded=["mnt"],
            beside={"cwd": self.cwd, "output": self.output},
            through=through,
            scratch=self.build / "caught",
            events=Events(self._hear),
            **options,
        )

    def _hear(self, event: Event) -> None:
        if isinstance(event, Message):
            self.said.append(event.text)


def hook(script: str) -> None:
    """Run a script as the host target does: in a further mount namespace, in the working directory's name."""
    argv = ["unshare", "--mount", "--propagation", "unchanged", "bash", "-euc", script]
    subprocess.run(argv, check=True, cwd=str(Path.cwd()), timeout=60)


def inside(work: Callable[[], None]) -> None:
    in_own_mounts(work)
