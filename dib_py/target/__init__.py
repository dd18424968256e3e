"""How the guest's tree is reached: the protocol that the guestfs and the host target both keep.

A target is opened on a running :class:`dib_py.disk.Disk`, lays a new disk out or mounts the one of a base image, runs
scripts in the guest's root, and gives the engine's own work its file operations. Guest paths are absolute, and
symbolic links in them are resolved inside the guest's root, never against this machine's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Protocol

from dib_py.disk.layout import Layout
from dib_py.disk.size import Usage
from dib_py.layers.record import BindMount

Output = Callable[[bytes], None]  # called with each chunk that a script prints, as it comes


@dataclass(frozen=True)
class Mount:
    """A filesystem of the image: ``device`` is the target's own name for it, ``options`` as in mount -o."""

    device: str
    path: str
    fstype: str
    options: str = ""


@dataclass(frozen=True)
class Inspection:
    """What is inside a base image; ``mounts`` are in mounting order and begin with the root."""

    mounts: tuple[Mount, ...]
    distro: str  # ID of os-release
    version: str
    arch: str  # uname -m spelling
    root_label: str
    root_fstype: str


@dataclass(frozen=True)
class CacheTree:
    """Directories of this machine that the guest has in place of its own: below ``root``, each at the guest's path.

    ``early`` are those that an empty tree has before anything is bootstrapped into it. ``kept`` is False where nobody
    will look at what the guest leaves there, since nobody vouches for it.
    """

    root: Path
    paths: tuple[str, ...]
    early: tuple[str, ...] = ()
    kept: bool = True

    def source(self, path: str) -> Path:
        """What is in place of the guest's directory ``path``."""
        return self.root / path.lstrip("/")

    def alone_in(self, listdir: Callable[[str], Iterable[str]]) -> bool:
        """Whether a guest is empty, but for the directories of the early caches, which may be in its first layers."""
        expected: dict[str, set[str]] = {"/": {"lost+found"}}
        for path in map(PurePosixPath, self.early):
            for directory in (path, *path.parents):
                expected.setdefault(str(directory), set())
                if directory.name:
                    expected.setdefault(str(directory.parent), set()).add(directory.name)
        waiting = [PurePosixPath("/")]
        while waiting:
            directory = waiting.pop()
            names = set(listdir(str(directory)))
            if names - expected[str(directory)]:
                return False
            waiting += [directory / name for name in names if str(directory / name) in expected]
        return True


@dataclass(frozen=True)
class UnkeptMount:
    """A mount at ``path`` in the guest that a later build can't make again, and ``why``."""

    path: str
    why: str


@dataclass(frozen=True)
class LeftMounts:
    """What hooks have mounted in the guest's tree, in that order."""

    kept: tuple[BindMount, ...] = ()
    unkept: tuple[UnkeptMount, ...] = ()


class HookTimeout(Exception):
    """A script overran its limit and was ended with all that it had started."""


