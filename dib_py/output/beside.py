"""A file that is written beside its name and takes the name when it is whole."""

from __future__ import annotations

import errno
import os
import secrets
import shlex
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from dib_py.errors import OutputError

Naming = Callable[[Path], Path]


def hidden_name(destination: Path) -> Path:
    """A name beside ``destination`` that nothing has. A build takes its worker's instead, which is remembered."""
    return destination.with_name(f".{destination.name}.{secrets.token_hex(4)}.partial")


def check_directory(destination: Path) -> None:
    """Raise OutputError unless a file can be written at ``destination``, and its checksums beside it."""
    try:
        _check_directory(destination)
    except OSError as error:
        raise OutputError(f"the output {destination} can't be written: {error.strerror}") from error


def _check_directory(destination: Path) -> None:
    directory = destination.parent
    if not directory.is_dir():
        what = "is no directory" if directory.exists() else "does not exist"
        raise OutputError(f"the output directory {directory} {what}", hint=f"mkdir -p {shlex.quote(str(directory))}")
    if destination.is_dir():
        raise OutputError(f"the output {destination} is a directory")
    if destination.exists() and not destination.is_file():
        raise OutputError(f"the output {destination} is a device or another special file, which would be replaced")
    try:
        with tempfile.NamedTemporaryFile(dir=directory, prefix=f".{destination.name}.sha256.", suffix=".partial"):
            pass
    except OSError as error:  # asked for real: root passes every permission bit, but no read-only filesystem
        if error.errno == errno.ENAMETOOLONG:
            raise
        raise OutputError(f"the output directory {directory} can't be written: {error.strerror}") from error


class Partial:
    """A file beside ``destination``: made empty on entry, gone on exit unless :meth:`publish` was called."""

    def __init__(self, destination: Path, naming: Naming) -> None:
        self.destination = destination
        self.path = naming(destination)

    def __enter__(self) -> Partial:
        try:
            self.path.touch(exist_ok=False)  # with the rights that the umask gives, whatever program writes it
        except OSError as error:
            raise self._unwritable(error) from error
        return self

    def publish(self) -> None:
        """Take the name, over what has it. The content is on the disk before: a power cut leaves the old or the new."""
        try:
            with self.path.open("rb") as file:
                os.fdatasync(file.fileno())
            self.path.rename(self.destination)
        except OSError as error:
            raise self._unwritable(error) from error

    def _unwritable(self, error: OSError) -> OutputError:
        return OutputError(f"{self.destination} can't be written: {error.strerror}")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(FileNotFoundError):
            self.path.unlink()
