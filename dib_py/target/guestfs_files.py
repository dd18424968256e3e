"""The engine's own work on files of the guest through libguestfs.

Most of libguestfs's calls resolve symbolic links inside the guest, but those that run a program of the appliance (tar,
rm) would follow them into the appliance's own root: their paths are resolved first.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from dib_py import process
from dib_py.errors import TargetError
from dib_py.target.guestfs_appliance import Appliance

# everything but what belongs to this machine: its labels, and overlayfs's own marks
TAR_CREATE = (
    "tar",
    "--create",
    "--format=posix",
    "--numeric-owner",
    "--acls",
    "--xattrs",
    "--xattrs-include=*",
    "--xattrs-exclude=security.selinux",
    "--xattrs-exclude=trusted.overlay.*",
    "--xattrs-exclude=user.overlay.*",
)


class GuestFiles:
    """The file operations of :class:`dib_py.target.Target`."""

    def __init__(self, appliance: Appliance) -> None:
        self._appliance = appliance

    def read(self, path: str) -> bytes:
        with os.fdopen(os.memfd_create("download"), "r+b") as memory:
            self._appliance.call(lambda g: g.download(path, f"/proc/self/fd/{memory.fileno()}"))
            memory.seek(0)
            return memory.read()

    def write(self, path: str, data: bytes, mode: int = 0o644) -> None:
        with os.fdopen(os.memfd_create("upload"), "w+b") as memory:
            memory.write(data)
            memory.flush()
            self._appliance.call(lambda g: g.upload(f"/proc/self/fd/{memory.fileno()}", path))
        self._appliance.call(lambda g: g.chmod(mode, path))

    def exists(self, path: str) -> bool:
        def look(handle: Any) -> bool:
            if not handle.exists(path):
                return False
            if handle.is_symlink(path):  # where that leads it does not look
                try:
                    handle.realpath(path)
                except RuntimeError:
                    return False
            return True

        return self._appliance.call(look)

    def is_symlink(self, path: str) -> bool:
        return bool(self._appliance.call(lambda g: g.is_symlink(path)))

    def stamp(self, path: str) -> str:
        def look(handle: Any) -> str:
            try:
                status = handle.statns(path)
            except RuntimeError:
                return ""
            names = ("ino", "size", "mtime_sec", "mtime_nsec", "ctime_sec", "ctime_nsec")
            return " ".join(str(status[f"st_{name}"]) for name in names)

        return self._appliance.call(look)

    def make_directory(self, path: str, mode: int = 0o755) -> None:
        if self.exists(path):
            return
        self._appliance.call(lambda g: g.mkdir_p(path))
        self._appliance.call(lambda g: g.chmod(mode, path))

    def remove(self, path: str) -> None:
        parent, name = os.path.split(str(PurePosixPath(path)))
        if not self.exists(parent):
            return
        place = self.resolve(parent)
        self._appliance.call(lambda g: g.rm_rf(os.path.join(place, name)))  # noqa: PTH118 - a path of the guest

    def rename(self, old: str, new: str) -> None:
        self._appliance.call(lambda g: g.rename(old, new))

    def listdir(self, path: str) -> list[str]:
        return list(self._appliance.call(lambda g: g.ls(path)))

    def copy_in(self, source: Path, directory: str) -> None:
        if not source.exists():
            raise TargetError(f"{source} does not exist")
        source = source.absolute()
        self.stream_in(["--directory", str(source.parent), "--", source.name], directory)

    def stream_in(self, what: Sequence[str], directory: str) -> None:
        """Archive ``what`` (arguments of tar) on this machine and unpack it in the guest at the same time."""
        with fed_by([*TAR_CREATE, *what]) as archive:
            self.tar_in(archive, directory)

    def tar_in(self, archive: Path | str, directory: str) -> None:
        place = self.resolve(directory)
        self._appliance.call(lambda g: g.tar_in(str(archive), place, xattrs=True, acls=True))

    def tar_out(self, directory: str, archive: Path, exclude: Sequence[str] = ()) -> None:
        place = self.resolve(directory)
        self._appliance.call(
            lambda g: g.tar_out(place, str(archive), numericowner=True, excludes=list(exclude), xattrs=True, acls=True)
        )

    def resolve(self, path: str) -> str:
        """``path`` without symbolic links, as the guest sees it."""
        return str(self._appliance.call(lambda g: g.realpath(path)))


@contextlib.contextmanager
def fed_by(argv: Sequence[str]) -> Iterator[str]:
    """A path from which to read what tar writes; CommandFailed where it fails.

    tar's exit code 1 says that a file changed while it was read, which is no failure.
    """
    with process.reading(argv, fine=(0, 1)) as archive:
        yield f"/proc/self/fd/{archive.fileno()}"
