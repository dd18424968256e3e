"""squashfs: the guest's files as a filesystem that is only read; it can't hold POSIX ACLs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dib_py.events import Events
from dib_py.extensions import extension
from dib_py.host_programs import require
from dib_py.output.sinks import Sink, into_program
from dib_py.settings import Settings


class Squashfs:
    """Made by tar2sqfs: unlike sqfstar it takes the root directory's own attributes from the archive, and holes."""

    name = "squashfs"
    suffix = extension("squashfs")

    def check(self, settings: Settings) -> None:
        require("tar", self.name)
        require("tar2sqfs", self.name)

    @contextmanager
    def receive(self, destination: Path, settings: Settings, events: Events) -> Iterator[Sink]:
        compressor = settings.squashfs_compression
        # a strict one (--no-skip) would end at the first ACL; absolute, as what begins with a dash would be an option
        argv = ["tar2sqfs", "--quiet", "--force", f"--compressor={compressor}", str(destination.absolute())]
        with into_program(argv, destination, self.name) as sink:
            yield sink