class Target(Protocol):
    """See the module; every method raises TargetError or DiskError when it can't do its work."""

    name: str

    @property
    def grows_while_mounted(self) -> bool:
        """Whether :meth:`grow` works at any moment; else it does only while nothing of the tree is in use."""
        ...

    def attach(self, caches: CacheTree) -> None:
        """To be called before it is entered: the guest has these caches while :meth:`guest_mounts` is open, and an
        empty one the early ones while :meth:`tree` is; but its own directories from :meth:`expose_devices` on.

        What is written there never reaches the image, which has the directories themselves. A target that can't do
        this goes on without.
        """
        ...

    def __enter__(self) -> Target: ...
    def __exit__(self, *exc: object) -> None: ...

    # -- the disk
    def create(self, layout: Layout) -> None:
        """Partition and format a blank disk."""
        ...

    def inspect(self, cache: Path | None = None) -> Inspection:
        """Find the operating system and its filesystems on a base image; nothing stays mounted.

        A target for which that is slow remembers the result in ``cache``, which belongs to this image's content.
        """
        ...

    def move_in(self, layout: Layout, cache: Path | None = None) -> Inspection:
        """Lay a blank disk out, and copy what is in the base image that is the disk's source to the new filesystems.

        They are mounted then, and nobody holds the source any more. Returns what the base image was; ``cache`` is as
        for :meth:`inspect`. DiskError where a filesystem has too little room.
        """
        ...

    def mount(self, mounts: Sequence[Mount]) -> None:
        """Mount filesystems into the guest's tree; may be called again for more of them."""
        ...

    def layout_mounts(self, layout: Layout) -> list[Mount]:
        """The mounts of a layout that :meth:`create` made, in mounting order."""
        ...

    def usage(self) -> Usage:
        """How full the root filesystem is."""
        ...

    def grow(self) -> None:
        """Make the last partition and its filesystem fill the disk, which has just grown; works while mounted."""
        ...

    def shrink(self, size: int) -> None:
        """Cut the last filesystem and the partition table to ``size`` bytes; the disk is resized to that afterwards.

        Remounts, so nothing may run. DiskError where the filesystem can't shrink, or has too much in it.
        """
        ...

    def expose_devices(self, layout: Layout | None) -> Mapping[str, str]:
        """From now on the disk and its partitions are proper block devices inside the guest, as bootloaders need them.

        Returns device paths by name: the disk's name (``image0``) and each partition's; without a layout the
        partitions are named by number. May remount, so no script may run meanwhile.
        """
        ...

    def trim(self) -> None:
        """Give the blocks that no file uses back to the disk."""
        ...

    def unmount(self) -> None:
        """End what still runs in the tree and unmount it all; TargetError says what could not be flushed."""
        ...

    # -- the guest
    def guest_mounts(self, hooks: Path) -> AbstractContextManager[None]:
        """While open, /proc, /dev, /dev/pts, read-only /sys, and ``hooks`` read-only at /tmp/in_target.d are there.

        Whatever was at /tmp/in_target.d is gone then, as it is afterwards; the other mount points stay.
        """
        ...

    def run(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str],
        output: Output,
        timeout: float | None = None,
        cwd: str = "/",
        input: bytes = b"",
    ) -> int:
        """Run a program of the guest in its root with exactly ``env``; returns its exit code (128 + n for signal n).

        Streams standard output and error together. All processes that it leaves behind are ended. Raises HookTimeout.
        """
        ...

    def tree(self) -> AbstractContextManager[Path]:
        """The guest's root as a writable host path, for host-side hooks; what they wrote is in the guest afterwards."""
        ...

    def run_host(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str],
        output: Output,
        timeout: float | None = None,
        cwd: Path | None = None,
    ) -> int:
        """Run a host-side hook, while :meth:`tree` is open; the same promises as :meth:`run`."""
        ...

    def shell(self, argv: Sequence[str], *, env: Mapping[str, str], terminal: int, in_guest: bool) -> int:
        """Run a shell for the user on ``terminal``, in the guest or on the host side; returns its exit code."""
        ...

    def left_mounts(self) -> LeftMounts:
        """What hooks have mounted in the guest's tree and a later build, which goes on from here, needs too."""
        ...

    def mount_again(self, mounts: Sequence[BindMount]) -> None:
        """Make the mounts that an earlier build's hooks had made."""
        ...

    def sync(self) -> None:
        """Write everything back, so that a snapshot of the disk holds all that was done."""
        ...

    # -- the engine's own work
    def read(self, path: str) -> bytes: ...
    def write(self, path: str, data: bytes, mode: int = 0o644) -> None: ...
    def exists(self, path: str) -> bool: ...
    def make_directory(self, path: str, mode: int = 0o755) -> None:
        """Make a directory; its parents too; nothing happens where it is there."""
        ...

    def resolver(self) -> bytes:
        """The content for /etc/resolv.conf with which names resolve inside the guest during the build."""
        ...

    def is_symlink(self, path: str) -> bool: ...
    def stamp(self, path: str) -> str:
        """What changes whenever the file is replaced or written to; empty where there is none."""
        ...

    def remove(self, path: str) -> None:
        """Remove a file or a whole directory; nothing happens where there is none."""
        ...

    def rename(self, old: str, new: str) -> None: ...
    def listdir(self, path: str) -> list[str]: ...
    def copy_in(self, source: Path, directory: str) -> None:
        """Copy a host file or tree, under its own name, into a directory of the guest."""
        ...

    def tar_in(self, archive: Path, directory: str) -> None:
        """Unpack a tar archive (owners, modes, xattrs kept) into a directory of the guest."""
        ...

    def tar_out(self, directory: str, archive: Path, exclude: Sequence[str] = ()) -> None:
        """Write a directory of the guest to a tar archive (numeric owners, xattrs kept)."""
        ...

    def pack(self, output: Output) -> None:
        """Write all of the guest's files as one tar archive, while neither its mounts nor its tree are open.

        Owners, modes, times, extended attributes, ACLs, hard links, device nodes and holes are kept.
        """
        ...
