"""The kernel's table of mounts in this process's view, and the names that one directory has through it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

TABLE = Path("/proc/self/mountinfo")


@dataclass(frozen=True)
class MountEntry:
    """One mount: ``root`` is the directory (or file) of the filesystem ``device`` that is seen at ``point``."""

    number: int
    device: str
    root: str
    point: Path
    read_only: bool
    fstype: str

    @property
    def is_anonymous(self) -> bool:
        """Whether there is no block device, as with FUSE, where :attr:`minor` numbers the connection."""
        return self.device.startswith("0:")

    @property
    def minor(self) -> int:
        return int(self.device.partition(":")[2])


def parse(table: bytes, *, with_deleted: bool = False) -> list[MountEntry]:
    """Read the format of ``/proc/PID/mountinfo``, in mounting order; mounts whose name was deleted are left out, unless
    they are asked for: these have no point that could be gone to."""
    entries = []
    for line in table.splitlines():
        fields = line.split(b" ")
        if fields[4].endswith(b"//deleted") and not with_deleted:
            continue
        kind = fields[fields.index(b"-") + 1]
        options = fields[5].split(b",")
        root, point = (_unescaped(field) for field in fields[3:5])
        entries.append(
            MountEntry(int(fields[0]), fields[2].decode(), root, Path(point), b"ro" in options, kind.decode())
        )
    return entries


def read() -> list[MountEntry]:
    """The table as it is now."""
    return parse(TABLE.read_bytes())


def points() -> list[Path]:
    """Where something is mounted in this process's view, in mounting order."""
    return [entry.point for entry in read()]


def _unescaped(field: bytes) -> str:
    return os.fsdecode(field.decode("unicode_escape").encode("latin-1"))


def mount_number(path: Path) -> int:
    """The number of the mount that ``path`` is on; OSError where there is nothing."""
    file = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        for line in Path(f"/proc/self/fdinfo/{file}").read_text().splitlines():
            name, _, value = line.partition(":")
            if name == "mnt_id":
                return int(value)
    finally:
        os.close(file)
    raise OSError(f"the kernel does not say what {path} is mounted on")


def names_of(device: str, inside: str, table: Sequence[MountEntry]) -> list[Path]:
    """Where ``inside``, a path in the filesystem ``device``, should be seen: a mount above may hide it."""
    found = []
    for entry in table:
        if entry.device == device and _is_within(inside, entry.root):
            rest = inside[len(entry.root) :] if entry.root != "/" else inside
            found.append(entry.point / rest.strip("/"))
    return list(dict.fromkeys(found))


def _is_within(path: str, directory: str) -> bool:
    return directory == "/" or path == directory or path.startswith(f"{directory}/")


def aliases(path: Path) -> list[Path]:
    """All names by which this process reaches what ``path`` names, itself among them; OSError if there is nothing."""
    real = path.resolve(strict=True)
    table = read()
    number = mount_number(real)
    entry = next(one for one in table if one.number == number)
    inside = str(Path(entry.root) / real.relative_to(entry.point))
    status = real.stat()
    found = [real]
    for name in names_of(entry.device, inside, table):
        with suppress(OSError):
            if name != real and os.path.samestat(name.lstat(), status):
                found.append(name)
    return found
