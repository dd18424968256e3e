"""tar, tgz and tar.zst: the guest's files as one archive, as it is or compressed."""

from __future__ import annotations

import shlex
import shutil
from contextlib import AbstractContextManager
from pathlib import Path

from dib_py.errors import UsageError
from dib_py.events import Events
from dib_py.host_programs import require
from dib_py.output.sinks import Sink, into_file, into_program
from dib_py.settings import Settings


class Tar:
    name = "tar"
    suffix = "tar"

    def check(self, settings: Settings) -> None:
        require("tar", self.name)

    def receive(self, destination: Path, settings: Settings, events: Events) -> AbstractContextManager[Sink]:
        return into_file(destination, self.name)


class Tgz:
    name = "tgz"
    suffix = "tgz"

    def check(self, settings: Settings) -> None:
        require("tar", self.name)
        require(gzip(settings)[0], self.name)

    def receive(self, destination: Path, settings: Settings, events: Events) -> AbstractContextManager[Sink]:
        return into_program([*gzip(settings), "-n"], destination, self.name)


class TarZstd:
    name = "tar.zst"
    suffix = "tar.zst"

    def check(self, settings: Settings) -> None:
        require("tar", self.name)
        require("zstd", self.name)

    def receive(self, destination: Path, settings: Settings, events: Events) -> AbstractContextManager[Sink]:
        return into_program(["zstd", "-q", "-T0", "-c"], destination, self.name)


def gzip(settings: Settings) -> list[str]:
    """The program that compresses as gzip does: DIB_GZIP_BIN, else pigz, which uses all processors, if it is there."""
    asked = settings.environ.get("DIB_GZIP_BIN", "")
    try:
        words = shlex.split(asked)
    except ValueError as error:
        raise UsageError(f"DIB_GZIP_BIN is no command: {error}") from error
    return words or ["pigz" if shutil.which("pigz") else "gzip"]
