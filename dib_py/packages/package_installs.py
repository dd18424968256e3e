"""package-installs: which packages each element wants, when.

diskimage-builder's quirks that elements can observe are kept: both files are read if an element has both, only the
presence of ``uninstall`` and ``build-only`` counts (``uninstall: False`` removes), a package that one element installs
plainly stays although another has it only for the build. What nobody can rely on is better here: blanks in ``arch``
lists do not matter, and an entry that does not apply to this build changes nothing at all.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from dib_py.element import Element
from dib_py.errors import FileError
from dib_py.hooks import MergedHooks
from dib_py.packages.declarations import Document, read_either

KEYS = frozenset({"phase", "uninstall", "build-only", "installtype", "arch", "not-arch", "dib_python_version", "when"})
PHASES = ("pre-install.d", "install.d", "post-install.d")

WHEN = re.compile(r"(?P<variable>\w+)\s*(?P<operator>!?=)\s*(?P<value>.*)", re.DOTALL)
_LEGACY = "package-installs-"


@dataclass(frozen=True)
class Wish:
    """One package of one element; ``name`` is what the element calls it, which pkg-map may translate."""

    name: str
    element: str
    phase: str
    action: str  # "install", "uninstall" or "build-only"


@dataclass(frozen=True)
class Conditions:
    """What an entry's conditions are asked of: the planned environment and the image's architecture."""

    environment: Mapping[str, str]
    arch: str

    def installtype(self, element: str) -> str:
        default = self.environment.get("DIB_DEFAULT_INSTALLTYPE", "source")
        return self.environment.get(f"DIB_INSTALLTYPE_{element.replace('-', '_')}", default)


def wishes(element: Element, conditions: Conditions) -> Iterator[Wish]:
    """What an element's package-installs files ask for in this build; FileError for a file that is wrong."""
    for path in element.package_installs:
        document = read_either(path)
        if document.data is None:
            continue
        if not isinstance(document.data, dict):
            raise document.error("must be a mapping of packages", hint="package: {phase: install.d}")
        for name, value in document.data.items():
            yield from _entries(document, element, str(name), value, conditions)


def _entries(document: Document, element: Element, name: str, value: Any, conditions: Conditions) -> Iterator[Wish]:
    entries = value if isinstance(value, list) else [value]
    for index, entry in enumerate(entries or [None]):
        place = (name, index) if isinstance(value, list) else (name,)
        if entry and not isinstance(entry, dict):
            raise document.error(f"package {name} must have a mapping or a list of them", *place)
        parameters = entry or {}
        _check(document, name, place, parameters)
        if _applies(document, element, name, place, parameters, conditions):
            action = "build-only" if "build-only" in parameters else "install"
            if "uninstall" in parameters and action == "install":
                action = "uninstall"
            yield Wish(name, element.name, str(parameters.get("phase", "install.d")), action)


def _check(document: Document, name: str, place: tuple[Any, ...], parameters: Mapping[str, Any]) -> None:
    if parameters.get("arch") and parameters.get("not-arch"):
        raise document.error(f"package {name} has both arch and not-arch", *place, "not-arch", hint="keep one of them")


def _applies(
    document: Document,
    element: Element,
    name: str,
    place: tuple[Any, ...],
    parameters: Mapping[str, Any],
    conditions: Conditions,
) -> bool:
    installtype = parameters.get("installtype")
    if installtype is not None and str(installtype) != conditions.installtype(element.name):
        return False
    arch, not_arch = parameters.get("arch"), parameters.get("not-arch")
    if arch and conditions.arch not in _names(arch):
        return False
    if not_arch and conditions.arch in _names(not_arch):
        return False
    python = str(parameters.get("dib_python_version", ""))
    if python and python != conditions.environment.get("DIB_PYTHON_VERSION", ""):
        return False
    # after the others, as in diskimage-builder: a variable need only be set where the rest of the entry applies
    return conditions_hold(
        document, f"package {name}", (*place, "when"), parameters.get("when"), conditions.environment
    )


def _names(text: Any) -> set[str]:
    return {name.strip() for name in str(text).split(",")}


def conditions_hold(
    document: Document, what: str, place: tuple[Any, ...], value: Any, environment: Mapping[str, str]
) -> bool:
    """Whether all statements of a ``when`` hold, which stands at ``place`` and is for ``what``.

    Each is looked at, so that an unset variable is an error wherever it stands.
    """
    for error in malformed(document, what, place, value):
        raise error
    results = []
    for index, statement in _statements(value):
        match = WHEN.match(statement)
        assert match is not None  # it would be malformed
        variable = match["variable"]
        if variable not in environment:
            raise document.error(
                f"{what}: when: variable {variable} is not set",
                *place,
                index,
                hint=f"export {variable}=... or give it a default in environment.d of the element",
            )
        equal = environment[variable] == match["value"]
        results.append(equal if match["operator"] == "=" else not equal)
    return all(results)


def malformed(document: Document, what: str, place: tuple[Any, ...], value: Any) -> Iterator[FileError]:
    """The statements of a ``when`` that are none."""
    for index, statement in _statements(value):
        if WHEN.match(statement) is None:
            message = f"{what}: malformed when: '{statement}'"
            yield document.error(message, *place, index, hint="VARIABLE = value, or VARIABLE != value")


def _statements(value: Any) -> list[tuple[int, str]]:
    if value is None:
        return []
    return list(enumerate(map(str, value if isinstance(value, list) else [value])))


def legacy_wishes(merged: MergedHooks) -> Iterator[Wish]:
    """The older form: files ``package-installs-ELEMENT`` in a phase directory, a package a line.

    ``#`` begins a comment line; a package after ``-`` is there only until the end of the phase.
    """
    for directory, file, entry in merged.in_phase_directories():
        if not file.startswith(_LEGACY) or directory not in PHASES:
            continue
        element = file[len(_LEGACY) :]  # the name says whose pkg-map counts, whoever brings the file
        for line in entry.source.read_text(encoding="utf-8", errors="replace").splitlines():
            name = line.strip()
            if name and not name.startswith("#"):
                action = "build-only" if name.startswith("-") else "install"
                yield Wish(name[1:] if action == "build-only" else name, element, directory, action)
