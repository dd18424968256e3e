"""The host target: the guest's filesystems are mounted on this machine, and its hooks run in a chroot at full speed.

For images that are trusted: what runs in a chroot as root is not confined. Needs root, loop devices and FUSE, and runs
in the build's nested mount namespace, so that nothing it mounts outlives the build.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from functools import partial
from pathlib import Path

from dib_py import build_directory, mount_table, namespaces, process
from dib_py.build_directory import TREE_NAME
from dib_py.disk import Disk, compatible, moving
from dib_py.disk.layout import Layout
from dib_py.disk.size import Usage, explain_no_room
from dib_py.errors import DiskError, TargetError
from dib_py.events import Events
from dib_py.layers.record import BindMount
from dib_py.settings import Settings
from dib_py.state import build_root
from dib_py.target import (
    CacheTree,
    Inspection,
    LeftMounts,
    Mount,
    Output,
    host_growth,
    host_inspect,
    host_layouts,
    host_mounts,
    host_moving,
    host_run,
    left_mounts,
)
from dib_py.target.guest_tree import GuestTree
from dib_py.target.host_devices import DISK_NAME, Devices, partition_device
from dib_py.target.mkfs import mkfs_argv

_FITRIM = 0xC0185879
_DISCARDING = ("ext4", "xfs", "btrfs")  # they give freed blocks back as they go, so that a build takes less room
_FALLBACK_RESOLVER = b"nameserver 8.8.8.8\n"
_GUEST_TARGET = "use the guestfs target: --target guestfs"


class HostTarget(GuestTree):
    """See the module, and :class:`dib_py.target.Target` for what each method promises."""

    name = "host"

    def __init__(self, disk: Disk, directory: Path, settings: Settings, events: Events) -> None:
        super().__init__(directory / TREE_NAME)
        self._disk = disk
        self._directory = directory
        self._room = build_root(settings)  # by the name that the user knows; ``directory`` is private
        self._mounts: list[Mount] = []
        self._caches = CacheTree(Path(), ())
        self._cached: Sequence[str] = ()  # caches that are in place now, and where
        self._cache_points: list[Path] = []
        self._events = events
        self._proc: Path | None = None
        self._running = 0  # scripts at work in the tree
        self._changing = threading.RLock()  # held while devices or mounts change: a watcher may want to grow them

    def attach(self, caches: CacheTree) -> None:
        self._caches = caches

    def __enter__(self) -> HostTarget:
        self.root.mkdir(mode=0o755, exist_ok=True)
        self._devices = Devices(self._disk)
        return self

    def __exit__(self, *exc: object) -> None:
        try:
            self.unmount()
        except TargetError:
            with suppress(TargetError):
                host_mounts.unmount_below(self.root, lazily=True)
            if exc[0] is None:
                raise
        finally:
            with suppress(DiskError):  # a partition node that stays is swept by the next run
                self._devices.close()

    # -- the disk
    def create(self, layout: Layout) -> None:
        if why := host_layouts.why_not(layout):
            raise DiskError(f"the host target can't make this layout: {why}", hint=_GUEST_TARGET, where=layout.source)
        if layout.table is not None:
            self._devices.partition(layout)
        for filesystem in layout.filesystems:
            node = self._devices.path(_device_name(layout, filesystem.base))
            process.run(mkfs_argv(filesystem, str(node)), timeout=600)

    def inspect(self, cache: Path | None = None) -> Inspection:
        return host_inspect.inspect(self._devices, self._directory / build_directory.INSPECTED)

    def move_in(self, layout: Layout, cache: Path | None = None) -> Inspection:
        source = self._disk.source
        assert source is not None
        scratch = self._directory / build_directory.INSPECTED
        with closing(Devices(source)) as devices:
            found = host_inspect.inspect(devices, scratch)
            self.create(compatible.for_guest(layout, found.distro, found.version))
            mounts = {mount.path: mount for mount in self.layout_mounts(layout)}
            with host_moving.mounted(devices, found.mounts, scratch) as tree:
                for share in moving.shares(layout, [mount.path for mount in found.mounts]):
                    self.mount([mounts[share.path]])
                    host_moving.copy(share, tree, self, layout)
        self._disk.close_source()
        return found

    def layout_mounts(self, layout: Layout) -> list[Mount]:
        return [
            Mount(_device_name(layout, fs.base), fs.mount_point or "", fs.type)
            for fs in layout.mounted
            if (fs.mount_point or "").startswith("/")
        ]

    def mount(self, mounts: Sequence[Mount]) -> None:
        with self._changing:
            for mount in mounts:
                self._mount(mount)
                self._mounts.append(mount)

    def _mount(self, mount: Mount) -> None:
        node = self._devices.path(mount.device)
        if mount.path != "/":
            self.make_directory(mount.path)
        point = self.root if mount.path == "/" else self.resolved(mount.path)
        discard = "discard" if mount.fstype in _DISCARDING else ""
        host_mounts.mount_device(node, mount.fstype, point, (mount.options, discard))
        if mount.fstype == "ext4":
            _fill_from_the_front(node)

    def own_mount_points(self) -> set[Path]:
        return {self.root if mount.path == "/" else self.resolved(mount.path) for mount in self._mounts}

    def usage(self) -> Usage:
        try:
            found = os.statvfs(self.root)
        except OSError as error:
            raise TargetError(f"the root filesystem can't be asked: {error.strerror}") from error
        return Usage(*(blocks * found.f_frsize for blocks in (found.f_blocks, found.f_bfree, found.f_bavail)))

    def grow(self) -> None:
        with self._changing:
            device = self._devices.grow()
            mounted = next((mount for mount in self._mounts if mount.device == device), None)
            point = None if mounted is None else self.resolved(mounted.path)
            try:
                host_growth.grow(self._devices.path(device), point)
            except host_growth.OnlineGrowthRefused:
                self._grow_unmounted(device)

    @property
    def grows_while_mounted(self) -> bool:
        """Whether :meth:`grow` works at any moment; else it does only while nothing of the tree is in use."""
        return all(host_growth.may_grow_mounted(mount.fstype) for mount in self._mounts)

    def _grow_unmounted(self, device: str) -> None:
        """ext4 grows while mounted only with CAP_SYS_RESOURCE; without it, between two steps."""
        if self._proc is not None or self._running:
            raise DiskError(
                "the kernel does not let this process enlarge a mounted ext4 filesystem (CAP_SYS_RESOURCE is missing)",
                hint="give the image's size with --image-size",
            )
        with self._remounted():
            host_growth.grow(self._devices.path(device), None)

    def shrink(self, size: int) -> None:
        """Cut the last filesystem and the partition table to ``size`` bytes; the disk is resized to that afterwards.

        Remounts, so nothing may run. DiskError where the filesystem can't shrink, or has too much in it.
        """
        with self._changing, self._remounted():
            host_growth.shrink(self._devices.path(self._devices.last), self._devices.room(size))
            self._devices.shrink(size)

    @contextmanager
    def _remounted(self) -> Iterator[None]:
        """While open nothing of the image is mounted; afterwards the same as before."""
        self.sync()  # an unmount does not tell of what could not be written
        self._unmount_all()
        yield
        for mount in self._mounts:
            self._mount(mount)
        self._mount_caches()

    def expose_devices(self, layout: Layout | None) -> Mapping[str, str]:
        if self._proc is not None:
            raise TargetError("devices can't be exposed while the guest's mounts are there")
        self._caches = CacheTree(Path(), ())
        with self._changing, self._remounted():
            self._devices.expose()
        names = {DISK_NAME: DISK_NAME} if layout is None else {layout.name: DISK_NAME}
        for entry in self._devices.table:
            names[self._partition_name(entry.number, layout)] = entry.device
        return {name: str(self._devices.path(device)) for name, device in names.items() if self._is_usable(device)}

    def _is_usable(self, device: str) -> bool:
        return device == DISK_NAME or device in self._devices.candidates()

    def _partition_name(self, number: int, layout: Layout | None) -> str:
        partitions = layout.table.partitions if layout is not None and layout.table is not None else ()
        return next((one.name for one in partitions if one.number == number), str(number))

    def trim(self) -> None:
        for point in self.own_mount_points():
            file = os.open(point, os.O_RDONLY | os.O_CLOEXEC)
            try:
                fcntl.ioctl(file, _FITRIM, struct.pack("QQQ", 0, 2**64 - 1, 0))
            except OSError as error:
                if error.errno not in (errno.EOPNOTSUPP, errno.ENOTTY):
                    raise DiskError(f"blocks can't be given back: {error.strerror}", where=str(point)) from error
            finally:
                os.close(file)

    def unmount(self) -> None:
        with self._changing:
            self.sync()
            self._unmount_all()
            self._mounts.clear()
            self._devices.let_go()

    def _unmount_all(self) -> None:
        host_mounts.end_processes(self.root)
        own = self.own_mount_points()
        for point in reversed(mount_table.points()):
            if point not in own and self.root in point.parents:
                host_mounts.unmount_below(point, lazily=True)
        host_mounts.unmount_below(self.root)

    def left_mounts(self) -> LeftMounts:
        engine = [self.resolved(path) for path in host_mounts.POINTS] if self._proc is not None else []
        engine += self._cache_points
        return left_mounts.find(self.root, filesystems=self.own_mount_points(), engine=engine)

    def mount_again(self, mounts: Sequence[BindMount]) -> None:
        left_mounts.mount_again(self, mounts)

    def sync(self) -> None:
        work: list[Callable[[], None]] = [partial(namespaces.syncfs, point) for point in self.own_mount_points()]
        failures = [error for error in map(_failure, work + self._devices.write_back()) if error is not None]
        if failures:  # each tells of it once, so all were asked
            why = explain_no_room(self._room) or str(failures[0])
            raise TargetError(f"the image could not be written: {why}") from failures[0]

    # -- the guest
    @contextmanager
    def guest_mounts(self, hooks: Path) -> Iterator[None]:
        with host_mounts.guest_mounts(self, hooks, self._devices.nodes()) as self._proc:
            try:
                with self._in_place(self._caches.paths):
                    yield
            finally:
                self._proc = None

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
        with self._in_use():
            return host_run.run(
                argv, env=env, output=output, root=self.root, proc=self._proc, cwd=cwd, timeout=timeout, input=input
            )

    @contextmanager
    def tree(self) -> Iterator[Path]:
        with self._in_place(self._caches.early if self._caches.alone_in(self.listdir) else ()):
            yield self.root

    @contextmanager
    def _in_place(self, caches: Sequence[str]) -> Iterator[None]:
        """While open, these caches are in place of the guest's directories."""
        with self._changing:
            self._cached = caches
            self._mount_caches()
        try:
            yield
        finally:
            with self._changing:
                self._cached = ()
                for point in self._cache_points:
                    host_mounts.unmount_below(point, lazily=True)

    def _mount_caches(self) -> None:
        sources = {path: self._caches.source(path) for path in self._cached}
        self._cache_points = host_mounts.put_in_place(self, sources, self._events)

    def run_host(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str],
        output: Output,
        timeout: float | None = None,
        cwd: Path | None = None,
    ) -> int:
        with self._in_use():
            return host_run.host_side(argv, env=env, output=output, cwd=cwd, timeout=timeout)

    def shell(self, argv: Sequence[str], *, env: Mapping[str, str], terminal: int, in_guest: bool) -> int:
        """Run a shell for the user on ``terminal``, in the guest or on the host side; returns its exit code."""
        root, proc = (self.root, self._proc) if in_guest else (None, Path("/proc"))
        with self._in_use():
            return host_run.interactive(argv, env=env, terminal=terminal, root=root, proc=proc)

    @contextmanager
    def _in_use(self) -> Iterator[None]:
        """While open the tree is not unmounted behind the back of what runs in it."""
        with self._changing:
            self._running += 1
        try:
            yield
        finally:
            self._running -= 1

    def resolver(self) -> bytes:
        try:
            return Path("/etc/resolv.conf").read_bytes() or _FALLBACK_RESOLVER
        except OSError:
            return _FALLBACK_RESOLVER


def _failure(work: Callable[[], None]) -> OSError | None:
    try:
        work()
    except OSError as error:
        return error
    return None


def _fill_from_the_front(node: Path) -> None:
    """Have ext4 put large files, too, where room is, not each behind the last: later, less has to move for a smaller
    disk. Without the right to say so the image is the same, and only takes longer."""
    with suppress(OSError):
        (Path("/sys/fs/ext4") / node.name / "mb_stream_req").write_text(f"{2**30}\n")  # blocks


def _device_name(layout: Layout, base: str) -> str:
    if base == layout.name:
        return DISK_NAME
    for partition in layout.table.partitions if layout.table is not None else ():
        if partition.name == base:
            return partition_device(partition.number)
    raise DiskError(f"the layout has nothing called {base}", where=layout.source)
