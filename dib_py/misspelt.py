"""Variables of the caller that nothing of a build reads, and that look like one that something does."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from dib_py.element import Catalog, Element
from dib_py.settings import table

_NAME = re.compile(rb"\bDIB_[A-Za-z0-9_]+")
_ALIKE = 0.88  # of difflib's ratio: one letter in a name of usual length, or two in a long one
_LARGEST = 1 << 20  # bytes of a file that may be a script


def warnings(environ: Mapping[str, str], elements: Iterable[Element], catalog: Catalog) -> Iterator[str]:
    """A line for each such variable of ``environ``.

    One that other elements of the ``catalog`` read is no mistake: pipelines set the same variables for all images.
    """
    of_engine = {name for setting in table() for name in setting.environment}
    asked = {name for name, value in environ.items() if name.startswith("DIB_") and value} - of_engine
    if not asked:
        return
    read = of_engine.union(*(_names(element.path) for element in elements))
    unread = {name: alike for name in sorted(asked - read) if (alike := _alike(name, read - environ.keys()))}
    if not unread:
        return
    elsewhere = set().union(*(_names(element.path) for element in catalog))
    for name, alike in unread.items():
        if name not in elsewhere and not any(one.endswith("_") and name.startswith(one) for one in read | elsewhere):
            yield f"{name} is set, and nothing that this build uses reads it: did you mean {alike}?"


def _alike(name: str, known: Iterable[str]) -> str:
    return next(iter(difflib.get_close_matches(name, sorted(known), n=1, cutoff=_ALIKE)), "")


def _names(element: Path) -> set[str]:
    """What an element's files have in them that looks like a variable; the start of a name that is put together too."""
    found: set[bytes] = set()
    for path in element.rglob("*"):
        with suppress(OSError):  # whoever needs the file says that it can't be read
            if not path.name.startswith("README") and path.is_file() and path.stat().st_size <= _LARGEST:
                found.update(_NAME.findall(path.read_bytes()))
    return {name.decode() for name in found}
