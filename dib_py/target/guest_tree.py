"""Files in a guest's root that is mounted on this machine: the engine's own work on it.

Every path is resolved by the kernel inside that root (openat2 with RESOLVE_IN_ROOT), so that no symbolic link of the
guest, absolute or not, ever leads to a file of this machine.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import stat
import tarfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from dib_py import mount_table, process
from dib_py.errors import TargetError
from dib_py.target import Output, packing

_SYS_OPENAT2 = 437  # the same on every architecture
_RESOLVE_IN_ROOT = 0x10
_TAR_ATTRIBUTES = ("--numeric-owner", "--xattrs", "--xattrs-include=*")

_libc = ctypes.CDLL(None, use_errno=True)


class _OpenHow(ctypes.Structure):
    """struct open_how of linux/openat2.h."""

    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


def open_inside(root: Path, path: str, flags: int, mode: int = 0) -> int:
    """Open ``path`` as a process with ``root`` as its root would; OSError as from open(2)."""
    how = _OpenHow(flags | os.O_CLOEXEC, mode, _RESOLVE_IN_ROOT)
    base = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        while True:
            file = _libc.syscall(
                _SYS_OPENAT2, base, os.fsencode(path), ctypes.byref(how), ctypes.c_size_t(ctypes.sizeof(how))
            )
            if file >= 0:
                return int(file)
            number = ctypes.get_errno()
            if number != 11:  # EAGAIN: something was renamed meanwhile
                raise OSError(number, os.strerror(number), path)
    finally:
        os.close(base)


class GuestTree:
    """The file operations of a target whose guest is mounted at ``root``; TargetError names the guest's path."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def read(self, path: str) -> bytes:
        with _told(path), self._opened(path, os.O_RDONLY) as file, open(file, "rb", closefd=False) as reader:
            return reader.read()

    def write(self, path: str, data: bytes, mode: int = 0o644) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        with _told(path), self._opened(path, flags, mode) as file:
            os.fchmod(file, mode)
            with open(file, "wb", closefd=False) as writer:
                writer.write(data)

    def exists(self, path: str) -> bool:
        try:
            os.close(open_inside(self.root, path, os.O_PATH))
        except OSError:
            return False
        return True

    def is_symlink(self, path: str) -> bool:
        try:
            with self._parent(path) as (directory, name):
                return stat.S_ISLNK(os.lstat(name, dir_fd=directory).st_mode)
        except OSError:
            return False

    def stamp(self, path: str) -> str:
        try:
            file = open_inside(self.root, path, os.O_PATH)
        except OSError:
            return ""
        try:
            status = os.fstat(file)
        finally:
            os.close(file)
        return f"{status.st_ino} {status.st_size} {status.st_mtime_ns} {status.st_ctime_ns}"

    def make_directory(self, path: str, mode: int = 0o755) -> None:
        with _told(path):
            for ancestor in [*reversed(PurePosixPath(path).parents), PurePosixPath(path)]:
                if not self.exists(str(ancestor)):
                    with self._parent(str(ancestor)) as (directory, name):
                        os.mkdir(name, dir_fd=directory)
                        if str(ancestor) == str(PurePosixPath(path)):
                            os.chmod(name, mode, dir_fd=directory)
            with self._opened(path, os.O_PATH | os.O_DIRECTORY):
                pass

    def remove(self, path: str) -> None:
        with _told(path):
            try:
                with self._parent(path) as (directory, name):
                    self._remove(directory, name, path)
            except FileNotFoundError:
                return

    def _remove(self, directory: int, name: str, path: str) -> None:
        if not stat.S_ISDIR(os.lstat(name, dir_fd=directory).st_mode):
            os.unlink(name, dir_fd=directory)
            return
        real = Path(f"/proc/self/fd/{directory}").readlink() / name
        mounted = [point for point in mount_table.points() if point == real or real in point.parents]
        if mounted:
            raise TargetError(f"it can't be removed while {mounted[0]} is mounted", where=path)
        shutil.rmtree(f"/proc/self/fd/{directory}/{name}")

    def rename(self, old: str, new: str) -> None:
        with _told(old), self._parent(old) as (source, name), self._parent(new) as (destination, new_name):
            os.rename(name, new_name, src_dir_fd=source, dst_dir_fd=destination)

    def listdir(self, path: str) -> list[str]:
        with _told(path), self._opened(path, os.O_RDONLY | os.O_DIRECTORY) as directory:
            return os.listdir(directory)  # noqa: PTH208 - a descriptor, which has no path

    def copy_in(self, source: Path, directory: str) -> None:
        with _told(directory), self._reachable(directory) as path:
            process.run(["cp", "--archive", "--no-target-directory", "--", source, path / source.name])

    def tar_in(self, archive: Path, directory: str) -> None:
        with _told(directory), self._reachable(directory) as path:
            self._refuse_escapes(archive, directory)
            options = ("--same-owner", "--preserve-permissions", *_TAR_ATTRIBUTES)
            process.run(["tar", "--extract", f"--file={archive.absolute()}", f"--directory={path}", *options])

    def tar_out(self, directory: str, archive: Path, exclude: Sequence[str] = ()) -> None:
        with _told(directory), self._reachable(directory) as path:
            left_out = [f"--exclude={pattern}" for pattern in [*exclude, *self._foreign(path)]]
            options = ("--sparse", *_TAR_ATTRIBUTES, "--warning=no-file-ignored", *left_out)
            process.run(["tar", "--create", f"--file={archive.absolute()}", f"--directory={path}", *options, "."])

    def pack(self, output: Output) -> None:
        root = self.root.resolve()
        points = {point: f"/{point.relative_to(root)}" for point in self._mounted(root)}
        own = self.own_mount_points()
        foreign = [path for point, path in points.items() if point not in own]
        mounted = ["/", *(path for point, path in points.items() if point in own)]
        process.follow(packing.argv(str(root), mounted, foreign), output)

    def own_mount_points(self) -> set[Path]:
        """Where the image's own filesystems are mounted; all else below the root is not part of the image."""
        return {self.root}

    def resolved(self, path: str) -> Path:
        """Where ``path`` really is on this machine; TargetError if there is nothing."""
        with _told(path), self._opened(path, os.O_PATH) as file:
            return Path(f"/proc/self/fd/{file}").readlink()

    # -- how
    @contextmanager
    def _opened(self, path: str, flags: int, mode: int = 0) -> Iterator[int]:
        file = open_inside(self.root, path, flags, mode)
        try:
            yield file
        finally:
            os.close(file)

    @contextmanager
    def _parent(self, path: str) -> Iterator[tuple[int, str]]:
        """The directory that holds ``path``, and its name there: for what works on a link and not on its target."""
        pure = PurePosixPath(path)
        if pure.name in ("", ".."):
            raise TargetError("it has no name of its own", where=path)
        with self._opened(str(pure.parent), os.O_PATH | os.O_DIRECTORY) as directory:
            yield directory, pure.name

    @contextmanager
    def _reachable(self, directory: str) -> Iterator[Path]:
        """A path by which programs of this machine reach a directory of the guest, whatever links lead there."""
        with self._opened(directory, os.O_PATH | os.O_DIRECTORY) as file:
            yield Path(f"/proc/{os.getpid()}/fd/{file}")

    def _refuse_escapes(self, archive: Path, directory: str) -> None:
        """tar follows links that are there already as this machine would: refuse an archive that has files behind one
        that leads out of the guest."""
        start = self.resolved(directory)
        root = os.path.realpath(self.root)
        with tarfile.open(archive) as members:
            parents = {str(PurePosixPath(member.name).parent) for member in members}
        for parent in sorted(parents):
            real = os.path.realpath(start / parent.lstrip("/"))
            if real != root and not real.startswith(root + "/"):
                raise TargetError(f"{archive} has files in {parent}, which leads out of the guest", where=directory)

    def _foreign(self, path: Path) -> list[str]:
        """Patterns for the content of what is mounted below ``path`` and is not the image's."""
        here = path.readlink()
        own = self.own_mount_points()
        return [f"./{point.relative_to(here)}/*" for point in self._mounted(here) if point not in own]

    def _mounted(self, here: Path) -> list[Path]:
        return [point for point in mount_table.points() if here in point.parents]


@contextmanager
def _told(path: str) -> Iterator[None]:
    """Turn the kernel's errors into ours, which name the guest's path."""
    try:
        yield
    except OSError as error:
        raise TargetError(f"{os.strerror(error.errno or 0)}", where=path) from error
