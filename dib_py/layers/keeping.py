"""A build and the store: what it finds there when it starts, and what it holds so that no other does the same."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from dib_py.base import BaseImage
from dib_py.events import Events, LayerHit, StepOutput
from dib_py.layers.importing import adopt
from dib_py.layers.locks import Flight
from dib_py.layers.record import BaseRecord, Record
from dib_py.layers.session import Session
from dib_py.layers.store import Store
from dib_py.layers.walk import Walk, walk
from dib_py.plan import Plan, Step
from dib_py.settings import Settings
from dib_py.state import build_root
from dib_py.step_keys import StepKeys

_WAITING = "waiting for another build, which is at work on the same step"


@dataclass(frozen=True)
class Keeping:
    """What a build that keeps layers has, beside its disk."""

    plan: Plan
    walk: Walk
    keys: StepKeys
    store: Store
    session: Session
    flight: Flight | None  # of the first step that runs; None where none does
    base: BaseRecord | None

    def tell_hit(self, step: Step, record: Record, events: Events) -> None:
        """Say that a step need not run and, where more is to be said, what it printed when it did."""
        events.emit(LayerHit(step.index, step.phase.name, step.element, step.name, record.seconds, record.key))
        log = self.store.log(record.key) if self.plan.settings.verbosity else None
        if log is not None:
            with log.open(encoding="utf-8", errors="replace") as file:
                for line in file:
                    events.emit(StepOutput(line.rstrip("\n")))

    def tell_hits(self, events: Events) -> None:
        """The same for all steps that need not run."""
        for one in self.walk.steps[: self.walk.replayed]:
            if one.record is not None:
                self.tell_hit(one.step, one.record, events)


@contextmanager
def keeping(plan: Plan, base: BaseImage | None, store: Store, events: Events) -> Iterator[Keeping]:
    """Hold the plan against the store, and its first missing step against other builds, for whose layer it waits."""
    keys = StepKeys(plan, epoch=plan.epoch, secret=store.secret, base_digest=base.digest if base else "")
    below = None if base is None or plan.moves_base else BaseRecord(str(base.path), base.format, base.digest)
    with store.session(build_root(plan.settings)) as session, ExitStack() as flights:
        found = walk(plan, keys, store, session.use)
        if store.writable and not found.complete and _borrow(found, plan, keys, store, session, events):
            found = walk(plan, keys, store, session.use)
        while not found.complete:
            flight = session.flight(found.next_key, waiting=lambda: events.info(_WAITING))
            if flight is not None:
                flights.push(flight)
            again = walk(plan, keys, store, session.use)
            if again.replayed == found.replayed:
                yield Keeping(plan, again, keys, store, session, flight, below)
                return
            flights.close()  # another build has done that step meanwhile
            found = again
        yield Keeping(plan, found, keys, store, session, None, below)


def lenders(settings: Settings) -> list[Store]:
    """The stores of ``--cache-from``, which are only read; HostError for one that can't be."""
    return [Store.open(directory.absolute() / "layers", read_only=True) for directory in settings.cache_from]


def _borrow(found: Walk, plan: Plan, keys: StepKeys, store: Store, session: Session, events: Events) -> bool:
    """Copy the layers by which other stores are ahead of this one; returns whether there were any."""
    most = found.replayed
    for other in lenders(plan.settings):
        theirs = walk(plan, keys, other)
        if theirs.replayed > most:
            events.info(f"taking layers from {other.directory}")
            if adopt(store, session, other, theirs.records[-1].key):
                most = theirs.replayed
    return most > found.replayed
