"""How two hives differ: keys and values, each by the name that a running Windows gives it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from dib_py.windows.hive import Hive, Value


@dataclass(frozen=True)
class ValueChange:
    """A value that only one hive has (``before`` or ``after`` is None), or that differs in type or data."""

    name: str
    before: Value | None
    after: Value | None


@dataclass(frozen=True)
class KeyChange:
    """A key that was ``added`` or ``removed`` with its values, or neither where only some of ``values`` changed."""

    key: str
    values: tuple[ValueChange, ...]
    added: bool = False
    removed: bool = False


_Keys = Iterator[tuple[str, list[Value]]]


def compare(before: Hive | None, after: Hive | None, mounted: str) -> Iterator[KeyChange]:
    """All changes, in the order of keys; None is a hive that is not there, and keys' names begin with ``mounted``."""
    old = iter(()) if before is None else before.walk()
    new = iter(()) if after is None else after.walk()
    one, other = next(old, None), next(new, None)
    while one is not None or other is not None:
        if other is None or (one is not None and _place(one[0]) < _place(other[0])):
            assert one is not None
            yield KeyChange(_named(mounted, one[0]), tuple(ValueChange(v.name, v, None) for v in one[1]), removed=True)
            one = next(old, None)
        elif one is None or _place(other[0]) < _place(one[0]):
            yield KeyChange(
                _named(mounted, other[0]), tuple(ValueChange(v.name, None, v) for v in other[1]), added=True
            )
            other = next(new, None)
        else:
            changed = tuple(_values(one[1], other[1]))
            if changed:
                yield KeyChange(_named(mounted, other[0]), changed)
            one, other = next(old, None), next(new, None)


def _place(key: str) -> tuple[str, ...]:
    """Keys are walked in this order: each before those below it, siblings by name without regard to case."""
    return tuple(key.casefold().split("\\")) if key else ()


def _named(mounted: str, key: str) -> str:
    return f"{mounted}\\{key}" if key else mounted


def _values(before: list[Value], after: list[Value]) -> Iterator[ValueChange]:
    old = {value.name.casefold(): value for value in before}
    new = {value.name.casefold(): value for value in after}
    for name in sorted({*old, *new}):
        one, other = old.get(name), new.get(name)
        if one is None or other is None or (one.type, one.data) != (other.type, other.data):
            shown = other or one
            assert shown is not None
            yield ValueChange(shown.name, one, other)
