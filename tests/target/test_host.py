"""The host target: what every target promises, and what only this one does."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from dib_py import namespaces
from dib_py.disk import Disk
from dib_py.disk.storage_daemon import StorageDaemon, spawn
from dib_py.events import Events
from dib_py.settings import Settings
from dib_py.target.host import HostTarget
from tests.target.contract import (
    DISK_SIZE,
    DiskContract,
    FilesContract,
    RunContract,
    TreeContract,
    hooks,
    minimal_debian,
    small_layout,
)

pytestmark = [pytest.mark.root, pytest.mark.timeout(300)]
__all__ = ["hooks"]


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
        namespaces.enter(before, namespaces.CLONE_NEWNS)
        os.close(before)
        os.chdir(cwd)


@contextmanager
def host_target(directory: Path, **options: object) -> Iterator[tuple[Disk, HostTarget]]:
    """An open host target on a new disk, with a storage daemon outside of its mount namespace."""
    with serving(directory) as daemon, Disk.create(daemon, directory, **options) as disk:  # type: ignore[arg-type]
        disk.fuse()
        with nested_namespace(), HostTarget(disk, directory, Settings(), Events()) as target:
            yield disk, target


@contextmanager
def serving(directory: Path) -> Iterator[StorageDaemon]:
    process = spawn(directory)
    try:
        with StorageDaemon.connect(directory) as daemon:
            yield daemon
    finally:
        process.terminate()
        process.wait(10)


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HostTarget]:
    archive = minimal_debian()
    with host_target(tmp_path_factory.mktemp("host"), size=DISK_SIZE) as (_, opened):
        layout = small_layout()
        opened.create(layout)
        opened.mount(opened.layout_mounts(layout))
        opened.tar_in(archive, "/")
        yield opened


class TestRun(RunContract):
    def test_much_output(self, target: HostTarget) -> None:
        counted = 0

        def count(chunk: bytes) -> None:
            nonlocal counted
            counted += len(chunk)

        code = target.run(["head", "-c", "100000000", "/dev/zero"], env={"PATH": "/usr/bin"}, output=count)
        assert (code, counted) == (0, 100_000_000)


class TestFiles(FilesContract):
    pass


class TestTree(TreeContract):
    pass


class TestDisk(DiskContract):
    pass
