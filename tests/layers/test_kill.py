"""SIGKILL before each single change of the filesystem: nothing committed is lost, and nothing wrong is ever a hit."""

from __future__ import annotations

import functools
import os
import shutil
from collections.abc import Callable
from pathlib import Path

from dib_py.layers import eviction
from dib_py.layers.store import Store
from tests.layers.dying import run_and_kill_at
from tests.layers.samples import build, commit, keys, overlay, record


def at_every_point(template: Path, work: Callable[[Store], object], check: Callable[[Store, bool], None]) -> int:
    """Kill ``work`` on a copy of a store at each of its points, and check what a later process sees there."""
    point = 0
    while True:
        directory = template.with_name(f"{template.name}-{point}")
        shutil.copytree(template, directory)
        store = Store.open(directory)
        ended = run_and_kill_at(point, lambda store=store: work(store))
        later = Store.open(directory)
        assert list(later.places.builds.iterdir()) == []
        check(later, ended)
        tidy(later)
        check(later, ended)
        shutil.rmtree(directory)
        if ended:
            return point
        point += 1


def tidy(store: Store) -> None:
    """No file is left that no record speaks of, once somebody has looked."""
    eviction.evict(store.places, 10**9, store.record, store.verifier.forget)
    known = set(store.contents().entries)
    for name in ("layers", "logs", "artefacts", "outputs"):
        assert {path.stem for path in (store.directory / name).iterdir()} <= known


def test_commit(store: Store, tmp_path: Path) -> None:
    before = build(store, "10-a", "20-b")
    third = record("30-c", before[-1], artefacts=("output/x",))
    (tmp_path / "artefacts").write_bytes(b"tar" * 1000)

    def work(there: Store) -> None:
        with there.session() as session:
            session.use([before[-1]])
            log = session.directory / "log"
            log.write_text("said\n")
            assert session.commit(third, overlay(session), log=log, artefacts=tmp_path / "artefacts")

    def check(later: Store, ended: bool) -> None:
        assert later.chain(before[-1])
        there = later.record(third.key)
        assert there is not None or not ended
        if there is not None:
            assert later.chain(third.key)
            log, archive = later.log(third.key), later.artefacts(third.key)
            assert log is not None and log.read_text() == "said\n"
            assert archive is not None and archive.read_bytes() == b"tar" * 1000

    assert at_every_point(store.directory, work, check) > 15


def test_commit_in_place_of_a_damaged_layer(store: Store) -> None:
    first, second = build(store, "10-a", "20-b")
    store.places.layer(second).write_bytes(b"damaged")

    def work(there: Store) -> None:
        with there.session() as session:
            session.use([first])
            assert commit(session, "20-b", first)

    def check(later: Store, ended: bool) -> None:
        assert later.chain(first)
        assert later.chain(second) or not ended

    assert at_every_point(store.directory, work, check) > 10


def test_eviction(store: Store) -> None:
    chains = [build(store, *(f"{chain}-{number}" for number in range(4))) for chain in "abc"]
    with store.session() as session:
        session.use([chains[1][-1]])

    def work(there: Store) -> None:
        entries = there.contents().entries
        cap = eviction.total(there.places) - sum(entries[key].size for key in chains[0][2:]) + 4096
        assert [one.key for one in eviction.evict(there.places, cap, there.record, there.verifier.forget)]

    def check(later: Store, ended: bool) -> None:
        assert later.chain(chains[1][-1]) and later.chain(chains[2][-1])
        for made in chains:
            there = [key for key in made if later.record(key)]
            assert there == made[: len(there)]
            assert not there or later.chain(there[-1])
        assert not ended or later.record(chains[0][2]) is None

    assert at_every_point(store.directory, work, check) > 10


def test_merge(store: Store) -> None:
    first, second, third, fourth = build(store, "10-a", "20-b", "30-c", "40-d")

    def work(there: Store) -> None:
        with there.session() as session:
            session.use([fourth])
            assert session.merge(third, overlay(session), [second, first])

    def check(later: Store, ended: bool) -> None:
        chain = later.chain(fourth)
        assert chain is not None and later.chain(third) == chain[:-1]
        assert len(chain) == 2 or not ended
        assert [later.record(key) is not None for key in (first, second, third, fourth)] == [True] * 4

    assert at_every_point(store.directory, work, check) > 10


def test_merge_after_a_killed_one(store: Store, tmp_path: Path) -> None:
    """A record with two digests, one of which its file has, is one with a single digest again."""
    first, second, third = build(store, "10-a", "20-b", "30-c")

    def work(there: Store) -> None:
        with there.session() as session:
            assert session.merge(third, overlay(session), [second, first])

    def half_merged(replaced: bool) -> Store:
        """A store whose merge was killed before or after the layer's file was replaced."""
        for point in range(100):
            directory = tmp_path / f"half-{replaced}-{point}"
            shutil.copytree(store.directory, directory)
            half = Store.open(directory)
            before = half.places.layer(third).stat().st_ino
            run_and_kill_at(point, lambda half=half: work(half))
            there = half.record(third)
            if there is not None and there.pending and (half.places.layer(third).stat().st_ino != before) == replaced:
                return Store.open(directory)
            shutil.rmtree(directory)
        raise AssertionError("there is no such moment")

    def check(later: Store, ended: bool) -> None:
        chain = later.chain(third)
        assert chain is not None and (len(chain) == 1 or not ended)

    for replaced in (False, True):
        half = half_merged(replaced)
        assert len(half.chain(third) or ()) == 3
        assert at_every_point(half.directory, work, check) > 10


def test_keeping_a_failed_step(store: Store) -> None:
    def work(there: Store) -> None:
        with there.session() as session:
            for number in range(5):
                session.keep_failed(overlay(session), {"number": number})

    def check(later: Store, ended: bool) -> None:
        kept = later.failures()
        assert len(kept) <= 3
        assert all(failure.overlay.stat().st_size == 8192 for failure in kept)
        assert len(kept) == 3 or not ended

    assert at_every_point(store.directory, work, check) > 20


def test_opening(tmp_path: Path) -> None:
    """A store that was half made is made whole by who comes next."""
    point = 0
    while not run_and_kill_at(point, functools.partial(Store.open, tmp_path / f"layers-{point}")):
        store = Store.open(tmp_path / f"layers-{point}")
        assert store.writable and len(store.secret) == 32
        build(store, "10-a")
        assert store.chain(keys("10-a")[0])
        point += 1
    assert point > 10


def test_the_point_is_where_it_says(tmp_path: Path) -> None:
    """The tool itself: the change that is told last is not made."""

    def work() -> None:
        (tmp_path / "one").mkdir()
        os.rename(tmp_path / "one", tmp_path / "two")  # noqa: PTH104

    assert run_and_kill_at(1, work) is False
    assert (tmp_path / "one").exists() and not (tmp_path / "two").exists()
