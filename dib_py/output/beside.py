"""A file that is written beside its name and takes the name when it is whole.

A partial file is locked (flock) while its build lives, so the next build can tell one that a killed build left from
one that is being written.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import tempfile
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from dib_py.errors import OutputError


def check_directory(destination: Path) -> None:
    """Raise OutputError unless a file can be written at ``destination``."""
    directory = destination.parent
    if not directory.is_dir():
        what = "is no directory" if directory.exists() else "does not exist"
        raise OutputError(f"the output directory {directory} {what}", hint=f"mkdir -p {directory}")
    if destination.is_dir():
        raise OutputError(f"the output {destination} is a directory")
    if destination.exists() and not destination.is_file():
        raise OutputError(f"the output {destination} is a device or another special file, which would be replaced")
    try:
        with tempfile.NamedTemporaryFile(dir=directory, prefix=".dib-py-"):
            pass
    except OSError as error:  # asked for real: root passes every permission bit, but no read-only filesystem
        raise OutputError(f"the output directory {directory} can't be written: {error.strerror}") from error


class Partial:
    """A hidden file beside ``destination``: made empty on entry, gone on exit unless :meth:`publish` was called."""

    def __init__(self, destination: Path) -> None:
        self.destination = destination
        self.path = destination  # until entered
        self._lock = -1

    def __enter__(self) -> Partial:
        try:
            while self._lock < 0:
                self._create()
        except OSError as error:
            raise OutputError(f"{self.destination} can't be written: {error.strerror}") from error
        return self

    def _create(self) -> None:
        name = f".{self.destination.name}.partial-{os.getpid()}-{secrets.token_hex(3)}"
        path = self.destination.with_name(name)
        lock = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o666)
        fcntl.flock(lock, fcntl.LOCK_EX)
        if _is_at(lock, path):
            self.path, self._lock = path, lock
        else:  # swept between its creation and its lock
            os.close(lock)

    def settle(self) -> None:
        """Have the content on the disk before the name is: a power cut leaves the old file or the new one."""
        try:
            os.fdatasync(self._lock)
        except OSError as error:
            raise OutputError(f"{self.destination} can't be written: {error.strerror}") from error

    def publish(self) -> None:
        """Take the name, over what has it."""
        try:
            self.path.rename(self.destination)
        except OSError as error:
            raise OutputError(f"{self.destination} can't be written: {error.strerror}") from error

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(FileNotFoundError):
            self.path.unlink()
        os.close(self._lock)


def sweep(destination: Path) -> None:
    """Remove the partial files that dead builds left beside ``destination``."""
    prefix = f".{destination.name}.partial-"
    for path in destination.parent.iterdir():
        if path.name.startswith(prefix):
            _remove_if_dead(path)


def _remove_if_dead(path: Path) -> None:
    try:
        lock = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return  # it has just taken its name or gone; or it isn't ours to read
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        path.unlink()
    except OSError:
        pass  # its build lives
    finally:
        os.close(lock)


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False
