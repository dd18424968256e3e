"""A volume of a Windows image in the libguestfs appliance: NTFS by ntfs-3g, or the vfat that UEFI boots from.

Mounted with ``permissions,windows_names``: then what is new gets a protected descriptor from its mode (0755 is
Administrators and SYSTEM in full, everybody reads and runs), where ntfs-3g otherwise lets everybody write. What is
overwritten keeps its descriptor, as it is truncated and never replaced.

Without ``big_writes`` every 4 KiB would be a call of its own from the kernel to ntfs-3g.

Nobody else writes while a volume is mounted, so that listings of directories are kept: a name is compared without
regard to case, and ntfs-3g in an emulated machine takes its time to list ``System32``. Small files that are new wait
until somebody needs them there, or :meth:`ApplianceVolume.flush` is called.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dib_py.errors import TargetError
from dib_py.target.guestfs_appliance import Appliance
from dib_py.windows.refusals import DECOMPRESS
from dib_py.windows.volume import Access, segments
from dib_py.windows.waiting_files import WaitingFiles

NTFS_OPTIONS = "permissions,windows_names,big_writes"
_LARGEST_PIECE = 2 * 1024**2  # bytes that one answer of the appliance can hold with room to spare
_BLOCK = 64 * 1024  # bytes in which two versions of a file are compared
_LARGEST_WAITING = 8 * 1024**2  # bytes of a file that waits for others
_FILE, _DIRECTORY, _LINK = "r", "d", "l"
_CLOSED = "closed"  # a file of a kind that ntfs-3g can't read: it shows a link that leads nowhere, and says why
_COMPACT = "0x80000017"  # the tag of what CompactOS compressed (IO_REPARSE_TAG_WOF)


@dataclass
class _Entry:
    name: str
    kind: str  # as readdir has it


class ApplianceVolume:
    """See :class:`dib_py.windows.volume.Volume`; ``top`` is where libguestfs has the filesystem mounted.

    On vfat nobody's access is restricted, so nothing ``keeps_access`` there.
    """

    def __init__(self, appliance: Appliance, top: str, *, keeps_access: bool = True) -> None:
        self._appliance = appliance
        self.top = top
        self._keeps_access = keeps_access
        self._waiting = WaitingFiles(top)
        self._listed: dict[str, dict[str, _Entry]] = {}

    # -- where things are
    def resolve(self, path: str) -> str:
        return self._find(path)[0][len(self.top) :] or "/"

    def exists(self, path: str) -> bool:
        return self._find(path)[1] is not None

    def is_directory(self, path: str) -> bool:
        return self._find(path)[1] == _DIRECTORY

    def names(self, path: str) -> list[str]:
        place, kind = self._find(path)
        return sorted(entry.name for entry in self._listing(place).values()) if kind == _DIRECTORY else []

    # -- reading
    def size(self, path: str) -> int:
        place = self._there(path)
        return int(self._appliance.call(lambda g: g.filesize(place)))

    def read(self, path: str, limit: int | None = None) -> bytes:
        place = self._there(path)
        if limit is not None and limit <= _LARGEST_PIECE:
            return bytes(self._appliance.call(lambda g: g.pread(place, limit, 0)))
        with os.fdopen(os.memfd_create("download"), "r+b") as memory:
            self._appliance.call(lambda g: g.download(place, _descriptor(memory)))
            memory.seek(0)
            return memory.read(-1 if limit is None else limit)

    def fetch(self, path: str, destination: Path) -> None:
        place = self._there(path)
        self._appliance.call(lambda g: g.download(place, str(destination)))

    def free(self) -> int:
        self.flush()
        usage = self._appliance.call(lambda g: g.statvfs(self.top))
        return int(usage["bavail"]) * int(usage["bsize"])

    # -- writing
    def write(self, path: str, content: bytes, access: Access = Access.PUBLIC) -> None:
        place, is_new = self._place_for(path, access)
        if is_new and len(content) <= _LARGEST_WAITING:
            self._waiting.add(place, content, self._mode(access))
            self._noted(place)
            return
        with os.fdopen(os.memfd_create("upload"), "w+b") as memory:
            memory.write(content)
            memory.flush()
            self._upload(_descriptor(memory), place, access if is_new else None)

    def store(self, source: Path, path: str, access: Access = Access.PUBLIC) -> None:
        if source.is_dir():
            self.make_directory(path, access)
            for entry in sorted(source.iterdir()):
                self.store(entry, f"{path}/{entry.name}", access)
            return
        place, is_new = self._place_for(path, access)
        if is_new and source.stat().st_size <= _LARGEST_WAITING:
            self._waiting.add_file(place, source, self._mode(access))
            self._noted(place)
        else:
            self._upload(str(source.resolve()), place, access if is_new else None)

    def update(self, path: str, before: Path, after: Path) -> None:
        """An edited hive differs from what it was in some blocks of a hundred megabytes."""
        place = self._there(path)
        for offset, data in _differing(before, after):
            with os.fdopen(os.memfd_create("upload"), "w+b") as memory:
                memory.write(data)
                memory.flush()
                self._overwrite(_descriptor(memory), place, offset)

    def flush(self) -> None:
        """Put onto the volume what still waits for that."""
        self._waiting.hand_over(lambda archive: self._appliance.call(lambda g: g.tar_in(archive, self.top)))

    def make_directory(self, path: str, access: Access = Access.PUBLIC) -> None:
        place = self.top
        for name in segments(path):
            place, kind = self._step(place, name)
            if kind is None:
                self._make(place, access)
            elif kind != _DIRECTORY:
                raise TargetError(f"{path}: there is a file of that name")

    def remove(self, path: str) -> None:
        place, kind = self._find(path)
        if kind is None:
            return
        if place == self.top:
            raise TargetError("the root of a volume can't be removed")
        self.flush()
        self._appliance.call(lambda g: g.rm_rf(place))
        self._forget(place)

    # -- how
    def _place_for(self, path: str, access: Access) -> tuple[str, bool]:
        """Where a file goes, whose directory is made, and whether it is new; one that waits is new still."""
        place, kind = self._find(path)
        if kind == _DIRECTORY:
            raise TargetError(f"{path}: there is a directory of that name")
        if kind == _CLOSED:  # writing would follow the link that ntfs-3g shows
            self.remove(path)
            kind = None
        if kind is None:
            self.make_directory(_parent(path), access)
            place, _ = self._find(path)
        return place, kind is None or place in self._waiting

    def _upload(self, source: str, place: str, access: Access | None) -> None:
        """``access`` is for what is new, None leaves what is there."""
        self.flush()  # its directory may wait
        self._appliance.call(lambda g: g.upload(source, place))
        if access is not None:
            self._appliance.call(lambda g: g.chmod(self._mode(access), place))
            self._note(place, _FILE)

    def _overwrite(self, source: str, place: str, offset: int) -> None:
        self._appliance.call(lambda g: g.upload_offset(source, place, offset))

    def _noted(self, place: str) -> None:
        self._note(place, _FILE)
        if self._waiting.is_full:
            self.flush()

    def _mode(self, access: Access) -> int:
        return access.value if self._keeps_access else Access.PUBLIC.value

    def _make(self, place: str, access: Access) -> None:
        self._waiting.add_directory(place, self._mode(access))
        self._note(place, _DIRECTORY)

    def _there(self, path: str) -> str:
        """The place of a file that can be read."""
        place, kind = self._find(path)
        if kind is None or kind == _DIRECTORY:
            raise TargetError(f"{path}: there is no such file")
        if kind == _CLOSED:
            shown = self._appliance.call(lambda g: g.readlink(place))
            why = "it is compressed by CompactOS" if _COMPACT in shown else f"it is a link: {shown}"
            raise TargetError(f"{path} can't be read: {why}", hint=DECOMPRESS if _COMPACT in shown else "")
        if place in self._waiting:
            self.flush()
        return place

    def _find(self, path: str) -> tuple[str, str | None]:
        """The path in the appliance, spelled as there as far as it exists, and what is there, None for nothing."""
        place, kind = self.top, str(_DIRECTORY)
        names = segments(path)
        for number, name in enumerate(names):
            if kind != _DIRECTORY:
                return "/".join([place, *names[number:]]), None
            place, found = self._step(place, name)
            if found is None:
                return "/".join([place, *names[number + 1 :]]), None
            kind = found
        return place, kind

    def _step(self, directory: str, name: str) -> tuple[str, str | None]:
        """One name further; a junction leads where it leads, if that is on the volume and is there."""
        entry = self._listing(directory).get(name.casefold())
        if entry is None:
            return f"{directory}/{name}", None
        place = f"{directory}/{entry.name}"
        if entry.kind != _LINK:
            return place, entry.kind
        try:
            target = str(self._appliance.call(lambda g: g.realpath(place)))
        except TargetError:
            return place, _CLOSED
        if target != self.top and not target.startswith(f"{self.top}/"):
            raise TargetError(f"{place[len(self.top) :]} leads out of its volume")
        is_directory = self._appliance.call(lambda g: g.is_dir(target))
        return target, _DIRECTORY if is_directory else _FILE

    def _listing(self, directory: str) -> dict[str, _Entry]:
        known = self._listed.get(directory)
        if known is None:
            found: list[dict[str, Any]] = self._appliance.call(lambda g: g.readdir(directory))
            entries = (_Entry(one["name"], one["ftyp"]) for one in found if one["name"] not in (".", ".."))
            known = self._listed[directory] = {entry.name.casefold(): entry for entry in entries}
        return known

    def _note(self, place: str, kind: str) -> None:
        """Remember that this was made."""
        directory, _, name = place.rpartition("/")
        if directory in self._listed:
            self._listed[directory][name.casefold()] = _Entry(name, kind)
        if kind == _DIRECTORY:
            self._listed[place] = {}

    def _forget(self, place: str) -> None:
        directory, _, name = place.rpartition("/")
        self._listed.get(directory, {}).pop(name.casefold(), None)
        for known in [one for one in self._listed if one == place or one.startswith(f"{place}/")]:
            del self._listed[known]


def _parent(path: str) -> str:
    return "/".join(segments(path)[:-1])


def _descriptor(file: Any) -> str:
    return f"/proc/self/fd/{file.fileno()}"


def _differing(before: Path, after: Path) -> Iterator[tuple[int, bytes]]:
    """Where a file differs from what it was, and what is there now; neighbouring blocks come as one."""
    with before.open("rb") as old, after.open("rb") as new:
        start, found = 0, bytearray()
        for number in itertools.count():
            was, block = old.read(_BLOCK), new.read(_BLOCK)
            if was != block:
                start = start if found else number * _BLOCK
                found += block
            elif found:
                yield start, bytes(found)
                found.clear()
            if not block:
                break
        if found:
            yield start, bytes(found)
