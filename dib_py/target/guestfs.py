"""The guestfs target: the image's filesystems are mounted in the libguestfs appliance, and its programs run there.

Nothing of the image runs on this machine, except through host-side hooks, so it is the target for images that nobody
vouched for. One appliance is launched for a build.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from dib_py import build_directory
from dib_py.disk import compatible
from dib_py.disk.size import Usage, explain_no_room
from dib_py.errors import DibError, TargetError
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
    guestfs_caches,
    guestfs_mounts,
    guestfs_moving,
    guestfs_terminal,
    host_run,
    packing,
)
from dib_py.target import guestfs_inspect as inspection
from dib_py.target import guestfs_layout as layouts
from dib_py.target.guest_tree import GuestTree
from dib_py.target.guestfs_appliance import SOURCE_LABEL, Appliance, Machine, load_bindings
from dib_py.target.guestfs_files import GuestFiles
from dib_py.target.guestfs_runner import ENVIRONMENT, Program
from dib_py.target.guestfs_tree import HostTree
from dib_py.target.host_devices import DISK_NAME
from dib_py.target.probe import kvm_works

if TYPE_CHECKING:
    from dib_py.disk import Disk
    from dib_py.disk.layout import Layout

SYSROOT = "/sysroot"  # where libguestfs mounts the guest in the appliance
HOST_IN_APPLIANCE = "169.254.2.2"  # where the appliance reaches this machine's loopback

_PROXY = re.compile(r"(?i)(?:https?|ftp|all)_proxy")
_LOOPBACK = re.compile(r"(?<=//)((?:[^/@]*@)?)(?:localhost|127\.\d+\.\d+\.\d+|\[::1\])(?=[:/]|$)")

_TRIMMED = ("ext", "xfs", "btrfs", "f2fs", "ntfs")

_PACKING_ERRORS = "/tmp/packing"
_END_PROCESSES = "fuser -k -M -m /sysroot >/dev/null 2>&1 || :"
# The first is for what a bootloader writes beside the filesystems; only the other one tells of errors, on its output.
_WRITE_BACK = 'sync; [ $# = 0 ] || sync --file-system "$@" || :'


class GuestfsTarget:
    """See :class:`dib_py.target.Target`."""

    name = "guestfs"
    has_network = True  # for programs of the guest
    grows_while_mounted = True

    def __init__(self, disk: Disk, directory: Path, settings: Settings, events: Events) -> None:
        load_bindings()
        self._disk = disk
        self._events = events
        verdict = kvm_works(settings.environ)
        machine = Machine(settings.memory, settings.vcpus, verdict.works, network=self.has_network)
        self._appliance = Appliance(disk.nbd(), directory, machine, disk.sector_size)
        if disk.source is not None:
            disk.source.nbd()
            self._appliance.source = disk.source.nbd_name
        self._files = GuestFiles(self._appliance)
        self._host_tree = HostTree(self._appliance, self._files, directory, events)
        self._directory = directory
        self._cache_disk: guestfs_caches.CacheDisk | None = None
        self._cached: tuple[str, ...] = ()  # the guest's directories that have a cache in their place
        self._room = build_root(settings)  # by the name that the user knows; ``directory`` is private
        self._shared_proc = False
        self._mounts: list[Mount] = []  # of the image's own filesystems, by paths without symbolic links

    def attach(self, caches: CacheTree) -> None:
        self._host_tree.caches = caches
        if not caches.paths:
            return
        try:
            self._cache_disk = guestfs_caches.CacheDisk(caches, self._directory / build_directory.CACHES)
        except (DibError, OSError) as error:
            self._events.warning(f"the guest has no package cache: {error}")
            return
        self._cached = caches.paths
        self._appliance.scratch_disks[guestfs_caches.LABEL] = self._cache_disk.image

    def __enter__(self) -> GuestfsTarget:
        try:
            self._appliance.launch()
        except BaseException:
            self._appliance.close()
            raise
        return self

    def __exit__(self, *exc: object) -> None:
        try:
            if exc[0] is None:
                self._appliance.shutdown()
            else:
                self._appliance.close()
        finally:
            self._take_back_caches()

    def _take_back_caches(self) -> None:
        if self._cache_disk is not None:
            try:
                self._cache_disk.take_back()
            except (DibError, OSError) as error:
                self._events.warning(f"downloads could not be kept: {error}")

    # -- the disk
    def create(self, layout: Layout) -> None:
        layouts.create(self._appliance.engine_runner, layout, self._appliance.disk, self._disk.size)

    def inspect(self, cache: Path | None = None) -> Inspection:
        known = inspection.remembered(cache) if cache else None
        if known is None:
            known = inspection.inspect(self._appliance)
            if cache:
                inspection.remember(cache, known)
        return known

    def move_in(self, layout: Layout, cache: Path | None = None) -> Inspection:
        found = self.inspect(cache)
        runner = self._appliance.engine_runner
        mounts = guestfs_moving.free_names(runner, layout, found.mounts)
        self.create(compatible.for_guest(layout, found.distro, found.version))
        guestfs_moving.copy(self._appliance, self._appliance.device(SOURCE_LABEL), layout, mounts)
        self.mount(self.layout_mounts(layout))
        return found

    def mount(self, mounts: Sequence[Mount]) -> None:
        for mount in mounts:
            if mount.path != "/":
                self._files.make_directory(mount.path)
            self._mount(mount)

    def _mount(self, mount: Mount) -> None:
        path = "/" if mount.path == "/" else self._files.resolve(mount.path)
        self._appliance.mount(mount.device, path, mount.options)
        self._mounts.append(replace(mount, path=path))

    @property
    def _points(self) -> list[str]:
        """Where the image's own filesystems are mounted in the appliance."""
        return [_point(mount) for mount in self._mounts]

    def layout_mounts(self, layout: Layout) -> list[Mount]:
        devices = layouts.Devices(layout, self._appliance.disk)
        return [
            Mount(devices.called(one.base), one.mount_point, one.type)
            for one in layout.mounted
            if one.mount_point and one.mount_point.startswith("/")  # swap is not
        ]

    def usage(self) -> Usage:
        printed = self._appliance.engine_runner.check('stat -f -c "%S %b %f %a" /sysroot', timeout=120)
        block, *counts = (int(word) for word in printed.split())
        return Usage(*(block * count for count in counts))

    def grow(self) -> None:
        layouts.grow(self._appliance.engine_runner, self._appliance.disk, self._disk.size)

    def shrink(self, size: int) -> None:
        if self._shared_proc:
            raise TargetError("a disk can't shrink while the guest's mounts are there")
        mounts = self._mounts
        self.unmount()
        layouts.shrink(self._appliance.engine_runner, self._appliance.disk, size)
        for mount in mounts:
            self._mount(mount)

    def expose_devices(self, layout: Layout | None) -> Mapping[str, str]:
        """They always are; what hooks mounted in the guest's tree goes now, as in diskimage-builder."""
        if self._shared_proc:
            raise TargetError("devices can't be exposed while the guest's mounts are there")
        self._cached = ()
        disk = self._appliance.disk
        runner = self._appliance.engine_runner
        nodes = guestfs_mounts.leave_only(runner, self._points, disk, new=layout is not None)
        if layout is not None:
            devices = layouts.Devices(layout, disk)
            return {name: devices.real(name) for name in devices.names()}
        return {DISK_NAME: disk, **{node[len(disk) :]: node for node in nodes}}

    def trim(self) -> None:
        points = [_point(mount) for mount in self._mounts if mount.fstype.startswith(_TRIMMED)]
        if points:
            self._appliance.engine_runner.check('for point; do fstrim "$point"; done', *points)

    def unmount(self) -> None:
        self._appliance.engine_runner.check(_END_PROCESSES)
        self._write_back()
        self._appliance.call(lambda g: g.umount_all())
        self._mounts = []

    # -- the guest
    @contextmanager
    def guest_mounts(self, hooks: Path) -> Iterator[None]:
        runner = self._appliance.engine_runner
        tmp = self._files.resolve("/tmp") if self._files.exists("/tmp") else "/tmp"
        try:
            guestfs_mounts.mount(runner, tmp, self._cached, hooks)
            self._shared_proc = True
            yield
        finally:
            self._shared_proc = False
            printed = guestfs_mounts.unmount(runner, tmp, self._cached)
            if self._cache_disk is not None:
                self._cache_disk.unmounted(printed)

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
        space = f"{SYSROOT}/proc" if self._shared_proc else "-"
        program = Program(argv, reachable(env), SYSROOT, cwd, space, input)
        return self._appliance.guest_runner.run(program, output, timeout)

    @contextmanager
    def tree(self) -> Iterator[Path]:
        with self._host_tree.opened() as root:
            yield root

    def run_host(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str],
        output: Output,
        timeout: float | None = None,
        cwd: Path | None = None,
    ) -> int:
        return self._host_tree.run(argv, env=env, output=output, timeout=timeout, cwd=cwd)

    def shell(self, argv: Sequence[str], *, env: Mapping[str, str], terminal: int, in_guest: bool) -> int:
        if not in_guest:
            return host_run.interactive(argv, env=env, terminal=terminal, proc=Path("/proc"))
        appliance = self._appliance
        proc = f"{SYSROOT}/proc" if self._shared_proc else ""
        console = appliance.console.fileno()
        return guestfs_terminal.shell(
            appliance.guest_runner, console, argv, env=reachable(env), terminal=terminal, root=SYSROOT, proc=proc
        )

    def left_mounts(self) -> LeftMounts:
        """None: what host-side hooks mount never gets into the appliance."""
        return LeftMounts()

    def mount_again(self, mounts: Sequence[BindMount]) -> None:
        """Nothing to do; see :meth:`left_mounts`."""

    def sync(self) -> None:
        self._host_tree.push()
        self._write_back()

    def _write_back(self) -> None:
        """TargetError where something did not reach the disk, whoever wrote it, since this was asked before."""
        printed = self._appliance.engine_runner.check(_WRITE_BACK, *self._points)
        if printed:
            why = explain_no_room(self._room) or printed.strip().splitlines()[0]
            raise TargetError(f"the image could not be written: {why}")

    # -- the engine's own work
    def resolver(self) -> bytes:
        return self._appliance.engine_runner.check('printf "%s\\n" "$(</etc/resolv.conf)"', timeout=120).encode()

    @property
    def _now(self) -> GuestFiles | GuestTree:
        """What reaches the guest's files now: while its tree is open on this machine, that is the only way."""
        return self._host_tree.files or self._files

    def read(self, path: str) -> bytes:
        return self._now.read(path)

    def write(self, path: str, data: bytes, mode: int = 0o644) -> None:
        self._now.write(path, data, mode)

    def exists(self, path: str) -> bool:
        return self._now.exists(path)

    def make_directory(self, path: str, mode: int = 0o755) -> None:
        self._now.make_directory(path, mode)

    def is_symlink(self, path: str) -> bool:
        return self._now.is_symlink(path)

    def stamp(self, path: str) -> str:
        return self._now.stamp(path)

    def remove(self, path: str) -> None:
        self._now.remove(path)

    def rename(self, old: str, new: str) -> None:
        self._now.rename(old, new)

    def listdir(self, path: str) -> list[str]:
        return self._now.listdir(path)

    def copy_in(self, source: Path, directory: str) -> None:
        self._now.copy_in(source, directory)

    def tar_in(self, archive: Path, directory: str) -> None:
        self._now.tar_in(archive, directory)

    def tar_out(self, directory: str, archive: Path, exclude: Sequence[str] = ()) -> None:
        self._now.tar_out(directory, archive, exclude)

    def pack(self, output: Output) -> None:
        if self._shared_proc or self._host_tree.files is not None:
            raise TargetError("the guest can't be packed while its mounts or its tree are open")
        argv = packing.argv(SYSROOT, (mount.path for mount in self._mounts))
        script = f'"$@" 2>{_PACKING_ERRORS}'  # a program's output and its errors come as one stream
        program = Program(["/bin/bash", "-c", script, "bash", *argv], ENVIRONMENT)
        code = self._appliance.guest_runner.run(program, output)
        if code != 0:
            said = self._appliance.engine_runner.check(f"cat {_PACKING_ERRORS}").strip().splitlines()
            raise TargetError(f"the guest's files can't be read: {said[0] if said else f'exit code {code}'}")


def _point(mount: Mount) -> str:
    return f"{SYSROOT}{mount.path}".rstrip("/")


def reachable(env: Mapping[str, str]) -> dict[str, str]:
    """``env`` with proxies on this machine's loopback named as the appliance reaches them."""
    return {
        name: _LOOPBACK.sub(rf"\g<1>{HOST_IN_APPLIANCE}", value) if _PROXY.fullmatch(name) else value
        for name, value in env.items()
    }
