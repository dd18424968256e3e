"""Why a step runs: what differs from the nearest time that it ran before. Pure: ingredients in, words out.

Of all steps that run only the first needs a reason; the rest follow because it runs. Secrets are in ingredients as
keyed digests, so all that can be said of one is that it changed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from dib_py.keys import KEYED, SET, Ingredients
from dib_py.layers.record import Record
from dib_py.plan import Step

LONGEST = 60  # characters of a value that are shown
MOST = 6  # changes that are told; the rest is counted


class Seen(Protocol):
    """A step of a plan held against the store: its record, if it ran before."""

    @property
    def step(self) -> Step: ...

    @property
    def ingredients(self) -> Ingredients: ...

    @property
    def record(self) -> Record | None: ...


@dataclass(frozen=True)
class Change:
    """One input that differs. ``before`` and ``after`` are None for what was not there, or is not to be shown."""

    input: (
        str  # engine, hook, mode, argument, packages, epoch, file, variable, variable-file, host-file, base or parent
    )
    name: str  # of the file or variable; empty for what there is one of
    before: str | None
    after: str | None
    text: str

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class Why:
    """Why a step runs.

    ``reason`` is ``never-ran``, ``changed``, ``lost`` (it ran, but what it left is gone) or ``follows`` (it runs
    because one before it does).
    """

    reason: str
    text: str
    changes: tuple[Change, ...] = ()

    def __str__(self) -> str:
        return self.text


FOLLOWS = Why("follows", "a step before it runs")


def explain(
    steps: Sequence[Seen],
    replayed: int,
    records: Iterable[Record],
    lookup: Callable[[str], Record | None],
    lost: str = "",
) -> Why | None:
    """Why step number ``replayed`` runs, the first that does; None if none is left to run.

    ``records`` are those that the store has of hooks of this name, at least; ``lookup`` finds one by its key. ``lost``
    says what is wrong with the layer of a step that has a record.
    """
    if replayed >= len(steps):
        return None
    seen = steps[replayed]
    if seen.record is not None:
        return Why("lost", lost or _lost(seen.record))
    before = nearest(seen, records)
    if before is None:
        return Why("never-ran", "it never ran before")
    return _changed(steps, replayed, before, lookup)


def nearest(seen: Seen, records: Iterable[Record]) -> Record | None:
    """The record of the same hook that differs in the fewest inputs; of several the last one that ran."""
    step = seen.step
    place = (step.phase.directory, step.element, step.kind, step.name)
    same = [r for r in records if (r.phase, r.element, r.kind, r.name) == place]
    least = min((_distance(record.ingredients, seen.ingredients) for record in same), default=0)
    closest = [record for record in same if _distance(record.ingredients, seen.ingredients) == least]
    return max(closest, key=lambda record: record.finished, default=None)


def changes(before: Ingredients, after: Ingredients) -> list[Change]:
    """All inputs that differ, but for the parent."""
    found: list[Change] = []
    if before.engine != after.engine:
        found.append(Change("engine", "", None, None, "dib-py itself changed"))
    if before.content != after.content:
        found.append(Change("hook", "", None, None, _CONTENT.get(after.kind, "the hook's bytes changed")))
    if before.mode != after.mode:
        found.append(_simple("mode", "the hook's mode", before.mode, after.mode))
    if before.argument != after.argument:
        found.append(_argument(before, after))
    if before.packages != after.packages:
        found.append(_packages(before.packages or (), after.packages or ()))
    found += _variables(before, after)
    found += _of_variable_files(before, after)
    found += _of_mapping("file", before.files, after.files)
    found += _of_mapping("host-file", before.host_files, after.host_files)
    if before.epoch != after.epoch:
        found.append(_epoch(before.epoch, after.epoch))
    return found


_CONTENT = {
    "run": "the script's bytes changed",
    "copy-in": "what is copied in changed",
    "declaration": "the file changed",
}


def _distance(before: Ingredients, after: Ingredients) -> int:
    return len(changes(before, after)) + (before.parent != after.parent)


def _lost(record: Record) -> str:
    if record.digest:
        return "it ran before, but its layer is gone or damaged"
    return "it ran before, but its layer is one now with that of a later step"


def _changed(steps: Sequence[Seen], number: int, before: Record, lookup: Callable[[str], Record | None]) -> Why:
    after = steps[number].ingredients
    found = changes(before.ingredients, after)
    elsewhere = number > 0 and before.parent != after.parent  # all before it are hits: this one ran in another build
    if not found:
        found, elsewhere = [_parent(steps, number, before, lookup)], False
    told = [str(change) for change in found[:MOST]]
    if len(found) > MOST:
        told.append(f"and {len(found) - MOST} more")
    text = "; ".join(told)
    if elsewhere:
        text = (
            f"no run of it after {_title(steps[number - 1])} is kept; from that in another build it differs by: {text}"
        )
    return Why("changed", text, tuple(found))


def _title(seen: Seen) -> str:
    return f"{seen.step.phase.directory}/{seen.step.name}"


def _parent(steps: Sequence[Seen], number: int, before: Record, lookup: Callable[[str], Record | None]) -> Change:
    """The step itself is the same; what it begins on is not."""
    if number == 0:
        what = "the base image or its size" if before.base is not None else "the disk's size or layout"
        return Change("base", "", None, None, f"{what} changed")
    here = _title(steps[number - 1])
    then = lookup(before.parent)
    if then is None:
        return Change("parent", here, None, here, f"it never ran after {here} as it is now")
    if then.title == here:
        differing = "; ".join(map(str, changes(then.ingredients, steps[number - 1].ingredients)[:MOST]))
        text = f"it ran after another {here} before" + (f": {differing}" if differing else "")
        return Change("parent", here, then.title, here, text)
    return Change("parent", here, then.title, here, f"it comes after {here} now, and came after {then.title} before")


def _variables(before: Ingredients, after: Ingredients) -> Iterable[Change]:
    """Where the texts changed, they name other variables than before, which is no change of these."""
    same_texts = (before.content, before.files) == (after.content, after.files)
    for change in _of_mapping("variable", before.variables, after.variables):
        both = change.name in before.variables and change.name in after.variables
        if both or same_texts or change.name.startswith("DIB_"):
            yield change


def _of_mapping(kind: str, before: Mapping[str, str], after: Mapping[str, str]) -> Iterable[Change]:
    for name in sorted(before.keys() | after.keys()):
        old, new = before.get(name), after.get(name)
        if old == new:
            continue
        if kind == "variable":
            yield _variable(name, old, new)
            continue
        what = {"file": "directory" if name.endswith("/") else "file"}.get(kind, "this machine's")
        verb = "is new" if old is None else "is gone" if new is None else "changed"
        yield Change(kind, name, None, None, f"{what} {name} {verb}")


def _variable(name: str, old: str | None, new: str | None) -> Change:
    before, after = _shown(old), _shown(new)
    if old is None:
        text = f"variable {name} is new" + (f": {after}" if after else "")
    elif new is None:
        text = f"variable {name} is gone" + (f": it was {before}" if before else "")
    elif before is None or after is None:
        text = f"variable {name} changed"
    else:
        text = f"variable {name} {before} -> {after}"
    return Change("variable", name, _open(old), _open(new), text)


def _of_variable_files(before: Ingredients, after: Ingredients) -> Iterable[Change]:
    """Files that variables name; that another one is named is told by the variable itself."""
    for name in sorted(before.variable_files.keys() | after.variable_files.keys()):
        old, new = before.variable_files.get(name), after.variable_files.get(name)
        if old == new or before.variables.get(name) != after.variables.get(name):
            continue
        path = _open(after.variables.get(name))
        verb = "is there now" if old is None else "is gone" if new is None else "changed"
        text = f"{path or 'the file'}, which {name} names, {verb}"
        yield Change("variable-file", name, None, None, text)


def _argument(before: Ingredients, after: Ingredients) -> Change:
    if after.kind == "engine":
        return Change("argument", "", None, None, "how the disk is cut to its size changed")
    if after.kind == "packages":
        return _packages(before.argument.split(), after.argument.split())
    if after.kind == "root-password" or _open(before.argument) is None or _open(after.argument) is None:
        return Change("argument", "", None, None, "what the command line says changed")
    return _simple("argument", "the command line's", before.argument, after.argument)


def _packages(before: Sequence[str], after: Sequence[str]) -> Change:
    added = [name for name in after if name not in before]
    removed = [name for name in before if name not in after]
    told = [f"{sign}{name}" for sign, names in (("+", added), ("-", removed)) for name in names]
    text = f"packages {_few(told)}" if told else "packages in another order"
    return Change("packages", "", " ".join(before), " ".join(after), text)


def _epoch(before: str, after: str) -> Change:
    if not before or not after:
        text = "it can fetch now" if after else "it can fetch no more"
    else:
        text = f"packages are those of {after}, before of {before}"
    return Change("epoch", "", before or None, after or None, text)


def _simple(kind: str, what: str, before: str, after: str) -> Change:
    return Change(kind, "", before, after, f"{what} {_shown(before)} -> {_shown(after)}")


def _open(value: str | None) -> str | None:
    """A value that may be shown; None for a secret."""
    return None if value is None or value.startswith(KEYED) or value == SET else value


def _shown(value: str | None) -> str | None:
    """A value as people read it, on one line and not too long."""
    text = _open(value)
    if text is None:
        return None
    return repr(text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}...")


def _few(words: Sequence[str]) -> str:
    more = len(words) - MOST
    return " ".join(words) if more <= 0 else f"{' '.join(words[:MOST])} and {more} more"
