"""A storage daemon for the tests that need a real one."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from dib_py.disk import FUSE_NAME
from dib_py.disk.storage_daemon import StorageDaemon, spawn


class Daemon:
    """The running process with a client that is connected to it."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir()
        self.directory = directory
        self.process = spawn(directory)
        self.client = StorageDaemon.connect(directory)

    def end(self) -> None:
        self.client.close()
        self.process.kill()
        self.process.wait()
        subprocess.run(["umount", "-l", self.directory / FUSE_NAME], stderr=subprocess.DEVNULL, check=False)


def _skip_without_daemon() -> None:
    for program in ("qemu-storage-daemon", "qemu-img", "qemu-io"):
        if shutil.which(program) is None:
            pytest.skip(f"needs {program}")


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    _skip_without_daemon()
    daemon = Daemon(tmp_path / "d")
    yield daemon
    daemon.end()


@pytest.fixture
def other_daemon(tmp_path: Path) -> Iterator[Daemon]:
    daemon = Daemon(tmp_path / "o")
    yield daemon
    daemon.end()
