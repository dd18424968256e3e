"""What is wrong with elements, found without running any of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from dib_py.element import Catalog, Element
from dib_py.errors import ElementError
from dib_py.lint import declarations, dependencies, layout, scripts, windows
from dib_py.lint.exclusions import ignored_by_git, ignored_codes
from dib_py.lint.registry import COMBINATION_RULES, ELEMENT_RULES, FILE_RULES, Finding, Subject
from dib_py.lint.sources import File, files_of
from dib_py.phases import BY_DIRECTORY
from dib_py.resolve import hint_for_unknown, requested_names, resolve
from dib_py.settings import Settings
from dib_py.windows.kinds import UNMISTAKABLE

__all__ = ["Finding", "Report", "codes", "lint"]

# the modules that hold rules; importing them is what registers these
RULES = (declarations, dependencies, layout, scripts, windows)

_FILES = ("element-deps", "element-deps.windows", "element-provides", "package-installs.yaml")
_MARKS = frozenset({*BY_DIRECTORY, *UNMISTAKABLE, *_FILES, "environment.d"})


@dataclass(frozen=True)
class Report:
    findings: tuple[Finding, ...]
    elements: int
    files: int


def codes() -> dict[str, str]:
    """All rules: the code name of each, and what it asks for."""
    rules = {**FILE_RULES, **ELEMENT_RULES, **COMBINATION_RULES}
    return {code: (rules[code].__doc__ or "").strip() for code in sorted(rules)}


def lint(
    places: Sequence[Path],
    names: Sequence[str] = (),
    *,
    elements_path: Sequence[Path] = (),
    combinations: Iterable[Sequence[str]] = (),
) -> Report:
    """Look at elements: each place is a directory that holds some, is one, or is a repository with ``elements/``; or a
    file of an element, which alone counts then. ``names`` are those of elements that builds find.

    They may depend on each other, on what is on ``elements_path``, and on the built-in elements. ``combinations`` are
    what a build would be asked for. Raises ElementError for a place without elements and for a
    combination that does not resolve, FileError for an element-deps that is no text.
    """
    chosen = [_choose(place.resolve()) for place in places]
    catalog = Catalog.load([*dict.fromkeys(one.parent for one in chosen), *elements_path])
    findings: set[Finding] = set()
    elements: set[Path] = set()
    files: set[Path] = set()
    for one in (*chosen, *(_choose_name(name, catalog) for name in names)):
        off = ignored_codes(one.parent)
        seen = {element: list(files_of(element)) for element in one.elements}
        ignored = ignored_by_git(one.parent, (file.path for group in seen.values() for file in group))
        for element, group in seen.items():
            kept = [file for file in group if file.path not in ignored or file.path == one.file]
            found = _look_at(Subject(element, kept, catalog))
            findings.update(f for f in found if f.code not in off and one.file in (None, f.path))
            files.update(file.path for file in kept if one.file in (None, file.path))
            elements.add(element.path)
    for combination in combinations:
        findings.update(_look_at_combination(catalog, combination))
    return Report(tuple(sorted(findings)), len(elements), len(files))


@dataclass(frozen=True)
class _Chosen:
    """Elements that are looked at and the directory that they are in; with ``file`` only that one's findings count."""

    parent: Path
    elements: tuple[Element, ...]
    file: Path | None = None


def _choose(place: Path) -> _Chosen:
    if place.is_file():
        return _choose_file(place)
    if not place.is_dir():
        raise ElementError(f"'{place}' is not there", hint="lint takes directories that hold elements, and their files")
    if _is_marked(place):
        return _Chosen(place.parent, (Element(place.name, place),))
    if (place / "elements").is_dir():
        return _choose(place / "elements")
    found = tuple(Element(path.name, path) for path in sorted(place.iterdir()) if _is_element(path))
    if not found:
        raise ElementError(f"there are no elements in '{place}'", hint="an element is a directory with hooks")
    return _Chosen(place, found)


def _choose_file(file: Path) -> _Chosen:
    # the outermost: what an element puts into a guest may look like one
    place = next((directory for directory in reversed(file.parents) if _is_marked(directory)), None)
    if place is None:
        raise ElementError(f"'{file}' is in no element", hint="an element is a directory with hooks")
    element = Element(place.name, place)
    if file not in [one.path for one in files_of(element)]:
        raise ElementError(f"lint does not look at '{file}'", where=str(place))
    return _Chosen(place.parent, (element,), file)


def _choose_name(name: str, catalog: Catalog) -> _Chosen:
    element = catalog.get(name)
    if element is None:
        raise ElementError(f"'{name}' is neither here nor an element", hint=hint_for_unknown(catalog, name))
    return _Chosen(element.path.parent, (element,))


def _is_marked(directory: Path) -> bool:
    return any((directory / mark).exists() for mark in _MARKS)


def _is_element(path: Path) -> bool:
    return path.is_dir() and not path.name.startswith((".", "__"))


def _look_at(subject: Subject) -> Iterable[Finding]:
    disabled = {file.path: file.disabled for file in subject.files}
    for file in subject.files:
        yield from _look_at_file(file)
    for code, check in ELEMENT_RULES.items():
        for path, line, message in check(subject):
            if code not in disabled.get(path, ()):
                yield Finding(path, line, code, message)


def _look_at_file(file: File) -> Iterable[Finding]:
    for code, check in FILE_RULES.items():
        if code not in file.disabled:
            for line, message in check(file):
                yield Finding(file.path, line, code, message)


def _look_at_combination(catalog: Catalog, names: Sequence[str]) -> Iterable[Finding]:
    asked_for = requested_names(Settings(elements=tuple(names)), catalog)
    resolution = resolve(catalog, asked_for, require_os=False)
    for code, check in COMBINATION_RULES.items():
        for path, line, message in check(resolution):
            yield Finding(path, line, code, message)
