"""``--keep-console``: what came from the serial console, byte for byte, in a file of the user's."""

from __future__ import annotations

import os
from pathlib import Path
from typing import IO

from dib_py.errors import OutputError
from dib_py.events import Events


def empty(path: Path) -> None:
    """Take out what another verification has left there; pipes and devices hold nothing."""
    if path.is_file() or not path.exists():
        try:
            path.write_bytes(b"")
        except OSError as error:
            raise OutputError(f"--keep-console: {path} can't be written: {error.strerror}") from error


class ConsoleCopy:
    """Appends to a file; one that can't be written any more is told once, and is no matter of the guest's."""

    def __init__(self, path: Path, events: Events) -> None:
        self._path = path
        self._events = events
        self._file: IO[bytes] | None = None
        try:
            self._file = _opened(path)
        except OSError as error:
            self._give_up(error)

    def write(self, data: bytes) -> None:
        if self._file is not None:
            try:
                self._file.write(data)
            except OSError as error:
                self._give_up(error)

    def close(self) -> None:
        """May be called again."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _give_up(self, error: OSError) -> None:
        self.close()
        self._events.warning(f"--keep-console: {self._path} can't be written any more: {error.strerror}")


def _opened(path: Path) -> IO[bytes]:
    """For appending; a pipe that nobody reads is an error, and nothing to wait for."""
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK, 0o666)
    os.set_blocking(file, True)
    return os.fdopen(file, "wb", buffering=0)
