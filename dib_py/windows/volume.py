r"""A volume of a Windows installation: the protocol that a plain directory and the appliance's NTFS both keep.

Paths are Windows' own, absolute from the volume's root: ``C:\Windows\System32``, ``/Windows/System32`` and
``\windows\SYSTEM32`` mean the same. Names are compared without regard to case, as Windows does, and what is new is
spelled as given: a volume never gets two names that differ by case only.
"""

from __future__ import annotations

import enum
import re
import shutil
from pathlib import Path
from typing import Protocol

from dib_py.errors import TargetError

_DRIVE = re.compile(r"^[A-Za-z]:")
_RESERVED = re.compile(r"^(?:con|prn|aux|nul|com[0-9]|lpt[0-9])(?:\..*)?$", re.IGNORECASE)
_FORBIDDEN = re.compile(r'[<>:"|?*\x00-\x1f]')


class Access(enum.Enum):
    """Who may do what with a file or directory; the value is the mode by which ntfs-3g makes a descriptor of it."""

    PUBLIC = 0o755  # everybody reads and runs, only Administrators and SYSTEM write
    PRIVATE = 0o700  # Administrators and SYSTEM, nobody else


class Volume(Protocol):
    """See the module; TargetError where the volume refuses."""

    def resolve(self, path: str) -> str:
        """``path`` with ``/`` between names, spelled as on the volume as far as it exists there."""
        ...

    def exists(self, path: str) -> bool: ...

    def is_directory(self, path: str) -> bool: ...

    def names(self, path: str) -> list[str]:
        """The names in a directory, sorted; empty where there is none."""
        ...

    def size(self, path: str) -> int:
        """Bytes of a file."""
        ...

    def read(self, path: str, limit: int | None = None) -> bytes:
        """A file's content, or its first ``limit`` bytes."""
        ...

    def write(self, path: str, content: bytes, access: Access = Access.PUBLIC) -> None:
        """Make a file with its directories, all with that access; a file that is there keeps its access."""
        ...

    def fetch(self, path: str, destination: Path) -> None:
        """Copy a file to this machine."""
        ...

    def store(self, source: Path, path: str, access: Access = Access.PUBLIC) -> None:
        """Copy a file of this machine, or a whole tree, onto the volume; otherwise as :meth:`write`."""
        ...

    def update(self, path: str, before: Path, after: Path) -> None:
        """Make a file, which is like ``before`` on this machine, like ``after``; only what differs need be written."""
        ...

    def make_directory(self, path: str, access: Access = Access.PUBLIC) -> None:
        """Make a directory and those above it; what is there keeps its access."""
        ...

    def remove(self, path: str) -> None:
        """Remove a file, or a directory with all that is in it; nothing where nothing is."""
        ...

    def free(self) -> int:
        """Bytes that are free."""
        ...


def segments(path: str) -> list[str]:
    """The names in a path; TargetError for one that Windows does not allow."""
    names = [name for name in re.split(r"[\\/]+", _DRIVE.sub("", path)) if name not in ("", ".")]
    for name in names:
        if name == ".." or _FORBIDDEN.search(name) or _RESERVED.match(name) or name[-1] in " .":
            raise TargetError(f"{path}: Windows does not allow a file named {name!r}")
    return names


class Directory:
    """A volume that is a directory of this machine; access is kept as the mode of its files."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def resolve(self, path: str) -> str:
        return "/" + self._host(path).relative_to(self.root).as_posix().removeprefix(".")

    def exists(self, path: str) -> bool:
        return self._host(path).exists()

    def is_directory(self, path: str) -> bool:
        return self._host(path).is_dir()

    def names(self, path: str) -> list[str]:
        directory = self._host(path)
        return sorted(entry.name for entry in directory.iterdir()) if directory.is_dir() else []

    def size(self, path: str) -> int:
        return self._found(path).stat().st_size

    def read(self, path: str, limit: int | None = None) -> bytes:
        with self._found(path).open("rb") as file:
            return file.read(limit)

    def write(self, path: str, content: bytes, access: Access = Access.PUBLIC) -> None:
        place = self._new(path, access)
        is_new = not place.exists()
        place.write_bytes(content)
        if is_new:
            place.chmod(access.value)

    def fetch(self, path: str, destination: Path) -> None:
        shutil.copyfile(self._found(path), destination)

    def store(self, source: Path, path: str, access: Access = Access.PUBLIC) -> None:
        if not source.is_dir():
            place = self._new(path, access)
            is_new = not place.exists()
            shutil.copyfile(source, place)
            if is_new:
                place.chmod(access.value)
            return
        self.make_directory(path, access)
        for entry in sorted(source.iterdir()):
            self.store(entry, f"{path}/{entry.name}", access)

    def update(self, path: str, before: Path, after: Path) -> None:
        shutil.copyfile(after, self._found(path))

    def make_directory(self, path: str, access: Access = Access.PUBLIC) -> None:
        place = self._host(path)
        missing = [one for one in (place, *place.parents) if not one.exists()]
        for directory in reversed(missing):
            directory.mkdir()
            directory.chmod(access.value)
        if not place.is_dir():
            raise TargetError(f"{path}: there is a file of that name")

    def remove(self, path: str) -> None:
        place = self._host(path)
        if place.is_dir() and not place.is_symlink():
            shutil.rmtree(place)
        else:
            place.unlink(missing_ok=True)

    def free(self) -> int:
        return shutil.disk_usage(self.root).free

    def _host(self, path: str) -> Path:
        """The path on this machine, spelled as there as far as it exists."""
        place = self.root
        for name in segments(path):
            place = place / _spelled(place, name)
        return place

    def _found(self, path: str) -> Path:
        place = self._host(path)
        if not place.is_file():
            raise TargetError(f"{path}: there is no such file")
        return place

    def _new(self, path: str, access: Access) -> Path:
        names = segments(path)
        self.make_directory("/".join(names[:-1]), access)
        place = self._host(path)
        if place.is_dir():
            raise TargetError(f"{path}: there is a directory of that name")
        return place


def _spelled(directory: Path, name: str) -> str:
    if (directory / name).exists() or not directory.is_dir():
        return name
    return next((there.name for there in directory.iterdir() if there.name.casefold() == name.casefold()), name)
