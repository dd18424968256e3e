"""How two stores of boot configuration data differ, in the words of bcdedit."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from dib_py.windows import boot_configuration as bcd
from dib_py.windows import boot_elements as elements
from dib_py.windows import registry_changes
from dib_py.windows.hive import Hive, Value

_ELEMENT = re.compile(r"Objects\\(?P<object>\{[^\\]+\})\\Elements\\(?P<element>[0-9a-f]{8})", re.IGNORECASE)


@dataclass(frozen=True)
class BootChange:
    """An element of an object that only one store has (``before`` or ``after`` is None), or in another form.

    The ``object`` is named as bcdedit names it, else by its GUID; ``description`` is what the boot menu calls it.
    """

    object: str
    description: str
    element: str
    before: str | None
    after: str | None


def compare(before: Hive | None, after: Hive | None) -> Iterator[BootChange]:
    """All changes of elements, in the order of objects; an object is there as far as it has elements."""
    for change in registry_changes.compare(before, after, ""):
        found = _ELEMENT.fullmatch(change.key.lstrip("\\"))
        if found is None:
            continue
        guid, number = found["object"], int(found["element"], 16)
        kind = _value(before, after, rf"{bcd.object_key(guid)}\Description", "Type")
        described = _value(before, after, bcd.element_key(guid, bcd.DESCRIPTION), bcd.ELEMENT)
        for value in change.values:
            if value.name.casefold() == bcd.ELEMENT.casefold():
                yield BootChange(
                    elements.name_of_object(guid),
                    described.text if described else "",
                    elements.name_of_element(number, kind.number if kind else bcd.TYPE_LOADER),
                    _shown(number, value.before),
                    _shown(number, value.after),
                )


def _shown(element: int, value: Value | None) -> str | None:
    return None if value is None else elements.shown(element, value)


def _value(before: Hive | None, after: Hive | None, key: str, name: str) -> Value | None:
    """As the second store has it, else as the first has."""
    found = (hive.value(key, name) for hive in (after, before) if hive is not None)
    return next((value for value in found if value is not None), None)
