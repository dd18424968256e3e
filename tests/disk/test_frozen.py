"""A frozen overlay is whole at once and never changes again, although the daemon has it open and writes go on."""

from __future__ import annotations

import hashlib
import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from dib_py.disk import Disk
from dib_py.disk.chain import Chain

MIB = 1024**2
SIZE = 256 * MIB
LAYERS = 6


def digest(path: Path) -> str:
    return hashlib.blake2b(path.read_bytes()).hexdigest()


def run(*argv: object) -> str:
    done = subprocess.run([str(one) for one in argv], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


class Writer:
    """Writes all over the disk until its end; what it wrote before a moment can be waited for."""

    def __init__(self) -> None:
        self._rounds = 0
        self._moved = threading.Condition()
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._work)

    def write(self, offset: int, pattern: int, length: int) -> None:
        raise NotImplementedError

    def discard(self, offset: int, length: int) -> None:
        raise NotImplementedError

    def await_rounds(self, more: int) -> None:
        """Return when so many more writes are done."""
        with self._moved:
            wanted = self._rounds + more
            assert self._moved.wait_for(lambda: self._rounds >= wanted or not self._thread.is_alive(), timeout=120)
            assert self._thread.is_alive()

    @contextmanager
    def at_work(self) -> Iterator[None]:
        self._thread.start()
        try:
            yield
        finally:
            self._end.set()
            self._thread.join(30)

    def _work(self) -> None:
        while not self._end.is_set():
            number = self._rounds
            offset = 32 * MIB + number * 7 * 65536 * 3 % (128 * MIB)
            if number % 5 == 4:
                self.discard(offset, 256 * 1024)
            else:
                self.write(offset, number % 255 + 1, 192 * 1024)
            with self._moved:
                self._rounds += 1
                self._moved.notify_all()


class NbdWriter(Writer):
    def __init__(self, disk: Disk) -> None:
        super().__init__()
        argv = ["qemu-io", "-f", "raw", "-d", "unmap", f"nbd+unix:///?socket={disk.nbd()}"]
        self._process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def _say(self, command: str) -> None:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(f"{command}\n")
        self._process.stdin.flush()
        said = self._process.stdout.readline()
        assert "bytes at offset" in said, said
        self._process.stdout.readline()

    def write(self, offset: int, pattern: int, length: int) -> None:
        self._say(f"write -P {pattern} {offset} {length}")

    def discard(self, offset: int, length: int) -> None:
        self._say(f"discard {offset} {length}")

    @contextmanager
    def at_work(self) -> Iterator[None]:
        with super().at_work():
            yield
        self._process.communicate(timeout=60)


class FuseWriter(Writer):
    def __init__(self, disk: Disk) -> None:
        super().__init__()
        self._file = disk.fuse()
        self._fd = os.open(self._file, os.O_RDWR)

    def write(self, offset: int, pattern: int, length: int) -> None:
        os.pwrite(self._fd, bytes([pattern]) * length, offset)

    def discard(self, offset: int, length: int) -> None:
        run("fallocate", "-p", "-o", offset, "-l", length, self._file)

    @contextmanager
    def at_work(self) -> Iterator[None]:
        with super().at_work():
            yield
        os.close(self._fd)


@pytest.mark.parametrize("kind", [NbdWriter, pytest.param(FuseWriter, marks=pytest.mark.root)])
@pytest.mark.parametrize("killed", [False, True])
def test_a_frozen_overlay_is_whole_and_stays_as_it_is(daemon: Any, kind: Any, killed: bool) -> None:
    """Until the daemon's end and behind it, however it ends; ``killed``: nothing is ever closed in it."""
    disk = Disk.create(daemon.client, daemon.directory, size=SIZE)
    writer = kind(disk)
    digests: dict[Path, str] = {}
    for number in range(LAYERS):
        writer.write(number * MIB, number + 1, MIB)
    with writer.at_work():
        for number in range(LAYERS):
            writer.await_rounds(20)
            frozen = disk.top
            disk.snapshot(daemon.directory / f"{number}.qcow2")
            digests[frozen] = digest(frozen)
            assert "No errors were found" in run("qemu-img", "check", "-f", "qcow2", frozen)
            chain = Chain(disk.image().files[1:])
            assert chain.top == frozen
            reads = [arg for n in range(LAYERS) for arg in ("-c", f"read -P {n + 1} {n}M 1M")]
            assert "Pattern verification failed" not in run("qemu-io", "-r", *reads, chain.name)
            writer.await_rounds(20)
            assert {path: digest(path) for path in digests} == digests
    if killed:
        daemon.process.kill()
        daemon.process.wait()
    else:
        disk.close()
    assert {path: digest(path) for path in digests} == digests
    if not killed:
        daemon.end()
        assert {path: digest(path) for path in digests} == digests


def test_a_frozen_overlay_holds_what_was_written_before_and_nothing_from_behind(daemon: Any) -> None:
    """The guest's data of the moment, unflushed, as another qemu sees it while writes go on above it."""
    with Disk.create(daemon.client, daemon.directory, size=SIZE) as disk:
        uri = f"nbd+unix:///?socket={disk.nbd()}"
        for number in range(1, 4):
            run(
                "qemu-io",
                "-f",
                "raw",
                "-c",
                f"write -P {number} 0 8M",
                "-c",
                f"write -P {number} {number * 16}M 1M",
                uri,
            )
            disk.snapshot(daemon.directory / f"{number}.qcow2")
        files = disk.image().files
        for number in (3, 2, 1):
            chain = Chain(files[4 - number :])
            reads = [
                f"read -P {number} 0 8M",
                f"read -P {number} {number * 16}M 1M",
                f"read -P 0 {number * 16 + 16}M 1M",
            ]
            argv = [arg for read in reads for arg in ("-c", read)]
            assert "Pattern verification failed" not in run("qemu-io", "-r", *argv, chain.name)


def test_nobody_can_write_a_frozen_overlay(daemon: Any) -> None:
    with Disk.create(daemon.client, daemon.directory, size=SIZE) as disk:
        frozen = disk.top
        disk.snapshot(daemon.directory / "next.qcow2")
        argv = ["qemu-io", "-f", "qcow2", "-c", "write 0 64k", str(frozen)]
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        assert 'Failed to get "write" lock' in done.stderr
