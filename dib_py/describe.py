"""An element told in full: what it does and what it has, as one value for people and for programs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dib_py import hooks, phases
from dib_py.element import WINDOWS, Catalog, Element
from dib_py.errors import ElementError
from dib_py.packages.declarations import read_either
from dib_py.readme import Variable
from dib_py.resolve import hint_for_unknown
from dib_py.windows import declarations


@dataclass(frozen=True)
class Package:
    """A package that an element declares, with the conditions as they are written."""

    name: str
    phase: str
    conditions: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Declared:
    """A declarative file for Windows: its name in the element, its kind, and the phase in which it is applied."""

    name: str
    kind: str
    phase: str


@dataclass(frozen=True)
class Description:
    """All there is to say of an element; ``hooks`` are in the order in which they run, by phase directory.

    ``deps_for_windows`` are None where they are the same.
    """

    name: str
    summary: str
    text: str
    path: Path
    overrides: tuple[Path, ...]
    operating_system: bool
    os_family: str
    base_image: Path | None
    deps: tuple[str, ...]
    deps_for_windows: tuple[str, ...] | None
    provides: tuple[str, ...]
    needed_by: tuple[str, ...]
    hooks: dict[str, list[str]]
    for_windows: tuple[Declared, ...]
    environment: tuple[str, ...]
    packages: tuple[Package, ...]
    variables: tuple[Variable, ...]


@dataclass(frozen=True)
class Virtual:
    """A name that is no element, but that elements provide."""

    name: str
    provided_by: tuple[str, ...]
    needed_by: tuple[str, ...]


def describe(catalog: Catalog, name: str) -> Description | Virtual:
    """What ``name`` is in the catalog; ElementError where it is nothing."""
    # who needs an element may ask for it by a virtual name that it provides
    element = catalog.get(name)
    asked_as = (name, *element.provides) if element else (name,)
    needed_by = tuple(sorted({found.name for asked in asked_as for found in catalog.dependents(asked)}))
    if element is None:
        return _virtual(catalog, name, needed_by)
    return Description(
        name=name,
        summary=element.description,
        text=element.readme.text,
        path=element.path,
        overrides=tuple(override.loser for override in catalog.overrides if override.name == name),
        operating_system=element.is_operating_system,
        os_family=element.os_family,
        base_image=element.base_image,
        deps=element.deps,
        deps_for_windows=_deps_for_windows(element),
        provides=element.provides,
        needed_by=needed_by,
        hooks=_hooks(element),
        for_windows=tuple(_for_windows(element)),
        environment=tuple(path.name for path in element.environment_files),
        packages=tuple(_packages(element)),
        variables=element.readme.variables,
    )


def _virtual(catalog: Catalog, name: str, needed_by: tuple[str, ...]) -> Virtual:
    provided_by = tuple(element.name for element in catalog.providers(name))
    if not provided_by:
        raise ElementError(f"unknown element '{name}'", hint=hint_for_unknown(catalog, name))
    return Virtual(name, provided_by, needed_by)


def _hooks(element: Element) -> dict[str, list[str]]:
    found = {name: hooks.list_hooks(path) for name, path in element.phase_dirs.items()}
    return {name: found[name] for name in phases.BY_DIRECTORY if found.get(name)}


def _deps_for_windows(element: Element) -> tuple[str, ...] | None:
    own = element.deps_for(WINDOWS)
    return None if own == element.deps else own


def _for_windows(element: Element) -> Iterator[Declared]:
    """Its declarative files in the order in which they are applied; beside hooks, "files" alone may be for these."""
    may_be_for_windows = element.declares or element.os_family == WINDOWS or not element.phase_dirs
    for one in declarations.find([element]) if may_be_for_windows else ():
        yield Declared(one.name.partition("/")[2], one.kind.name, one.kind.phase.directory)


def _packages(element: Element) -> list[Package]:
    """What its package-installs files say, without asking whether it applies to any build."""
    packages = []
    for path in element.package_installs:
        data = read_either(path).data or {}
        if not isinstance(data, dict):
            continue  # planning and lint tell what is wrong with it
        for name, value in data.items():
            for entry in value if isinstance(value, list) else [value]:
                conditions = dict(entry) if isinstance(entry, dict) else {}
                phase = str(conditions.pop("phase", "install.d"))
                packages.append(Package(str(name), phase, conditions))
    return packages
