"""The guest's tree on this machine, for host-side hooks of a guest that is mounted in the appliance.

libguestfs mounts the tree here by FUSE, slowly and read-only, and overlayfs puts a writable directory of this machine
above it. An empty guest (before root.d) needs neither: its hooks write a plain directory. What was written or deleted
goes into the guest at every checkpoint, and at the end what was since then.

While the FUSE mount is there, a process forked for it owns the handle: any other call on it would deadlock, so it is
refused. The runners go on working.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import stat
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from dib_py import mount_table, namespaces, overlay
from dib_py.build_directory import GUEST, TREE_NAME, UPPER, WORK
from dib_py.errors import TargetError
from dib_py.events import Events
from dib_py.target import CacheTree, Output, guestfs_stream, host_mounts, host_run
from dib_py.target.guest_tree import GuestTree
from dib_py.target.guestfs_appliance import Appliance
from dib_py.target.guestfs_files import GuestFiles
from dib_py.target.guestfs_push import RECEIVE, Pushed

# Bind mounts for package caches that well-known hooks make: without them, packages are only downloaded again. Other
# entries are what bootstrapping hooks may leave mounted, and the appliance has of its own.
HARMLESS = (
    *("var/cache/apt/archives", "var/cache/dnf", "var/cache/yum", "var/cache/zypp", "var/lib/apt/lists"),
    *("tmp/yum", "tmp/dnf", "tmp/pip", "tmp/pypi", "tmp/ccache"),
    *("proc", "sys", "dev"),
)

_MOUNTED_WITHIN = 60.0  # seconds for FUSE
_ENDED_WITHIN = 5.0  # seconds for its server, once it is unmounted
_CACHE_SECONDS = 3600  # nobody changes the tree meanwhile, except the overlay, which is above


class HostTree:
    """One tree at a time; ``directory`` is the build's own."""

    def __init__(self, appliance: Appliance, files: GuestFiles, directory: Path, events: Events) -> None:
        self._appliance = appliance
        self._files = files
        self._directory = directory
        self._events = events
        self._root: Path | None = None
        self._pushed: Pushed | None = None
        self._told: set[Path] = set()
        self.caches = CacheTree(Path(), ())

    @property
    def files(self) -> GuestTree | None:
        """The guest's files, while the tree is open: libguestfs sees neither what is new there nor may be asked."""
        return GuestTree(self._root) if self._root is not None else None

    @contextlib.contextmanager
    def opened(self) -> Iterator[Path]:
        """The tree as a writable path; at the end the guest has what was done there, unless that ended in an error."""
        if self._root is not None:
            raise TargetError("the guest's tree is open already")
        empty = self.caches.alone_in(self._files.listdir)
        with self._plain() if empty else self._overlaid() as (root, pushed):
            self._root, self._pushed = root, pushed
            try:
                yield root
                self.push()
            finally:
                self._root = self._pushed = None
                _unmount_below(root)

    def push(self) -> None:
        """Put into the guest what was done in the tree so far; no process may be at work there. Nothing happens where
        the tree is not open."""
        if self._pushed is None:
            return
        todo = self._pushed.next()
        if todo:
            guestfs_stream.send(self._appliance, self._pushed.archive(), todo.members(), RECEIVE, todo.removals())
        self._pushed.done()

    def run(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str],
        output: Output,
        timeout: float | None = None,
        cwd: Path | None = None,
    ) -> int:
        """Run a host-side hook, and refuse a mount that it leaves and that the guest's later hooks would miss."""
        if self._root is None:
            raise TargetError("a host-side hook needs the guest's tree, which is not open")
        code = host_run.host_side(argv, env=env, output=output, cwd=cwd, timeout=timeout)
        caches = {Path(path.lstrip("/")) for path in self.caches.early}
        for point in _mounted_below(self._root):
            place = point.relative_to(self._root)
            if place in caches:
                continue
            if not any(place == Path(one) or Path(one) in place.parents for one in HARMLESS):
                raise TargetError(
                    f"a hook mounted something at /{place}, which can't reach into the libguestfs appliance",
                    hint="build with --target host, or have the hook copy the files",
                )
            if place not in self._told:
                self._told.add(place)
                self._events.info(f"what a hook mounted at /{place} stays on this machine: the guest does without it")
        return code

    @contextlib.contextmanager
    def _plain(self) -> Iterator[tuple[Path, Pushed]]:
        """An empty directory, all of which becomes the guest's tree."""
        root, content = self._directory / TREE_NAME, self._directory / UPPER
        root.mkdir(exist_ok=True)
        content.mkdir()
        content.chmod(0o755)
        namespaces.mount(content, root, flags=namespaces.MS_BIND)
        try:
            namespaces.propagation(root, namespaces.MS_PRIVATE)  # what hooks mount there is not in ``content``
            namespaces.propagation(root, namespaces.MS_SHARED)
            sources = {path: self.caches.source(path) for path in self.caches.early}
            host_mounts.put_in_place(GuestTree(root), sources, self._events)
            yield root, Pushed(content)
        finally:
            namespaces.umount(root, namespaces.MNT_DETACH)
            shutil.rmtree(content)

    @contextlib.contextmanager
    def _overlaid(self) -> Iterator[tuple[Path, Pushed]]:
        """A writable directory above the guest's tree."""
        root, lower, upper, work = (self._directory / name for name in (TREE_NAME, GUEST, UPPER, WORK))
        for directory in (root, lower, upper, work):
            directory.mkdir(exist_ok=directory == root)
        try:
            with self._fuse(lower):
                _copy_attributes(lower, upper)
                _mount_overlay(root, lower, upper, work)
                try:
                    yield root, Pushed(upper, lower)
                finally:
                    _unmount_below(root)
                    namespaces.umount(root, namespaces.MNT_DETACH)
        finally:
            lower.rmdir()
            for directory in (upper, work):
                shutil.rmtree(directory)

    @contextlib.contextmanager
    def _fuse(self, mountpoint: Path) -> Iterator[None]:
        """The guest's root, read-only at ``mountpoint``, served by a forked process."""
        with self._appliance.lent("the guest's tree is open on this machine") as handle:
            server = os.fork()
            if server == 0:
                _serve(handle, mountpoint)
            try:
                _wait_until_mounted(mountpoint, server)
                yield
            finally:
                _end_server(mountpoint, server)


