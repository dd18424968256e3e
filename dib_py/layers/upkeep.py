"""What people do to a store: find a layer, remove some, make room, see whether all is well."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from dib_py import process
from dib_py.disk.chain import Chain
from dib_py.errors import HostError, UsageError
from dib_py.layers import eviction, locks, running
from dib_py.layers.eviction import Contents, Entry
from dib_py.layers.integrity import Broken, digest_of, links
from dib_py.layers.locks import try_lock
from dib_py.layers.record import Record
from dib_py.layers.store import Store
from dib_py.process import CommandFailed

_SHOWN = 8  # candidates for an ambiguous prefix
_LEAKS = 3  # qemu-img check: some clusters are not used, which hurts nobody


@dataclass(frozen=True)
class Freed:
    """What was removed: layers, and everything else by its path."""

    layers: tuple[Entry, ...]
    others: tuple[Path, ...]
    bytes: int


@dataclass(frozen=True)
class Problem:
    """A layer that is no hit, and why."""

    key: str
    why: str


def find(store: Store, prefix: str) -> str:
    """The key that begins so; UsageError, with candidates, where none or several do."""
    known = sorted(path.stem for path in store.places.records.glob("[!.]*.json"))
    found = [key for key in known if prefix and key.startswith(prefix.lower())]
    if len(found) == 1:
        return found[0]
    if not found:
        hint = "dib-py layers ls lists them" if known else "the store is empty"
        raise UsageError(f"there is no layer '{prefix}' in {store.directory}", hint=hint)
    shown = [f"{key[:12]}  {_title(store.record(key))}" for key in found[:_SHOWN]]
    more = [f"and {len(found) - _SHOWN} more"] if len(found) > _SHOWN else []
    raise UsageError(f"'{prefix}' is short for {len(found)} layers", hint="\n  ".join([*shown, *more]))


def remove(store: Store, keys: Iterable[str]) -> Freed:
    """Remove layers with all that lie on them; HostError, and nothing is done, if a running build uses one."""
    _need_writable(store)
    with locks.held(store.places.lock):
        contents = store.contents()
        wanted = list(dict.fromkeys(one for key in keys for one in contents.above(key)))
        for key in running.used(store.places.builds).intersection(wanted):
            raise HostError(f"layer {key[:12]} ({_title(store.record(key))}) is in use by a running build")
        return _remove(store, contents, wanted)


def collect(store: Store, *, size: int | None, unused_since: float | None) -> Freed:
    """Remove what is of no use to anybody, what was not used since then, and then as much as is over ``size``."""
    _need_writable(store)
    before = eviction.total(store.places)
    with locks.held(store.places.lock):
        others = [*eviction.remove_strays(store.places), *_remove_remains(store)]
        used = running.used(store.places.builds)
        gone = list(_remove_in_order(store, used, lambda entry, usable: not usable or _is_older(entry, unused_since)))
        if size is not None:
            failed = eviction.failures(store.places)
            gone += eviction.evict(store.places, size, store.record, store.verifier.forget)
            others += [path for path in failed if not path.exists()]
    return Freed(tuple(gone), tuple(others), max(0, before - eviction.total(store.places)))


def verify(store: Store, told: Callable[[], object]) -> list[Problem]:
    """Read everything again; ``told`` is called after each layer. What only lies on a broken layer is left out."""
    contents = store.contents()
    problems = []
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for key, why in zip(
            contents.entries,
            pool.map(lambda one: _problem(store, contents, one), contents.entries.values()),
            strict=True,
        ):
            problems += [Problem(key, why)] if why else []
            told()
    broken = {problem.key for problem in problems}
    return [problem for problem in problems if broken.isdisjoint(contents.below(problem.key)[1:])]


def _problem(store: Store, contents: Contents, entry: Entry) -> str:
    """Why a layer is broken, "" if it is not."""
    record, places = entry.record, store.places
    if record is None:
        return "" if entry.future else "its record can't be read"
    if entry.merged:
        return "" if not contents.is_leaf(entry.key) else "the layer that it was merged into is gone"
    try:
        links(entry.key, store.record)
        if digest_of(places.layer(entry.key)) not in (record.digest, record.pending):
            return "its file is not what was committed"
        if record.archive and digest_of(places.artefacts(entry.key)) != record.archive:
            return "its artefacts are not what was committed"
        process.run(["qemu-img", "check", "-q", "-U", Chain.of([places.layer(entry.key)]).name])
    except Broken as broken:
        return str(broken)
    except OSError as error:
        return f"{error.filename} can't be read: {error.strerror}"
    except CommandFailed as failed:
        return "" if failed.returncode == _LEAKS else f"qemu-img check: {failed.output.strip()}"
    return ""


def _remove(store: Store, contents: Contents, keys: Sequence[str]) -> Freed:
    gone = []
    for key in keys:
        if key in contents.entries:
            gone += contents.drop(key)
    for entry in gone:
        eviction.remove_files(store.places, entry.key, store.verifier.forget)
    return Freed(tuple(gone), (), sum(entry.size for entry in gone))


def _remove_in_order(store: Store, used: set[str], wanted: Callable[[Entry, bool], bool]) -> Iterator[Entry]:
    """Remove the leaves, and what becomes one by that, that are ``wanted`` (asked with whether they are usable)."""
    contents = store.contents()
    todo = [key for key in contents.entries if contents.is_leaf(key)]
    while todo:
        key = todo.pop()
        entry = contents.entries[key]
        if key in used or not wanted(entry, contents.usable(key)):
            continue
        dropped = contents.drop(key)
        for one in dropped:
            eviction.remove_files(store.places, one.key, store.verifier.forget)
        yield from dropped
        if contents.is_leaf(dropped[-1].parent):
            todo.append(dropped[-1].parent)


def _is_older(entry: Entry, since: float | None) -> bool:
    return since is not None and entry.used < since * 1e9


def _remove_remains(store: Store) -> Iterator[Path]:
    """What dead builds left, locks that nobody holds, digests of files that are gone, layers that were merged."""
    places = store.places
    yield from running.sweep(places.builds)
    for path in (places.top / "locks").glob("*.lock"):
        with suppress(FileNotFoundError), path.open("rb") as file:
            if try_lock(file.fileno()):
                path.unlink()
    entries = store.contents().entries
    for key, entry in entries.items():
        if entry.merged and (layer := places.layer(key)).exists():
            layer.unlink()
            yield layer
    known = store.verifier.notes(path for key in entries for path in (places.layer(key), places.artefacts(key)))
    for path in places.digests.iterdir():
        if path not in known:
            path.unlink(missing_ok=True)


def _need_writable(store: Store) -> None:
    if not store.writable:
        raise HostError(f"the layer store {store.directory} can't be written")


def _title(record: Record | None) -> str:
    return f"{record.title}, element {record.element}" if record else "a record that can't be read"
