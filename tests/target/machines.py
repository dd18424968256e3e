"""Targets opened for tests, each on a disk and a storage daemon of its own."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dib_py import namespaces
from dib_py.disk import Disk
from dib_py.disk.storage_daemon import serving
from dib_py.events import Events
from dib_py.settings import Settings
from dib_py.target.guestfs import GuestfsTarget
from dib_py.target.host import HostTarget

ROOT_ON_LVM = """\
- local_loop: {name: image0}
- partitioning: {base: image0, label: gpt, partitions: [{name: pv, size: 1GiB}]}
- lvm:
    name: lvm
    pvs: [{name: pv0, base: pv}]
    vgs: [{name: vg, base: [pv0]}]
    lvs: [{name: root, base: vg, extents: 100%VG}]
- mkfs: {name: mkfs_root, base: root, mount: {mount_point: /}}
"""


@contextmanager
def nested_namespace() -> Iterator[None]:
    """As a worker is: mounts made inside are seen by later hooks and by nobody outside."""
    before, cwd = os.open("/proc/self/ns/mnt", os.O_RDONLY), Path.cwd()
    namespaces.unshare(namespaces.CLONE_NEWNS)
    try:
        namespaces.propagation("/", namespaces.MS_SLAVE | namespaces.MS_REC)
        namespaces.propagation("/", namespaces.MS_SHARED | namespaces.MS_REC)
        namespaces.propagation("/proc", namespaces.MS_PRIVATE)
        yield
    finally:
        assert ctypes.CDLL(None).setns(before, namespaces.CLONE_NEWNS) == 0
        os.close(before)
        os.chdir(cwd)


@contextmanager
def host_target(directory: Path, **options: object) -> Iterator[tuple[Disk, HostTarget]]:
    """An open host target on a new disk, with a storage daemon outside of its mount namespace."""
    with running_disk(directory, **options) as disk:
        disk.fuse()
        with nested_namespace(), HostTarget(disk, directory, Settings(), Events()) as target:
            yield disk, target


@contextmanager
def guestfs_target(directory: Path, memory: int = 1024, **options: object) -> Iterator[tuple[Disk, GuestfsTarget]]:
    """An open guestfs target on a new disk."""
    with running_disk(directory, **options) as disk, _guestfs(disk, directory, memory) as target:
        yield disk, target


def _guestfs(disk: Disk, directory: Path, memory: int) -> GuestfsTarget:
    return GuestfsTarget(disk, directory, Settings(memory=memory), Events())


@contextmanager
def running_disk(directory: Path, **options: object) -> Iterator[Disk]:
    """A disk as :meth:`Disk.create` makes it, with a storage daemon of its own."""
    with serving(directory) as daemon, Disk.create(daemon, directory, **options) as disk:
        yield disk
