"""Which steps of a plan the store has done already, and so where a build goes on.

Keys chain from what ran: a hook may have added hooks to later phases, so what a step left in the merged hooks is put
there again before the next phase is listed. Nothing runs, and nothing outside a directory of its own is changed.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from dib_py import hooks
from dib_py.keys import Ingredients
from dib_py.layers.record import Record
from dib_py.layers.store import Store
from dib_py.phases import CLEANUP, PHASES, Phase
from dib_py.plan import Plan, Step
from dib_py.step_keys import StepKeys

CLOSING = "engine"  # the kind of the last step, in which the engine tidies the tree


@dataclass(frozen=True)
class WalkStep:
    """A step, what its key is made of, and its record if it ran before."""

    step: Step
    ingredients: Ingredients
    record: Record | None


@dataclass(frozen=True)
class Walk:
    """A plan held against the store.

    The first ``replayed`` steps need not run: ``chain`` holds the layers that they left, the one on the base first. A
    step behind them may have a record as well, whose layer is gone or was merged into a later one.
    """

    base: str
    steps: tuple[WalkStep, ...]
    replayed: int
    chain: tuple[Path, ...]

    @property
    def complete(self) -> bool:
        """Whether nothing is left to run."""
        return self.replayed == len(self.steps)

    @property
    def records(self) -> tuple[Record, ...]:
        """Those of the replayed steps."""
        return tuple(one.record for one in self.steps[: self.replayed] if one.record is not None)

    @property
    def next_key(self) -> str:
        """The key of the first step that runs."""
        return self.steps[self.replayed].ingredients.key

    @property
    def last_key(self) -> str:
        """The key of the whole: that of the closing step."""
        return self.steps[-1].ingredients.key


def walk(
    plan: Plan, keys: StepKeys, store: Store | None, use: Callable[[Iterable[str]], None] = lambda keys: None
) -> Walk:
    """Look up the steps of ``plan`` one after the other; a plan with break points runs from the phase of the first.

    ``use`` is told which keys were found before their layers are looked at.
    """
    with ExitStack() as stack:
        steps = tuple(_steps(plan, keys, store, stack))
    hits = next((number for number, one in enumerate(steps) if one.record is None), len(steps))
    hits = min(hits, _before_breaks(plan, steps))
    use(one.ingredients.key for one in steps[:hits])
    return _as_far(keys.base, steps, hits, store)


def as_far(found: Walk, most: int, store: Store) -> Walk:
    """The same with at most the first ``most`` steps replayed."""
    return _as_far(found.base, found.steps, min(most, found.replayed), store)


def _as_far(base: str, steps: tuple[WalkStep, ...], hits: int, store: Store | None) -> Walk:
    for replayed in range(hits, 0, -1):
        record = steps[replayed - 1].record
        chain = store.chain(record.key) if store is not None and record is not None and record.digest else None
        if chain is not None:
            return Walk(base, steps, replayed, chain)
    return Walk(base, steps, 0, ())


def closing_step(plan: Plan) -> Step:
    """The engine's own work after the last hook, as a step: it leaves the layer that the image is made of."""
    settings = plan.settings
    fit = f"{settings.image_extra_size} {settings.mkfs_journal_size}"
    return Step(len(plan.steps) + 1, CLEANUP, "", "close", CLOSING, "", None, fit)


def steps_of(plan: Plan, phase: Phase, directory: Path) -> list[Step]:
    """The steps of a phase whose directory is ``directory`` when it starts."""
    planned = {step.name: step for step in plan.steps if step.phase == phase}
    left_out = plan.left_out(phase)
    found = [
        planned.get(name) or Step(0, phase, "", name, "hook", "", directory / name)
        for name in hooks.list_hooks(directory, plan.hooks.allowed)
        if name not in left_out
    ]
    return [*found, *(step for step in planned.values() if step.kind != "hook")]


def _steps(plan: Plan, keys: StepKeys, store: Store | None, stack: ExitStack) -> Iterator[WalkStep]:
    parent = keys.base
    staged: Path | None = None
    recorded = store is not None
    for phase in PHASES:
        if staged is None:
            steps = [step for step in plan.steps if step.phase == phase]
        else:
            steps = steps_of(plan, phase, staged / phase.directory)
        for step in steps:
            ingredients = keys.ingredients(parent, step)
            parent = ingredients.key
            record = store.record(parent) if store is not None and recorded else None
            recorded = record is not None
            yield WalkStep(step, ingredients, record)
            if store is not None and record is not None and any(_is_in_hooks(path) for path in record.artefacts):
                if staged is None:
                    staged = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="dib-py-walk-")))
                    plan.stage(staged)
                left = store.artefacts(record.key)
                if left is not None:
                    from dib_py.artefacts import archive  # loads half of the engine, and a plan is made in no time

                    archive.apply(left, {"hooks": staged})
    step = closing_step(plan)
    ingredients = keys.ingredients(parent, step)
    yield WalkStep(step, ingredients, store.record(ingredients.key) if store is not None and recorded else None)


def _is_in_hooks(path: str) -> bool:
    return path.startswith("hooks/")


def _before_breaks(plan: Plan, steps: tuple[WalkStep, ...]) -> int:
    """How many steps come before the phase of the first break point; a shell needs that phase to be at work."""
    stops = {point.partition("-")[2] for point in plan.settings.breakpoints if point != "after-error"}
    for number, one in enumerate(steps):
        passed = PHASES[: PHASES.index(one.step.phase) + 1]
        if any(phase.name in stops for phase in passed):
            return number
    return len(steps)