def _serve(handle: Any, mountpoint: Path) -> NoReturn:
    """Be the process that serves the FUSE mount until it is unmounted; nothing of the parent's is cleaned up here."""
    code = 1
    try:
        namespaces.die_with_parent()
        handle.mount_local(str(mountpoint), readonly=True, cachetimeout=_CACHE_SECONDS)
        handle.mount_local_run()
        code = 0
    except (RuntimeError, OSError) as error:
        os.write(2, f"libguestfs: {error}\n".encode())
    finally:
        os._exit(code)


def _wait_until_mounted(mountpoint: Path, server: int) -> None:
    deadline = time.monotonic() + _MOUNTED_WITHIN
    while mountpoint not in mount_table.points():
        ended, _ = os.waitpid(server, os.WNOHANG)
        if ended or time.monotonic() > deadline:
            raise TargetError(
                "the guest's tree could not be mounted on this machine by FUSE",
                hint="root, or a user namespace, and /dev/fuse are needed",
            )
        time.sleep(0.02)


def _end_server(mountpoint: Path, server: int) -> None:
    """Unmount, upon which the server ends by itself.

    Another mount namespace may have a copy of the mount and keep it; then nobody asks the server any more, and it can
    be killed without spoiling the handle, as it would be in the middle of a request.
    """
    if mountpoint in mount_table.points():
        namespaces.umount(mountpoint, namespaces.MNT_DETACH)
    deadline = time.monotonic() + _ENDED_WITHIN
    with contextlib.suppress(ChildProcessError):  # it has ended before
        while not os.waitpid(server, os.WNOHANG)[0]:
            if time.monotonic() > deadline:
                os.kill(server, signal.SIGKILL)
                os.waitpid(server, 0)
                return
            time.sleep(0.01)


def _mount_overlay(root: Path, lower: Path, upper: Path, work: Path) -> None:
    try:
        overlay.mount(root, lower, upper, work, namespaces.MS_NOSUID | namespaces.MS_NODEV)
        namespaces.propagation(root, namespaces.MS_SHARED)
    except OSError as error:
        raise TargetError(
            f"overlayfs can't be used in {root.parent}: {error.strerror}",
            hint="set TMPDIR to a directory on a filesystem such as ext4, xfs or tmpfs",
        ) from error


def _copy_attributes(source: Path, destination: Path) -> None:
    """The root's own owner, mode and time are those of the overlay's upper directory."""
    status = source.stat()
    os.chown(destination, status.st_uid, status.st_gid)
    destination.chmod(stat.S_IMODE(status.st_mode))
    os.utime(destination, ns=(status.st_atime_ns, status.st_mtime_ns))


def _mounted_below(root: Path) -> list[Path]:
    """Mount points below ``root``, the deepest first."""
    return sorted({point for point in mount_table.points() if root in point.parents}, reverse=True)


def _unmount_below(root: Path) -> None:
    while points := _mounted_below(root):
        namespaces.umount(points[0], namespaces.MNT_DETACH)
