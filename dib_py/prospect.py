"""A plan held against the store before anything runs: which steps are hits, which run, and why. Changes nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace

from dib_py import epoch
from dib_py.base.cloud_image import check_local
from dib_py.base.known import known_digest
from dib_py.errors import DibError, HostError, OutputError
from dib_py.explain import FOLLOWS, Why, explain
from dib_py.layers.integrity import Broken
from dib_py.layers.keeping import lenders
from dib_py.layers.record import Record
from dib_py.layers.store import Store, store_directory
from dib_py.layers.walk import Walk, walk
from dib_py.obstacles import check_outputs
from dib_py.plan import DECLARATION, Plan, Step, make_plan
from dib_py.settings import Settings
from dib_py.step_keys import StepKeys

NO_LAYERS = Why("no-layers", "layers are not wanted")
TOGETHER = "together"  # the reason of a step whose layer is that of one that runs
NO_BASE = Why("changed", "the base image is not here yet, or is not the one that was")


@dataclass(frozen=True)
class Outlook:
    """What becomes of one step: ``record`` is that of its last run where it need not run again, else ``why`` says why
    it must."""

    step: Step
    record: Record | None
    why: Why | None


@dataclass(frozen=True)
class Prospect:
    """What a build would do now. ``outlooks`` has steps that hooks added when they ran, too, and the closing one.

    ``trouble`` says why the store can't be used, if it can't, and ``hindrances`` what is wrong on this machine with the
    base image and the place of the results.
    """

    plan: Plan
    outlooks: tuple[Outlook, ...]
    trouble: str = ""
    hindrances: tuple[str, ...] = ()

    @property
    def hits(self) -> int:
        return sum(one.record is not None for one in self.outlooks)

    @property
    def left(self) -> list[Step]:
        """The steps that run."""
        return [one.step for one in self.outlooks if one.record is None]

    @property
    def first(self) -> Why | None:
        """Why the first step does that runs for a reason of its own."""
        whys = [one.why for one in self.outlooks if one.why is not None]
        return next((why for why in whys if why.reason != TOGETHER), None)

    @property
    def seconds(self) -> float:
        """How long the steps that need not run took."""
        return sum(one.record.seconds for one in self.outlooks if one.record is not None)


def look(settings: Settings) -> Prospect:
    """The prospect of a build with these settings; DibError for what a plan refuses."""
    store, trouble = _store(settings)
    fresh = epoch.find(settings, store.directory if store else None)
    plan = make_plan(settings, secret=store.secret if store else None, epoch=fresh, keyed=False)
    hindrances = tuple(_hindrances(plan))
    base = known_digest(plan.base, settings) if plan.base else ""
    keys = StepKeys(plan, epoch=fresh, secret=store.secret if store else None, base_digest=base)
    found = walk(plan, keys, store)
    for other in [] if settings.no_cache else lenders(settings):
        theirs = walk(plan, keys, other)
        if theirs.replayed > found.replayed:
            store, found = other, theirs
    known = {(one.step.phase, one.step.name): one.ingredients.key for one in found.steps}
    steps = tuple(replace(step, key=known.get((step.phase, step.name), "")) for step in plan.steps)
    return Prospect(replace(plan, steps=steps), tuple(_outlooks(plan, found, store, base)), trouble, hindrances)


def _hindrances(plan: Plan) -> Iterator[str]:
    """Why a build would be refused here, whatever is left of it to run; UsageError where it would be anywhere."""
    try:
        check_outputs(plan)
    except (HostError, OutputError) as error:
        yield str(error)
    try:
        if plan.base is not None:
            check_local(plan.base)
    except DibError as error:
        yield f"{error} ({error.hint})" if error.hint else str(error)


def _store(settings: Settings) -> tuple[Store | None, str]:
    """The store, if it is there and layers are wanted, and what is wrong with it."""
    directory = store_directory(settings)
    try:
        if settings.no_cache or not directory.is_dir():
            return None, ""
        return Store.open(directory, read_only=True), ""
    except HostError as error:
        return None, error.message
    except OSError as error:
        return None, f"the layer store {directory} can't be read: {error.strerror}"


def _outlooks(plan: Plan, found: Walk, store: Store | None, base: str) -> Iterator[Outlook]:
    first = _first_to_tell(found)
    for number, one in enumerate(found.steps):
        if number < found.replayed:
            yield Outlook(one.step, one.record, None)
        elif number < first:
            with_it = found.steps[first].step
            text = f"it is applied together with {with_it.phase.directory}/{with_it.name}, which runs"
            yield Outlook(one.step, None, Why(TOGETHER, text))
        elif number == first:
            yield Outlook(one.step, None, _why(plan, found, first, store, base))
        else:
            yield Outlook(one.step, None, FOLLOWS)


def _first_to_tell(found: Walk) -> int:
    """The first step that runs for a reason of its own.

    Those before it are as they were, but what they did to Windows is only in the layer of one that is not.
    """
    for number in range(found.replayed, len(found.steps)):
        record = found.steps[number].record
        if record is None or record.kind != DECLARATION or record.digest:
            return number
    return found.replayed


def _why(plan: Plan, found: Walk, number: int, store: Store | None, base: str) -> Why | None:
    """Why step ``number`` runs."""
    if store is None:
        return NO_LAYERS if plan.settings.no_cache else explain(found.steps, number, [], lambda key: None)
    if plan.base is not None and not base:
        return NO_BASE
    one = found.steps[number]
    lost = ""
    if one.record is not None:
        lost = _lost(store, one.record)
    return explain(found.steps, number, _records(store, one.step.name), store.record, lost)


def _lost(store: Store, record: Record) -> str:
    """What is wrong with a step that has a record; a break point, if nothing is."""
    try:
        store.verified(record.key)
    except Broken as broken:
        return f"it ran before, but {broken}"
    return "a shell is asked for at a break point, and needs its phase to run"


def _records(store: Store, name: str) -> Iterator[Record]:
    """The records of steps with this name; the others are not even decoded, as there may be thousands."""
    word = json.dumps(name).encode()
    for path in store.places.records.glob("*.json"):
        try:
            if word not in path.read_bytes():
                continue
        except OSError:  # evicted a moment ago
            continue
        record = store.record(path.stem)
        if record is not None:
            yield record
