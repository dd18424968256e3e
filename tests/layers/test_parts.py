"""Steps that have one layer together: the store knows each of them, and goes on only behind the last."""

from __future__ import annotations

from pathlib import Path

from dib_py.layers.importing import adopt
from dib_py.layers.session import Session
from dib_py.layers.store import Store
from tests.layers.samples import BASE, build, commit, keys, overlay, record


def part(session: Session, name: str, parent: str, backing: str) -> str:
    """Commit a step whose layer is that of one that follows; returns its key."""
    made = record(name, parent, backing)
    log = session.directory / "log"
    log.write_text(f"output of {name}\n")
    assert session.commit_part(made, log=log)
    return made.key


def together(store: Store, *names: str, parent: str = BASE) -> list[str]:
    """A build that goes on from ``parent`` with steps of these names, whose layer the last one has."""
    *first, last = names
    lies_on = "" if parent == BASE else parent
    made = []
    with store.session() as session:
        session.use([parent])
        for name in first:
            parent = part(session, name, parent, lies_on)
            made.append(parent)
        final = record(last, parent, lies_on)
        assert session.commit(final, overlay(session))
    return [*made, final.key]


def test_the_layer_is_a_hit_and_its_parts_are_none(store: Store) -> None:
    one, two, three = together(store, "1", "2", "3")
    assert store.chain(three) == (store.places.layer(three),)
    assert store.chain(one) is store.chain(two) is None
    assert [store.record(key) is not None for key in (one, two, three)] == [True] * 3
    log = store.log(two)
    assert log is not None and log.read_text() == "output of 2\n"


def test_they_lie_on_what_was_there_and_others_lie_on_them(store: Store) -> None:
    [first] = build(store, "first")
    *_, last = together(store, "1", "2", parent=first)
    [then] = build(store, "then", parent=last)
    assert store.chain(then) == tuple(map(store.places.layer, (first, last, then)))
    assert [one.name for one in store.verified(then).steps] == ["first", "1", "2", "then"]


def test_another_last_step_leaves_the_first_one_good(store: Store) -> None:
    """The parts of both are the same: they leave nothing in the disk by themselves."""
    *_, here = together(store, "1", "2", "here")
    *_, there = together(store, "1", "2", "there")
    assert store.chain(here) == (store.places.layer(here),)
    assert store.chain(there) == (store.places.layer(there),)


def test_a_part_that_gets_a_layer_of_its_own(store: Store) -> None:
    together(store, "1", "2")
    with store.session() as session:
        key = commit(session, "1")
    assert store.chain(key) == (store.places.layer(key),)
    assert store.chain(together(store, "2", parent=key)[-1]) is not None


def test_parts_on_a_run_that_lost_are_not_kept(store: Store) -> None:
    [first] = keys("first")
    with store.session() as winner, store.session() as loser:
        assert winner.commit(record("first"), overlay(winner))
        assert loser.commit(record("first"), overlay(loser)) is False
        made = record("1", first, first)
        assert loser.commit_part(made) is False
        assert loser.commit(record("2", made.key, first), overlay(loser)) is False
    assert store.record(made.key) is None


def test_parts_go_with_their_layer(store: Store, tmp_path: Path) -> None:
    """Eviction takes the layer first, and what is of no use without it with it."""
    *parts, _ = together(store, "1", "2", "3")
    store.cap = 0
    store.evict()
    assert not list(store.places.records.iterdir())
    assert not any(store.places.log(key).exists() for key in parts)


def test_they_go_to_another_store_together(store: Store, tmp_path: Path) -> None:
    *parts, last = together(store, "1", "2", "3")
    other = Store.open(tmp_path / "other")
    with other.session() as session:
        assert adopt(other, session, store, last)
    assert [other.record(key) for key in parts] == [store.record(key) for key in parts]
    assert other.chain(last) == (other.places.layer(last),)
