"""Long chains become short ones: every layer that is left is the same disk, and nobody else's layer is touched."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from dib_py.disk import Disk
from dib_py.disk.chain import Chain, ImageFile
from dib_py.errors import DiskError
from dib_py.layers.merge import LEFT, LONGEST, merge_long
from dib_py.layers.record import BaseRecord
from dib_py.layers.store import Store
from tests.disk.conftest import Daemon
from tests.layers.samples import BASE, overlay, record
from tests.layers.test_kill import at_every_point

MIB = 2**20
SIZE = 32 * MIB
RECORDED = BaseRecord("base.raw", "raw", "digest")


@contextmanager
def running(directory: Path) -> Iterator[Daemon]:
    daemon = Daemon(directory)
    try:
        yield daemon
    finally:
        daemon.end()


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    if shutil.which("qemu-storage-daemon") is None:
        pytest.skip("needs qemu-storage-daemon")
    with running(tmp_path / "d") as daemon:
        yield daemon


@pytest.fixture
def base(tmp_path: Path) -> ImageFile:
    path = tmp_path / "base.raw"
    path.write_bytes(b"\xee" * SIZE)
    return ImageFile(path, "raw")


def write(disk: Disk, seed: int, size: int = MIB) -> None:
    """What a step of this number does to a disk: half of it over what others wrote."""
    chance = random.Random(seed)
    commands = [
        f"write -P {seed % 250 + 1} {seed % 32 * MIB // 2} {size}",
        f"write -P {seed % 250 + 1} {chance.randrange(16 * MIB, 31 * MIB, 4096)} 256k",
        f"write -z {chance.randrange(16 * MIB, 31 * MIB, 65536)} 256k",
    ]
    uri = f"nbd+unix:///?socket={disk.nbd()}"
    done = subprocess.run(
        ["qemu-io", "-f", "raw", uri], input="\n".join(commands), capture_output=True, text=True, check=True
    )
    assert "failed" not in done.stdout + done.stderr


def built(
    daemon: Daemon,
    store: Store,
    base: ImageFile | None,
    seconds: Sequence[float],
    *,
    on: Sequence[str] = (),
    size: int = MIB,
) -> list[str]:
    """The keys of a chain whose steps took so long, each with real content; ``on``: of the steps before them."""
    keys: list[str] = []
    below = store.chain(on[-1]) if on else ()
    assert below is not None
    origin: dict[str, Any] = {"base": base.path, "base_format": base.format} if base else {}
    with store.session() as session:
        session.use(on)
        backing_name = session.layer_name(on[-1]) if on else None
        with Disk.create(
            daemon.client,
            daemon.directory,
            **origin,
            layers=below,
            overlay=session.overlay(),
            backing_name=backing_name,
            size=SIZE,
        ) as disk:
            parent = on[-1] if on else BASE
            for number, took in enumerate(seconds):
                write(disk, len(on) * 7 + number, size)
                made = record(f"{number}-{len(seconds)}", parent, base=RECORDED if base else None, seconds=float(took))
                frozen = disk.top
                disk.snapshot(session.overlay(), backing_name=session.layer_name(made.key))
                assert session.commit(made, frozen)
                keys.append(parent := made.key)
    return keys


def content(store: Store, key: str, base: ImageFile | None) -> str:
    """A digest of the disk that a key stands for."""
    layers = store.chain(key)
    assert layers is not None
    chain = Chain.of(layers, base.path, base.format) if base else Chain.of(layers)
    with tempfile.NamedTemporaryFile() as out:
        subprocess.run(["qemu-img", "convert", "-O", "raw", chain.name, out.name], check=True)
        return hashlib.blake2b(Path(out.name).read_bytes()).hexdigest()


def merge(daemon: Daemon, store: Store, tip: str, base: ImageFile | None, longest: int, left: int) -> list[str]:
    with store.session() as session:
        return merge_long(store, session, tip, daemon.client, base, longest=longest, left=left)


def names(store: Store) -> set[str]:
    return {path.stem for path in (store.directory / "layers").iterdir()}


@pytest.mark.parametrize("has_base", [True, False])
def test_the_cheapest_become_part_of_the_next(daemon: Daemon, store: Store, base: ImageFile, has_base: bool) -> None:
    on = base if has_base else None
    keys = built(daemon, store, on, [9, 1, 2, 9, 8, 1, 9, 1])
    before = [content(store, key, on) for key in keys]
    assert len(set(before)) == len(keys)

    merged = merge(daemon, store, keys[-1], on, 7, 5)

    gone = {keys[1], keys[2], keys[5]}
    assert set(merged) == gone and names(store) == set(keys) - gone
    for key, was in zip(keys, before, strict=True):
        there = store.record(key)
        assert there is not None and there.digest == "" if key in gone else content(store, key, on) == was
    chain = store.chain(keys[-1])
    assert chain is not None and [path.stem for path in chain] == [keys[n] for n in (0, 3, 4, 6, 7)]
    # headers lead through it, as in every chain of the store
    assert "backing" not in Chain.of(chain, *((base.path, base.format) if on else ())).node()
    assert list(store.places.builds.iterdir()) == []
    assert merge(daemon, store, keys[-1], on, 7, 5) == []


def test_a_first_layer_can_be_merged_and_its_base_stays(daemon: Daemon, store: Store, base: ImageFile) -> None:
    before = base.path.read_bytes()
    keys = built(daemon, store, base, [1, 1, 1, 9])
    was = content(store, keys[-1], base)
    assert set(merge(daemon, store, keys[-1], base, 2, 1)) == set(keys[:3])
    chain = store.chain(keys[-1])
    assert chain is not None and len(chain) == 1 and content(store, keys[-1], base) == was
    assert base.path.read_bytes() == before


def test_a_build_goes_on_from_what_is_left(daemon: Daemon, store: Store, base: ImageFile) -> None:
    keys = built(daemon, store, base, [9, 1, 9])
    assert merge(daemon, store, keys[-1], base, 2, 2) == [keys[1]]
    for count in (1, 3):
        assert store.chain(built(daemon, store, base, [1, 2], on=keys[:count])[-1])


def test_a_chain_that_is_not_too_long_stays(daemon: Daemon, store: Store, base: ImageFile) -> None:
    keys = built(daemon, store, base, [1, 1, 1])
    assert merge(daemon, store, keys[-1], base, 3, 1) == []
    assert merge(daemon, store, "0" * 40, base, 3, 1) == []
    assert LEFT < LONGEST


def test_another_base_is_a_mistake(daemon: Daemon, store: Store, base: ImageFile) -> None:
    keys = built(daemon, store, base, [1, 1, 1])
    with pytest.raises(ValueError, match="base"):
        merge(daemon, store, keys[-1], None, 2, 1)


def test_what_another_chain_lies_on_stays(daemon: Daemon, store: Store, base: ImageFile) -> None:
    keys = built(daemon, store, base, [1, 1, 1, 1, 1])
    other = built(daemon, store, base, [1, 1], on=keys[:2])
    was = content(store, other[-1], base)
    assert set(merge(daemon, store, keys[-1], base, 2, 1)) == {keys[0], keys[2], keys[3]}
    assert content(store, other[-1], base) == was
    assert set(merge(daemon, store, other[-1], base, 2, 1)) == {other[0]}
    assert content(store, other[-1], base) == was


def test_what_another_build_uses_stays(daemon: Daemon, store: Store, base: ImageFile) -> None:
    keys = built(daemon, store, base, [1, 1, 1, 1, 1])
    with Store.open(store.directory).session() as other:
        other.use([keys[2]])
        assert set(merge(daemon, store, keys[-1], base, 2, 1)) == {keys[3]}
    assert set(merge(daemon, store, keys[-1], base, 2, 1)) == {*keys[:3]}


def test_what_a_failed_step_was_run_on_stays(daemon: Daemon, store: Store, base: ImageFile) -> None:
    keys = built(daemon, store, base, [1, 1, 1])
    with store.session() as session:
        session.keep_failed(overlay(session), {"parent": keys[1]})
    assert merge(daemon, store, keys[-1], base, 2, 1) == [keys[0]]


# -- bad luck


def all_is_right(store: Store, keys: list[str], base: ImageFile, before: dict[str, str]) -> None:
    assert store.chain(keys[-1])
    for key in keys:
        there = store.record(key)
        assert there is not None
        if there.digest and key in before:
            assert content(store, key, base) == before[key]


def merging(store: Store, tip: str, base: ImageFile) -> Callable[[], object]:
    """The work of a process of its own, with a daemon that dies with it."""

    def work() -> None:
        directory = store.directory.parent / f"daemon-{os.getpid()}"
        with running(directory) as daemon:
            assert merge(daemon, store, tip, base, 2, 2)

    return work


@pytest.mark.slow
def test_a_kill_before_each_change(daemon: Daemon, store: Store, base: ImageFile) -> None:
    keys = built(daemon, store, base, [1, 1, 9, 1, 9], size=4096)
    before = {key: content(store, key, base) for key in (keys[2], keys[4])}

    def check(later: Store, ended: bool) -> None:
        all_is_right(later, keys, base, before)
        chain = later.chain(keys[-1])
        assert chain is not None and (len(chain) == 2 or not ended)

    assert at_every_point(store.directory, lambda there: merging(there, keys[-1], base)(), check) > 20


@pytest.mark.slow
def test_a_kill_at_any_moment(daemon: Daemon, store: Store, base: ImageFile, tmp_path: Path) -> None:
    """With the daemon in the middle of writing, too."""
    keys = built(daemon, store, base, [1, 1, 9, 1, 9], size=16 * MIB)
    before = {key: content(store, key, base) for key in keys}
    chance, longest, cut = random.Random(1), 2.0, 0
    for _ in range(8):
        directory = tmp_path / "copy"
        shutil.copytree(store.directory, directory)
        wait = chance.uniform(0, longest)
        started = time.monotonic()
        child = os.fork()
        if child == 0:
            try:
                merging(Store.open(directory), keys[-1], base)()
            finally:
                os._exit(0)
        ended = 0
        while not ended and time.monotonic() - started < wait:
            ended, _ = os.waitpid(child, os.WNOHANG)
            time.sleep(0.005)
        if ended:
            longest = time.monotonic() - started
        else:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            cut += 1
        later = Store.open(directory)
        assert list(later.places.builds.iterdir()) == []
        all_is_right(later, keys, base, before)
        assert merge(daemon, later, keys[-1], base, 2, 2) or ended or len(later.chain(keys[-1]) or ()) == 2
        all_is_right(later, keys, base, before)
        shutil.rmtree(directory)
    assert cut


@pytest.mark.root
def test_a_full_disk(daemon: Daemon, base: ImageFile, tmp_path: Path) -> None:
    """At any point of the writing: an ext4 with less and less room."""
    image, point = tmp_path / "image", tmp_path / "mounted"
    point.mkdir()
    with image.open("wb") as file:
        file.truncate(48 * MIB)
    subprocess.run(["mkfs.ext4", "-q", "-m", "0", image], check=True)
    subprocess.run(["mount", "-o", "loop", image, point], check=True)
    try:
        store = Store.open(point / "layers")
        keys = built(daemon, store, base, [1, 1, 1, 9], size=2 * MIB)
        before = {key: content(store, key, base) for key in keys}
        refused = 0
        for leave in (0, 8192, 300_000, 2 * MIB, 3 * MIB):
            filler = point / "filler"
            free = os.statvfs(point).f_bavail * os.statvfs(point).f_frsize
            subprocess.run(["fallocate", "-l", str(max(free - leave, 1)), filler], check=True)
            try:
                merge(daemon, store, keys[-1], base, 2, 1)
            except DiskError as error:
                refused += 1
                assert "No space left" in str(error)
            filler.unlink()
            assert list(store.places.builds.iterdir()) == []
            assert {key: content(store, key, base) for key in keys} == before
        assert refused == 5
        assert set(merge(daemon, store, keys[-1], base, 2, 1)) == set(keys[:3])
        assert content(store, keys[-1], base) == before[keys[-1]]
    finally:
        subprocess.run(["umount", point], check=True)
