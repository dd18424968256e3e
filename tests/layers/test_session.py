"""What running builds do to the store, and to each other in it."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from dib_py.errors import DiskError
from dib_py.layers import locks, running
from dib_py.layers.commit import Committer, Files
from dib_py.layers.record import Record
from dib_py.layers.store import Store
from tests.layers.samples import BASE, build, commit, keys, overlay, record


def test_the_first_of_two_wins(store: Store) -> None:
    with store.session() as one, store.session() as two:
        [key] = keys("10-a")
        mine, theirs = overlay(one), overlay(two)
        content = mine.read_bytes()
        assert one.commit(record(), mine)
        assert not mine.exists()
        assert two.commit(record(), theirs) is False
        assert theirs.exists()
        assert store.places.layer(key).read_bytes() == content


def test_the_first_wins_by_a_hair(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even when the other commits after this one has seen that nothing is there."""
    with store.session() as one, store.session() as two:
        content: list[bytes] = []
        real = Committer._stage

        def slow(committer: Committer, made: Record, files: Files) -> list[tuple[Path, Path]]:
            if committer is two._committer:
                layer = overlay(one)
                content.append(layer.read_bytes())
                assert one.commit(record(), layer)
            return real(committer, made, files)

        monkeypatch.setattr(Committer, "_stage", slow)
        assert two.commit(record(), overlay(two)) is False
        assert store.places.layer(record().key).read_bytes() == content[0]
        assert store.chain(record().key)


def test_nothing_is_committed_on_a_run_that_lost(store: Store) -> None:
    """The loser's next layer lies on the loser's bytes, not on those that the key stands for."""
    with store.session() as one, store.session() as two:
        key = commit(one, "10-a")
        assert two.commit(record(), overlay(two)) is False
        assert two.commit(record("20-b", key), overlay(two)) is False
        second = record("20-b", key).key
        assert two.commit(record("30-c", second), overlay(two)) is False
        assert store.record(second) is None
        assert commit(one, "20-b", key) == second
        assert store.chain(second)


def test_two_sessions_in_step_commit_each_layer_once(store: Store) -> None:
    """Whatever way two builds of the same steps race, every layer that is there is a hit."""
    names = [f"{number:02}" for number in range(20)]
    won: list[int] = []

    def work() -> None:
        with store.session() as session:
            parent, count = BASE, 0
            for name in names:
                made = record(name, parent)
                count += session.commit(made, overlay(session))
                parent = made.key
            won.append(count)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(won) == 3 and sorted(won)[:2] == [0, 0]
    there = [key for key in keys(*names) if store.record(key)]
    assert len(there) == max(won)
    assert all(store.chain(key) for key in there)


def test_going_on_from_a_hit_needs_its_use(store: Store) -> None:
    [first] = build(store, "10-a")
    with store.session() as session:
        assert session.commit(record("20-b", first), overlay(session)) is False
    with store.session() as session:
        session.use([first])
        assert commit(session, "20-b", first)


def test_a_layer_on_nothing_has_to_be_the_first(store: Store) -> None:
    """Whoever says that a later step lies on the base is not believed."""
    first, second = build(store, "10-a", "20-b")
    with store.session() as session:
        assert session.commit(record("30-c", second, backing=""), overlay(session)) is False
        assert session.commit(record(), overlay(session)) is False
        assert session.commit(record("21-x", first, backing=""), overlay(session)) is False
    assert len(list(store.records())) == 2


def test_a_damaged_layer_is_replaced_by_the_next_run(store: Store) -> None:
    first, second, third = build(store, "10-a", "20-b", "30-c")
    store.places.layer(second).write_bytes(b"damaged")
    with store.session() as session:
        session.use([first])
        assert store.chain(first)
        assert commit(session, "20-b", first) == second
        assert store.chain(second)
        assert store.chain(third) is None, "it lay on the run that is gone"
        assert commit(session, "30-c", second) == third
        assert store.chain(third)


def test_a_damaged_layer_that_another_build_has_open_stays(store: Store) -> None:
    [first] = build(store, "10-a")
    with store.session() as other, store.session() as session:
        other.use([first])
        session.use([first])
        store.places.layer(first).write_bytes(b"damaged")
        assert session.commit(record(), overlay(session)) is False
        assert session.commit(record("20-b", first), overlay(session)) is False, "it lies on the run that was not kept"
        assert store.places.layer(first).read_bytes() == b"damaged"
    build(store, "10-a")
    assert store.chain(first)


def test_a_record_for_another_key_is_refused(store: Store) -> None:
    with store.session() as session, pytest.raises(ValueError):
        session.commit(record(key="0" * 40), overlay(session))


def test_what_a_session_did_not_commit_goes_with_it(store: Store) -> None:
    with store.session() as session:
        path = overlay(session)
        assert path.parent == session.directory
        assert session.directory.parent == store.directory / "builds"
        assert overlay(session) != path
        assert session.layer_name("k") == "k.qcow2"
    assert list((store.directory / "builds").iterdir()) == []


