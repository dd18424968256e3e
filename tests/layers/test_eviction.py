"""The store stays under its cap, and what goes is what is needed least."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from dib_py.layers import eviction
from dib_py.layers.store import Store
from tests.layers.samples import BASE, build, commit, keys, overlay, record

MIB = 2**20


def there(store: Store, made: list[str]) -> int:
    """How many of a chain's layers are there, after seeing that they are its first ones and good."""
    left = [key for key in made if store.record(key)]
    assert left == made[: len(left)]
    assert not left or store.chain(left[-1])
    return len(left)


def test_commits_evict_the_least_recently_used_leaves(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "layers", cap=9 * MIB)
    old = build(store, "o1", "o2", "o3", size=MIB)
    kept = build(store, "k1", "k2", "k3", size=MIB)
    with store.session() as session:
        session.use([old[0]])  # only the first step of the old chain is used again
    build(store, "n1", "n2", "n3", "n4", size=MIB)
    assert eviction.total(store.places) <= 9 * MIB
    assert there(store, old) == 1
    assert there(store, kept) == 3
    build(store, "m1", "m2", "m3", size=MIB)
    assert there(store, kept) < 3
    assert there(store, old) == 1, "used later than the others"
    for key in set(old + kept):
        if store.record(key) is None:
            assert store.log(key) is None and not store.places.layer(key).exists()


def test_a_running_build_keeps_what_it_uses(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "layers", cap=4 * MIB)
    used = build(store, "u1", "u2", size=MIB)
    with store.session() as reader:
        reader.use([used[1]])
        with store.session() as session:
            parent = BASE
            made = []
            for number in range(6):
                parent = commit(session, f"{number}", parent, size=MIB)
                made.append(parent)
            assert there(store, made) == 6, "more than the cap, but all of it is in use"
        build(store, "x", size=MIB)
        assert there(store, used) == 2
        assert there(store, made) < 6
    build(store, "y", "z", size=MIB)
    assert eviction.total(store.places) <= 4 * MIB


def test_the_end_of_a_build_evicts_too(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "layers", cap=4 * MIB)
    made = build(store, *"abcdef", size=MIB)
    assert eviction.total(store.places) <= 4 * MIB
    assert there(store, made) == 3


def test_failed_steps_count_and_go_first(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "layers", cap=6 * MIB + MIB // 2)
    made = build(store, "a", "b", size=MIB)
    with store.session() as session:
        for _ in range(2):
            session.keep_failed(overlay(session, 2 * MIB), {})
    assert len(store.failures()) == 2
    build(store, "c", size=MIB)
    assert [failure.id for failure in store.failures()] == ["2"]
    assert there(store, made) == 2


def test_what_nothing_can_use_goes_before_the_rest(store: Store) -> None:
    old = build(store, "a", "b", size=MIB)
    orphaned = build(store, "x", "y", size=MIB)
    store.places.layer(orphaned[0]).write_bytes(b"damaged")
    build(store, "x", size=MIB)  # another run: the layer above it is on none
    assert store.chain(orphaned[1]) is None
    cap = eviction.total(store.places) - 1
    gone = eviction.evict(store.places, cap, store.record, store.verifier.forget)
    assert [entry.key for entry in gone] == [orphaned[1]]
    assert there(store, old) == 2


def test_merged_steps_go_with_their_layer(store: Store) -> None:
    made = build(store, "a", "b", "c", "d", size=MIB)
    with store.session() as session:
        session.use([made[-1]])
        assert session.merge(made[2], overlay(session, MIB), [made[1], made[0]])
    assert store.chain(made[3]) == (store.places.layer(made[2]), store.places.layer(made[3]))
    assert store.chain(made[1]) is None
    contents = store.contents()
    groups = [[entry.key for entry in group] for group in eviction.in_order(contents, used=())]
    assert groups == [[made[3]], [made[2], made[1], made[0]]]
    assert contents.entries == {}


def test_only_what_nobody_else_lies_on_is_merged(store: Store) -> None:
    made = build(store, "a", "b", "c")
    other = build(store, "x", parent=made[0])
    with store.session() as session:
        session.use([made[-1]])
        layer = overlay(session)
        assert session.merge(made[2], layer, [made[1], made[0]]) is False
        assert session.merge(made[2], layer, [made[0]]) is False, "not the next"
        assert session.merge(made[2], layer, []) is False
        assert session.merge(keys("nothing")[0], layer, [made[0]]) is False
        with store.session() as somebody:
            somebody.use([made[1]])
            assert session.merge(made[2], layer, [made[1]]) is False
        assert layer.exists()
        assert session.merge(made[2], layer, [made[1]])
    assert store.chain(made[2]) and store.chain(other[0])


def test_a_merged_step_that_is_run_again(store: Store) -> None:
    """Somebody needs the step itself: what it was merged into lies on another run, and is made anew."""
    first, second, third = build(store, "a", "b", "c")
    with store.session() as session:
        session.use([third])
        assert session.merge(third, overlay(session), [second])
    [again] = build(store, "b", parent=first)
    assert again == second and store.chain(second)
    assert store.chain(third) is None
    assert build(store, "c", parent=second) == [third]
    chain = store.chain(third)
    assert chain is not None and len(chain) == 3


def test_a_record_that_cannot_be_read_is_evicted_in_its_turn(store: Store) -> None:
    made = build(store, "a", "b")
    store.places.record(made[1]).write_text('{"format": 2}')
    gone = eviction.evict(store.places, 0, store.record, store.verifier.forget)
    assert {entry.key for entry in gone} == set(made)
    assert not any(store.places.layer(key).exists() for key in made)


def test_stray_files_go(store: Store) -> None:
    made = build(store, "a")
    stray = [store.directory / name / f"{'0' * 40}.x" for name in ("layers", "logs", "artefacts", "outputs")]
    for path in stray:
        path.write_text("stray")
    (store.directory / "outputs" / f"{made[0]}.json").write_text("{}")
    eviction.evict(store.places, 10**9, store.record, store.verifier.forget)
    assert not any(path.exists() for path in stray)
    assert (store.directory / "outputs" / f"{made[0]}.json").exists()


def test_eviction_while_others_commit(tmp_path: Path) -> None:
    """Whatever is evicted under them, builds end, and what is there is good."""
    failed: list[BaseException] = []

    def work(name: str) -> None:
        try:
            store = Store.open(tmp_path / "layers", cap=40 * 8192)
            for number in range(8):
                build(store, *(f"{name}{number}-{step}" for step in range(4)))
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=work, args=[name]) for name in "abc"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failed == []
    store = Store.open(tmp_path / "layers")
    made = list(store.records())
    assert made and all(store.chain(one.key) for one in made)


def test_a_cap_of_nothing_keeps_nothing_but_what_is_used(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "layers", cap=0)
    with store.session() as session:
        key = commit(session, "a")
        assert store.chain(key)
    assert list(store.records()) == []


@pytest.mark.parametrize("count", [500])
def test_a_large_store_is_looked_through_quickly(store: Store, count: int) -> None:
    made = build(store, *map(str, range(count)), size=100)
    contents = store.contents()
    assert contents.below(made[-1]) == made[::-1]
    assert contents.above(made[0]) == made[::-1]
    assert record("0").key == made[0]
    assert sum(1 for _ in eviction.in_order(contents, used=())) == count
