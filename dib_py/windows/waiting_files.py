"""New files and directories that wait to be put onto a volume of the appliance all at once, as one archive.

Each call to the appliance takes its time, and a driver's package is a dozen files of a few kilobytes.
"""

from __future__ import annotations

import io
import tarfile
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

MOST_BYTES = 64 * 1024**2  # that wait; they are in a file of this machine


class WaitingFiles:
    """An archive of what is new: paths are relative to ``top``, where the volume is mounted."""

    def __init__(self, top: str) -> None:
        self._top = top
        self._places: set[str] = set()
        self._bytes = 0
        self._file = tempfile.TemporaryFile(suffix=".tar")  # noqa: SIM115 - it lives as long as this does
        self._archive = self._begin()

    def __contains__(self, place: str) -> bool:
        return place in self._places

    @property
    def is_full(self) -> bool:
        return self._bytes > MOST_BYTES

    def add_directory(self, place: str, mode: int) -> None:
        member = self._member(place, mode)
        member.type = tarfile.DIRTYPE
        self._archive.addfile(member)

    def add(self, place: str, content: bytes, mode: int) -> None:
        """A file; one that is added again is what it was last."""
        member = self._member(place, mode)
        member.size = len(content)
        self._archive.addfile(member, io.BytesIO(content))
        self._bytes += len(content)

    def add_file(self, place: str, source: Path, mode: int) -> None:
        """The same with the content of a file of this machine."""
        member = self._member(place, mode)
        member.size = source.stat().st_size
        with source.open("rb") as content:
            self._archive.addfile(member, content)
        self._bytes += member.size

    def hand_over(self, unpack: Callable[[str], None]) -> None:
        """Have ``unpack`` put the archive, a path on this machine, where the volume is; nothing waits then."""
        if not self._places:
            return
        self._archive.close()
        self._file.flush()
        unpack(f"/proc/self/fd/{self._file.fileno()}")
        self._places.clear()
        self._bytes = 0
        self._file.seek(0)
        self._file.truncate()
        self._archive = self._begin()

    def _begin(self) -> tarfile.TarFile:
        return tarfile.open(fileobj=self._file, mode="w", format=tarfile.PAX_FORMAT)

    def _member(self, place: str, mode: int) -> tarfile.TarInfo:
        """An entry that belongs to root, which is Administrators there."""
        self._places.add(place)
        member = tarfile.TarInfo(place[len(self._top) :].lstrip("/"))
        member.mode = mode
        member.mtime = int(time.time())
        return member