def test_a_use_is_later_than_all_before(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even when the clock jumps back by a year."""
    one = build(store, "10-a", "20-b")
    two = build(store, "11-a", "21-b")
    year = 365 * 86400 * 10**9
    real = time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: real() - year)
    again = Store.open(store.directory)
    with again.session() as session:
        session.use([one[-1]])
    three = build(again, "12-a")
    times = [store.places.record(key).stat().st_mtime_ns for key in [*two, *one, *three]]
    assert times == sorted(times) and len(set(times)) == len(times)


def test_use_waits_for_who_is_evicting(store: Store) -> None:
    [key] = build(store, "10-a")
    with store.session() as session:
        done = threading.Event()

        def use() -> None:
            session.use([key])
            done.set()

        with locks.held(store.places.lock):
            thread = threading.Thread(target=use)
            thread.start()
            assert not done.wait(0.3)
            store.places.record(key).unlink()
        assert done.wait(60)
        thread.join(60)
        assert running.used(store.places.builds) == set()


def test_a_rename_that_fails_undoes_those_before(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    [first] = build(store, "10-a")
    with store.session() as session:
        session.use([first])
        layer, log = overlay(session), session.directory / "log"
        log.write_text("x")
        content = layer.read_bytes()
        real = Path.rename

        def full(path: Path, target: Path) -> Path:
            if target.parent == store.places.records:
                raise OSError(errno.ENOSPC, "No space left on device")
            return real(path, target)

        with monkeypatch.context() as patch, pytest.raises(DiskError, match="No space left"):
            patch.setattr(Path, "rename", full)
            session.commit(record("20-b", first), layer, log=log)
        assert layer.read_bytes() == content
        assert [path.name for path in (store.directory / "layers").iterdir()] == [f"{first}.qcow2"]
        assert [path.name for path in (store.directory / "logs").iterdir()] == [f"{first}.log"]
        assert sorted(session.directory.iterdir()) == sorted([layer, log])
        assert session.commit(record("20-b", first), layer, log=log)


def test_flight_waits_for_the_other(store: Store) -> None:
    [key] = keys("10-a")
    told: list[str] = []
    with store.session() as one, store.session() as two:
        flight = one.flight(key, waiting=lambda: told.append("one"))
        assert flight is not None
        done = threading.Event()

        def wait() -> None:
            with two.flight(key, waiting=lambda: told.append("two")) as _:
                done.set()

        thread = threading.Thread(target=wait)
        thread.start()
        assert not done.wait(0.3)
        assert told == ["two"]
        flight.close()
        assert done.wait(60)
        thread.join(60)


def test_flight_ends_with_the_last_that_inherited_it(store: Store) -> None:
    [key] = keys("10-a")
    with store.session() as session:
        flight = session.flight(key, waiting=lambda: None)
        assert flight is not None
        child = os.fork()
        if child == 0:
            time.sleep(60)
            os._exit(0)
        try:
            sleeper = subprocess.Popen(
                ["sleep", "60"], close_fds=False
            )  # a program that is started does not inherit it
            flight.close()
            told: list[int] = []
            done = threading.Event()

            def wait() -> None:
                with session.flight(key, waiting=lambda: told.append(1)) as _:
                    done.set()

            thread = threading.Thread(target=wait)
            thread.start()
            assert not done.wait(0.3) and told == [1]
        finally:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
        assert done.wait(60)
        thread.join(60)
        sleeper.kill()
        sleeper.wait()


HOLD = """
import sys, time
from pathlib import Path
from dib_py.layers.store import Store
store = Store.open(Path(sys.argv[1]))
session = store.session()
session.use(sys.argv[2:])
session.overlay().write_bytes(b"partial")
print("ready", flush=True)
time.sleep(60)
"""


def hold(store: Store, *used: str) -> subprocess.Popen[str]:
    """Another process with a build that uses these layers."""
    argv = [sys.executable, "-c", HOLD, str(store.directory), *used]
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": os.getcwd()})  # noqa: PTH109
    assert process.stdout is not None and process.stdout.readline() == "ready\n"
    return process


def test_what_a_killed_build_left_is_swept(store: Store) -> None:
    process = hold(store)
    try:
        Store.open(store.directory)
        assert len(list((store.directory / "builds").iterdir())) == 2, "it lives"
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
    Store.open(store.directory)
    assert list((store.directory / "builds").iterdir()) == []


def test_use_holds_for_as_long_as_the_build_lives(store: Store) -> None:
    made = build(store, "10-a", "20-b")
    process = hold(store, made[-1])
    try:
        assert running.used(store.places.builds) == set(made), "and so do the layers below"
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
    assert running.used(store.places.builds) == set()


def test_a_build_that_ends_while_it_is_looked_at(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    [made] = build(store, "10-a")
    with store.session() as session:
        session.use([made])

        def ends_then(lock: int) -> bool:
            session.directory.with_suffix(".lock").unlink()
            return False

        monkeypatch.setattr(running, "try_lock", ends_then)
        assert running.used(store.places.builds) == {made}


def test_a_record_that_goes_while_times_of_use_are_looked_at(store: Store) -> None:
    [made] = build(store, "10-a")
    store.places.record("e" * 40).symlink_to("gone")  # listed, and not there
    fresh = Store.open(store.directory)
    assert fresh.stamp() > store.places.record(made).stat().st_mtime_ns


def test_a_forked_child_does_not_end_the_session(store: Store) -> None:
    with store.session() as session:
        made = commit(session, "10-a")
        child = os.fork()
        if child == 0:
            session.__exit__()
            os._exit(0)
        os.waitpid(child, 0)
        assert session.directory.is_dir()
        assert running.used(store.places.builds) == {made}


def test_failures_are_kept_and_bounded(store: Store) -> None:
    with store.session() as session:
        ids = [session.keep_failed(overlay(session), {"step": f"{number}"}) for number in range(12)]
    assert ids == [str(number) for number in range(1, 13)]
    kept = store.failures()
    assert [failure.about["step"] for failure in kept] == ["9", "10", "11"]
    assert [failure.id for failure in kept] == ["10", "11", "12"]
    assert all(failure.overlay.stat().st_size == 8192 for failure in kept)
    assert Path(store.directory / "failed" / "12").is_dir()
