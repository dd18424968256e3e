"""A full disk and a read-only filesystem, real ones: nothing half written stays, and hits go on."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from dib_py.errors import DiskError
from dib_py.layers import eviction
from dib_py.layers.store import Store
from tests.layers.samples import build, overlay, record

pytestmark = pytest.mark.root

MIB = 2**20


@contextmanager
def mounted(kind: str, directory: Path) -> Iterator[Path]:
    """A filesystem of 4 MiB."""
    point = directory / "mounted"
    point.mkdir()
    if kind == "tmpfs":
        argv = ["mount", "-t", "tmpfs", "-o", "size=4m,mode=0700", "none", point]
    else:
        image = directory / "image"
        with image.open("wb") as file:
            file.truncate(4 * MIB)
        subprocess.run(["mkfs.ext4", "-q", "-m", "0", image], check=True)
        argv = ["mount", "-o", "loop", image, point]
    subprocess.run(argv, check=True)
    try:
        yield point
    finally:
        subprocess.run(["umount", point], check=True)


def fill(directory: Path, leave: int) -> None:
    """Take all room but ``leave`` bytes."""
    with (directory / "filler").open("wb", buffering=0) as file:
        for size in (65536, 512):
            with suppress(OSError):
                while True:
                    file.write(bytes(size))
                    os.fsync(file.fileno())
        file.truncate(max(0, file.tell() - leave))
        os.fsync(file.fileno())


def files(store: Store) -> set[Path]:
    return {path for path in store.directory.rglob("*") if path.is_file() and path.parent.name not in ("digests",)}


@pytest.mark.parametrize("kind", ["tmpfs", "ext4"])
def test_commit_on_a_full_disk(kind: str, tmp_path: Path) -> None:
    refused = 0
    (tmp_path / "artefacts").write_bytes(os.urandom(40000))
    with mounted(kind, tmp_path) as point:
        for leave in range(0, 90000, 4096):
            store = Store.open(point / f"layers{leave}")
            [first] = build(store, "10-a")
            second = record("20-b", first, artefacts=("x",))
            with store.session() as session:
                session.use([first])
                layer = overlay(session)
                (session.directory / "log").write_bytes(os.urandom(20000))
                before = files(store)
                fill(point, leave)
                try:
                    arguments = {"log": session.directory / "log", "artefacts": tmp_path / "artefacts"}
                    assert session.commit(second, layer, **arguments)
                    assert store.chain(second.key)
                except DiskError as error:
                    refused += 1
                    assert "dib-py layers gc" in error.hint
                    assert files(store) == before
                    assert store.record(second.key) is None
                assert store.chain(first)
                (point / "filler").unlink()
                if store.record(second.key) is None:
                    assert session.commit(second, layer), "there is room again"
            subprocess.run(["rm", "-r", store.directory], check=True)
    assert 5 < refused < 22


@pytest.mark.parametrize("kind", ["tmpfs", "ext4"])
def test_merge_on_a_full_disk(kind: str, tmp_path: Path) -> None:
    refused = 0
    with mounted(kind, tmp_path) as point:
        for leave in range(0, 40000, 4096):
            store = Store.open(point / f"layers{leave}")
            made = build(store, "10-a", "20-b", "30-c")
            with store.session() as session:
                session.use(made)
                layer = overlay(session)
                fill(point, leave)
                try:
                    assert session.merge(made[2], layer, [made[1], made[0]])
                except DiskError:
                    refused += 1
                assert store.chain(made[2])
                (point / "filler").unlink()
            subprocess.run(["rm", "-r", store.directory], check=True)
    assert 1 <= refused < 10


@pytest.mark.parametrize("kind", ["tmpfs", "ext4"])
def test_eviction_on_a_full_disk(kind: str, tmp_path: Path) -> None:
    with mounted(kind, tmp_path) as point:
        store = Store.open(point / "layers")
        old = build(store, "a", "b", "c", size=100000)
        fill(point, 0)
        gone = eviction.evict(store.places, eviction.total(store.places) - 150000, store.record, store.verifier.forget)
        assert [entry.key for entry in gone] == [old[2], old[1]]
        assert store.chain(old[0])


def test_a_full_disk_is_good_for_hits(tmp_path: Path) -> None:
    with mounted("tmpfs", tmp_path) as point:
        made = build(Store.open(point / "layers"), "10-a", "20-b")
        fill(point, 0)
        store = Store.open(point / "layers")
        os.utime(store.places.layer(made[0]))  # to be read again, and there is no room to note that
        assert store.chain(made[1])
        with pytest.raises(DiskError, match="No space left"), store.session() as session:
            session.use(made)
            session.keep_failed(overlay(session), {})


def test_a_store_on_a_read_only_filesystem(tmp_path: Path) -> None:
    with mounted("ext4", tmp_path) as point:
        store = Store.open(point / "layers")
        made = build(store, "10-a", "20-b")
        subprocess.run(["mount", "-o", "remount,ro", point], check=True)
        view = Store.open(point / "layers", cap=1)
        assert not view.writable
        assert view.secret == store.secret
        assert view.chain(made[1]) == store.chain(made[1])
        with view.session(tmp_path) as session:
            session.use(made)
            assert session.directory.parent == tmp_path
            layer = overlay(session)
            assert session.commit(record("30-c", made[1]), layer) is False and layer.exists()


def test_an_empty_directory_on_a_read_only_filesystem(tmp_path: Path) -> None:
    with mounted("ext4", tmp_path) as point:
        (point / "layers").mkdir(mode=0o700)
        subprocess.run(["mount", "-o", "remount,ro", point], check=True)
        view = Store.open(point / "layers")
        assert not view.writable and len(view.secret) == 32
        assert list(view.records()) == [] and view.chain("0" * 40) is None
        assert view.failures() == [] and view.contents().entries == {} and eviction.total(view.places) == 0
