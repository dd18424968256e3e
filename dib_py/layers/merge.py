"""Keeps chains short: where one has more than :data:`LONGEST` layers, some become part of the next above them.

A merged layer is no place to go on from any more: a build that changes the step behind it goes on from one below. So
those go that cost least to be made again, and none that another chain lies on, another build uses or a failed step
was run on. The layer that takes them up gets a new file under its own name; the store's record names both until it is
done (:meth:`dib_py.layers.session.Session.merge`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from dib_py.disk.chain import Chain, ImageFile
from dib_py.disk.storage_daemon import StorageDaemon
from dib_py.disk.stream import stream
from dib_py.layers import running
from dib_py.layers.integrity import Broken
from dib_py.layers.record import Record
from dib_py.layers.session import Session
from dib_py.layers.store import Store

LONGEST = 100  # layers in a chain; docs/layers-chains.rst has what longer ones cost
LEFT = 80  # layers after merging, so that a few more steps do not make the next build merge again

_COPIED = 200e6  # bytes in a second, where nothing waits for the disk


def merge_long(
    store: Store,
    session: Session,
    tip: str,
    daemon: StorageDaemon,
    base: ImageFile | None,
    *,
    longest: int = LONGEST,
    left: int = LEFT,
) -> list[str]:
    """Merge layers of the chain that ends with ``tip``, if it is too long; returns the keys of those that were.

    ``base`` is what the first layer lies on. This build has no disk open on the chain any more. The tip's own layer
    stays one. Raises DiskError, for a full disk too; nothing that was there is lost by that.
    """
    session.use([tip])
    try:
        layers = store.verified(tip).layers
    except Broken:
        return []
    if (layers[0].base is None) != (base is None):
        raise ValueError("this is not the chain's base")
    if len(layers) <= longest:
        return []
    merged: list[str] = []
    for first, last in reversed(_runs(_cheapest(layers, _needed(store, session, layers), len(layers) - left))):
        run = layers[first : last + 1]
        if _merge(store, session, daemon, base, layers[:first], run):
            merged += [record.key for record in run[:-1]]
    return merged


def _merge(
    store: Store,
    session: Session,
    daemon: StorageDaemon,
    base: ImageFile | None,
    below: Sequence[Record],
    run: Sequence[Record],
) -> bool:
    """Make ``run``, which lies on ``below``, one layer: its last; False where somebody was faster."""

    def files(records: Sequence[Record]) -> list[Path]:
        return [store.places.layer(record.key) for record in records]

    lower = Chain.of(files(below), base.path, base.format) if base else Chain.of(files(below))
    backing_name = session.layer_name(below[-1].key) if below else str(lower.top) if base else ""
    path = session.overlay()
    try:
        stream(daemon, lower, files(run), path, backing_name)
        return session.merge(run[-1].key, path, [record.key for record in reversed(run[:-1])])
    finally:
        path.unlink(missing_ok=True)


def _needed(store: Store, session: Session, layers: Sequence[Record]) -> set[str]:
    """The layers of a chain that are not for this chain alone."""
    above: defaultdict[str, set[str]] = defaultdict(set)
    for record in store.records():
        if record.digest:
            above[record.backing].add(record.key)
    needed = running.used(store.places.builds, but=session.directory)
    needed |= {str(failure.about.get("parent")) for failure in store.failures()}
    return needed | {one.key for one, upper in pairwise(layers) if above[one.key] != {upper.key}}


def _cheapest(layers: Sequence[Record], needed: set[str], count: int) -> list[int]:
    """The places of ``count`` layers, fewer if there are not so many, that cost least to be merged and made again."""

    def cost(number: int) -> float:
        copied = layers[number].allocated + layers[number + 1].allocated
        return layers[number].seconds + copied / _COPIED

    free = [number for number in range(len(layers) - 1) if layers[number].key not in needed]
    return sorted(sorted(free, key=cost)[:count])


def _runs(numbers: Sequence[int]) -> list[tuple[int, int]]:
    """Neighbours among the numbers, each group as its first and the one behind its last, which takes them up."""
    runs: list[tuple[int, int]] = []
    for number in numbers:
        if runs and runs[-1][1] == number:
            runs[-1] = (runs[-1][0], number + 1)
        else:
            runs.append((number, number + 1))
    return runs
