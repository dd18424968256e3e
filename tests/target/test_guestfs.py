"""The guestfs target keeps the contract of all targets, and its own promises; one appliance serves all tests here."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from dib_py.disk import Disk
from dib_py.disk.storage_daemon import StorageDaemon, spawn
from dib_py.events import Event, Events
from dib_py.settings import Settings
from dib_py.target.guestfs import GuestfsTarget

sys.path.insert(0, str(Path(__file__).parent))
import contract

pytestmark = [pytest.mark.appliance, pytest.mark.root]

hooks = contract.hooks


@pytest.fixture(scope="module")
def events() -> list[Event]:
    return []


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Disk]:
    directory = tmp_path_factory.mktemp("disk")
    process = spawn(directory)
    try:
        with (
            StorageDaemon.connect(directory) as daemon,
            Disk.create(daemon, directory, size=contract.DISK_SIZE, capacity=64 * 1024**3) as disk,
        ):
            yield disk
    finally:
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def target(disk: Disk, tmp_path_factory: pytest.TempPathFactory, events: list[Event]) -> Iterator[GuestfsTarget]:
    directory = tmp_path_factory.mktemp("build")
    layout = contract.small_layout()
    with GuestfsTarget(disk, directory, Settings(memory=1536), Events(events.append)) as target:
        target.create(layout)
        target.mount([mount for mount in target.layout_mounts(layout) if mount.path == "/"])
        target.tar_in(contract.minimal_debian(), "/")
        yield target
        target.unmount()


class TestRun(contract.RunContract):
    pass


class TestFiles(contract.FilesContract):
    pass


class TestTree(contract.TreeContract):
    pass


class TestDisk(contract.DiskContract):
    pass
