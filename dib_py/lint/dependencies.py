"""Rules for what elements need, and for elements that go into one image."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from pathlib import Path

from dib_py.element import DEPS_FILE, Catalog
from dib_py.lint.registry import Subject, combination_rule, element_rule
from dib_py.resolve import Resolution, hint_for_unknown


@element_rule("deps-sorted")
def deps_sorted(subject: Subject) -> Iterator[tuple[Path, int, str]]:
    """The names in element-deps are sorted."""
    previous = ""
    for line, name in _deps(subject):
        if name.startswith("#"):
            continue  # unknown-dependency tells what such a line is
        if name < previous:
            yield subject.element.path / DEPS_FILE, line, f"is not sorted: {name} comes before {previous}"
            return
        previous = name


@element_rule("unknown-dependency")
def unknown_dependency(subject: Subject) -> Iterator[tuple[Path, int, str]]:
    """Each name in element-deps is an element that can be seen, or provided by one."""
    for line, name in _deps(subject):
        if name not in subject.catalog and not subject.catalog.providers(name):
            message = f"unknown element '{name}': {hint_for_unknown(subject.catalog, name)}"
            yield subject.element.path / DEPS_FILE, line, message


@element_rule("dependency-cycle")
def dependency_cycle(subject: Subject) -> Iterator[tuple[Path, int, str]]:
    """Elements do not depend on each other in a circle: which of them comes first is then anybody's guess."""
    name = subject.element.name
    cycle = _shortest_cycle(subject.catalog, name)
    if cycle and name == min(cycle):  # the other members would tell of the same
        line = next((number for number, dep in _deps(subject) if dep == cycle[1]), 1)
        yield subject.element.path / DEPS_FILE, line, f"depends on itself: {' -> '.join(cycle)}"


@combination_rule("duplicate-hook")
def duplicate_hook(resolution: Resolution) -> Iterator[tuple[Path, int, str]]:
    """Elements that go into one image do not bring the same file in the same directory."""
    owners: dict[str, Path] = {}
    for element in resolution.elements:
        for directory in element.directories:
            for path in element.files(directory.name):
                owner = owners.setdefault(f"{directory.name}/{path.name}", path)
                if owner != path:
                    yield path, 1, f"element {element.name} brings {directory.name}/{path.name}, and so does {owner}"


def _deps(subject: Subject) -> list[tuple[int, str]]:
    """Line and name of each dependency."""
    file = next((file for file in subject.files if file.relative.parts == (DEPS_FILE,)), None)
    lines = enumerate(file.lines if file else (), start=1)
    return [(number, line.strip()) for number, line in lines if line.strip()]


def _shortest_cycle(catalog: Catalog, start: str) -> list[str]:
    """The names from an element back to itself, none if no way leads back."""
    came_from: dict[str, str] = {}
    queue = deque([start])
    while queue:
        name = queue.popleft()
        for dep in sorted(catalog[name].deps) if name in catalog else ():
            if dep == start:
                return _way_back(came_from, start, name)
            if dep not in came_from:
                came_from[dep] = name
                queue.append(dep)
    return []


def _way_back(came_from: dict[str, str], start: str, last: str) -> list[str]:
    backwards = [start, last]
    while backwards[-1] != start:
        backwards.append(came_from[backwards[-1]])
    return backwards[::-1]
