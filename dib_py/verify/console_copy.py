"""``--keep-console``: what came from the serial console, byte for byte, in a file of the user's."""

from __future__ import annotations

from pathlib import Path
from typing import IO

from dib_py.events import Events


class ConsoleCopy:
    """Appends to a file; one that can't be written any more is told once, and is no matter of the guest's."""

    def __init__(self, path: Path, events: Events) -> None:
        self._path = path
        self._events = events
        self._file: IO[bytes] | None = None
        try:
            self._file = path.open("ab", buffering=0)
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
