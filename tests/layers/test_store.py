"""What is in the store is a hit only if it is whole, and nothing in it is ever an error."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import stat
import threading
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from dib_py import digest
from dib_py.errors import HostError
from dib_py.events import Events
from dib_py.layers import locks
from dib_py.layers.places import read_secret
from dib_py.layers.store import Store
from tests.layers.samples import build, record


def test_a_chain_is_found_from_the_base_up(store: Store) -> None:
    made = build(store, "10-a", "20-b", "30-c")
    assert store.chain(made[-1]) == tuple(store.directory / "layers" / f"{key}.qcow2" for key in made)
    assert store.chain(made[0]) == (store.directory / "layers" / f"{made[0]}.qcow2",)
    assert sorted(found.key for found in store.records()) == sorted(made)
    kept = store.record(made[1])
    assert kept is not None and kept.name == "20-b" and len(kept.digest) == 128
    assert kept.allocated == store.places.layer(made[1]).stat().st_blocks * 512
    log = store.log(made[1])
    assert log is not None and log.read_text() == "output of 20-b\n"
    assert store.artefacts(made[1]) is None


def test_a_later_process_finds_it_too(store: Store) -> None:
    made = build(store, "10-a", "20-b")
    again = Store.open(store.directory)
    assert again.chain(made[-1]) == store.chain(made[-1])
    assert again.secret == store.secret and len(again.secret) == 32


def test_everything_is_private(store: Store) -> None:
    build(store, "10-a")
    modes = {stat.S_IMODE(path.stat().st_mode) for path in store.directory.rglob("*") if path.parent.name != "digests"}
    assert modes == {0o700, 0o600}
    assert stat.S_IMODE(store.directory.stat().st_mode) == 0o700


@pytest.mark.parametrize("key", ["", "x", "0" * 40, "../../etc/passwd", "0" * 39 + "\n"])
def test_what_is_not_there_is_a_miss(store: Store, key: str) -> None:
    assert store.record(key) is None
    assert store.chain(key) is None
    if "/" not in key:
        assert store.log(key) is None


def damage(path: Path, at: int = -1) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("warm", [True, False], ids=["verified-before", "first-look"])
@pytest.mark.parametrize("below", [0, 1], ids=["bottom", "top"])
def test_one_byte_of_a_layer(store: Store, warm: bool, below: int) -> None:
    made = build(store, "10-a", "20-b")
    if warm:
        assert store.chain(made[-1])
    path = store.places.layer(made[below])
    times = path.stat().st_atime_ns, path.stat().st_mtime_ns
    damage(path, at=4000)
    os.utime(path, ns=times)  # only ctime tells
    assert store.chain(made[-1]) is None
    assert (store.chain(made[0]) is None) == (below == 0)


def test_a_truncated_layer(store: Store) -> None:
    [key] = build(store, "10-a")
    os.truncate(store.places.layer(key), 4096)
    assert store.chain(key) is None


def test_a_layer_that_is_gone_or_something_else(store: Store) -> None:
    first, second, third = build(store, "10-a", "20-b", "30-c")
    store.places.layer(second).unlink()
    assert store.chain(third) is None
    store.places.layer(second).mkdir()
    assert store.chain(third) is None
    shutil.copyfile(store.places.layer(first), store.places.layer(third))
    assert store.chain(third) is None
    assert store.chain(first)


def test_damaged_artefacts_are_a_miss(store: Store, tmp_path: Path) -> None:
    (tmp_path / "artefacts").write_bytes(b"tar" * 1000)
    with store.session() as session:
        made = record(artefacts=("output/x",))
        path = session.overlay()
        path.write_bytes(b"layer")
        assert session.commit(made, path, artefacts=tmp_path / "artefacts")
        assert store.chain(made.key)
    archive = store.artefacts(made.key)
    assert archive is not None
    damage(archive)
    assert store.chain(made.key) is None


@pytest.mark.parametrize(
    "spoil",
    [
        lambda text: "",
        lambda text: text[:-20],
        lambda text: "null",
        lambda text: "[" * 100000,
        lambda text: text.replace('"format": 1', '"format": 2'),
        lambda text: text.replace("1073741824", "1073741825", 1),
        lambda text: text.replace("10-a", "10-b"),
        lambda text: json.dumps({**json.loads(text), "record": {}}),
        lambda text: text + "\x00",
    ],
    ids=["empty", "cut", "null", "deep", "future", "one-number", "name", "no-fields", "trailing"],
)
def test_a_record_that_is_none(store: Store, spoil: object) -> None:
    [key] = build(store, "10-a")
    path = store.places.record(key)
    path.write_text(spoil(path.read_text()))
    assert store.record(key) is None
    assert store.chain(key) is None
    assert list(store.records()) == []


def test_a_record_of_another_key(store: Store) -> None:
    first, second = build(store, "10-a", "20-b")
    shutil.copyfile(store.places.record(second), store.places.record(first))
    assert store.record(first) is None
    assert store.chain(second) is None


def test_a_record_whose_ingredients_make_another_key(store: Store) -> None:
    [key] = build(store, "10-a")
    kept = store.record(key)
    assert kept is not None
    forged = dataclasses.replace(kept, ingredients=record("20-b").ingredients)
    store.places.record(key).write_text(forged.to_json())
    assert store.record(key) is None


def test_another_run_of_the_step_below_is_a_miss(store: Store, tmp_path: Path) -> None:
    """Two runs of a step leave different bytes: a layer on one of them is no layer on the other."""
    first, second = build(store, "10-a", "20-b")
    other = Store.open(tmp_path / "other")
    build(other, "10-a")
    for name in ("record", "layer"):
        shutil.copyfile(getattr(other.places, name)(first), getattr(store.places, name)(first))
    assert store.chain(first)
    assert store.chain(second) is None


def test_verified_files_are_not_read_again(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    made = build(store, "10-a", "20-b")
    read: list[Path] = []
    real = digest.digests

    def watched(path: Path, kinds: Sequence[str], task: str, events: Events) -> dict[str, str]:
        read.append(path)
        return real(path, kinds, task, events)

    monkeypatch.setattr(digest, "digests", watched)
    assert Store.open(store.directory).chain(made[1])
    assert read == [], "the commit has read them"
    os.utime(store.places.layer(made[0]))
    for _ in range(2):
        assert store.chain(made[1])
    assert set(read) == {store.places.layer(made[0])}


def test_group_or_world_accessible(store: Store) -> None:
    for mode in (0o750, 0o701, 0o770):
        store.directory.chmod(mode)
        with pytest.raises(HostError, match=f"mode {mode:04o}") as raised:
            Store.open(store.directory)
        assert "chmod 0700" in raised.value.hint
    store.directory.chmod(0o700)
    Store.open(store.directory)


@pytest.mark.root
def test_of_another_user(store: Store) -> None:
    os.chown(store.directory, 12345, -1)
    with pytest.raises(HostError, match="belongs to another user"):
        Store.open(store.directory)


def test_no_directory(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file", tmp_path / "file" / "layers"):
        with pytest.raises(HostError, match="layer store"):
            Store.open(path)
    with pytest.raises(HostError, match="layer store"):
        Store.open(tmp_path / "nothing", read_only=True)
    assert not (tmp_path / "nothing").exists()


def test_a_store_of_the_future(store: Store) -> None:
    (store.directory / "format").write_text("2\n")
    with pytest.raises(HostError, match="format '2'"):
        Store.open(store.directory)


def test_a_damaged_secret_is_made_anew(store: Store) -> None:
    (store.directory / "secret").write_bytes(store.secret[:7])
    made = Store.open(store.directory).secret
    assert len(made) == 32 and made != store.secret
    assert Store.open(store.directory).secret == made


def test_one_secret_for_all(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Although all of them have seen that there is none."""
    store.places.secret.unlink()
    barrier, found = threading.Barrier(8), set()
    real = locks.held

    def held_by_all_at_once(path: Path) -> AbstractContextManager[None]:
        barrier.wait(60)
        return real(path)

    monkeypatch.setattr(locks, "held", held_by_all_at_once)
    threads = [
        threading.Thread(target=lambda: found.add(read_secret(store.places, writable=True)))
        for _ in range(barrier.parties)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(found) == 1 and len(found.pop()) == 32


def test_a_read_only_view_writes_nothing(store: Store, tmp_path: Path) -> None:
    made = build(store, "10-a", "20-b")
    before = _state(store.directory)
    view = Store.open(store.directory, read_only=True)
    assert not view.writable
    assert view.chain(made[-1])
    with view.session(tmp_path) as session:
        session.use(made)
        path = session.overlay()
        path.write_bytes(b"x")
        assert path.parent.parent == tmp_path
        assert session.commit(record("30-c", made[-1]), path) is False
        assert session.flight(made[0], waiting=lambda: None) is None
        assert session.keep_failed(path, {}) == ""
    assert not path.exists()
    assert _state(store.directory) == before


def _state(directory: Path) -> dict[Path, tuple[int, int]]:
    return {path: (path.stat().st_mtime_ns, path.stat().st_ctime_ns) for path in (directory, *directory.rglob("*"))}
