"""package-caches.yaml: the directories of a guest in which its package manager keeps what it downloads.

While hooks run, the engine puts a directory of this machine in place of each, and takes over into the machine's cache
what an element says is worth keeping. What is not named is lost with the build, as it never was part of the image.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from dib_py.element import Element
from dib_py.errors import ElementError, FileError
from dib_py.packages.declarations import Document, read_yaml
from dib_py.packages.package_installs import conditions_hold, malformed
from dib_py.phases import HOOKS_IN_GUEST

FILE = "package-caches.yaml"
KEYS = frozenset({"early", "keep", "when"})

_TAKEN = ("/proc", "/sys", "/dev", HOOKS_IN_GUEST)  # the engine mounts something else there


@dataclass(frozen=True)
class PackageCache:
    """One directory of the guest; ``keep`` are patterns, as of pathlib's glob, of the files in it that are kept.

    ``early``: the hooks that bootstrap want it too, and bear that the empty tree has this directory before them.
    """

    path: str
    keep: tuple[str, ...]
    early: bool = False


def declared(elements: Iterable[Element], environment: Mapping[str, str]) -> tuple[PackageCache, ...]:
    """The caches of a build, sorted by path; several elements may name the same one, and all their patterns count.

    Raises FileError for a file that is wrong, ElementError for a directory inside another one.
    """
    found: dict[str, dict[str, None]] = {}
    early: set[str] = set()
    for element in elements:
        path = element.path / FILE
        if path.is_file():
            document = read_yaml(path)
            for fault in faults(document):
                raise fault
            for place, entry in (document.data or {}).items():
                if conditions_hold(document, place, (place, "when"), entry.get("when"), environment):
                    found.setdefault(place, {}).update(dict.fromkeys(_names(entry["keep"])))
                    early.update([place] if entry.get("early") else [])
    for outer in found:
        for inner in found:
            if PurePosixPath(outer) in PurePosixPath(inner).parents:
                raise ElementError(f"{FILE}: the package cache {inner} is inside another one, {outer}")
    return tuple(PackageCache(place, tuple(found[place]), place in early) for place in sorted(found))


def faults(document: Document) -> Iterator[FileError]:
    """All that is wrong with a file, for lint; a build stops at the first."""
    if document.data is None:
        return
    if not isinstance(document.data, dict):
        yield document.error("must be a mapping of directories", hint="/var/cache/apt: {keep: [archives/*.deb]}")
        return
    for place, entry in document.data.items():
        if not _is_directory(place):
            yield document.error(f"{place} is no absolute path of a directory that can be a cache", place)
        elif not isinstance(entry, dict) or not _names(entry.get("keep")):
            yield document.error(f"{place} must say which files to keep", place, hint="keep: a pattern, or a list")
        else:
            yield from _faults_of(document, place, entry)


def _faults_of(document: Document, place: str, entry: Mapping[str, Any]) -> Iterator[FileError]:
    for key in sorted(map(str, set(entry) - KEYS)):
        yield document.error(f"{place}: {key} is no key of {FILE}", place, key)
    for index, pattern in enumerate(_names(entry["keep"])):
        if PurePosixPath(pattern).is_absolute() or ".." in PurePosixPath(pattern).parts:
            yield document.error(f"{place}: the pattern {pattern} leads out of it", place, "keep", index)
    if not isinstance(entry.get("early", False), bool):
        yield document.error(f"{place}: early is true or false", place, "early")
    yield from malformed(document, place, (place, "when"), entry.get("when"))


def _is_directory(place: Any) -> bool:
    if not isinstance(place, str) or place != str(PurePosixPath(place)) or ".." in place.split("/"):
        return False
    taken = any(Path(place) == Path(one) or Path(one) in Path(place).parents for one in _TAKEN)
    return place.startswith("/") and not place.startswith("//") and place != "/" and not taken


def _names(value: Any) -> list[str]:
    """One text or a list of them; nothing for what is neither."""
    values = value if isinstance(value, list) else [value]
    return [one for one in values if one] if all(isinstance(one, str) for one in values) else []
