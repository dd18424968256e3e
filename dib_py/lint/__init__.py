"""What is wrong with elements, found without running any of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from dib_py.element import Catalog, Element
from dib_py.errors import ElementError
from dib_py.lint import declarations, dependencies, layout, scripts
from dib_py.lint.exclusions import ignored_by_git, ignored_codes
from dib_py.lint.registry import COMBINATION_RULES, ELEMENT_RULES, FILE_RULES, Finding, Subject
from dib_py.lint.sources import File, files_of
from dib_py.phases import BY_DIRECTORY
from dib_py.resolve import requested_names, resolve
from dib_py.settings import Settings

__all__ = ["Finding", "Report", "codes", "lint"]

# the modules that hold rules; importing them is what registers these
RULES = (declarations, dependencies, layout, scripts)

_MARKS = frozenset({*BY_DIRECTORY, "element-deps", "element-provides", "environment.d", "package-installs.yaml"})


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
    directories: Sequence[Path], *, elements_path: Sequence[Path] = (), combinations: Iterable[Sequence[str]] = ()
) -> Report:
    """Look at all elements in ``directories``: each holds elements, is one, or is a repository with ``elements/``.

    They may depend on each other, on what is on ``elements_path``, and on the built-in elements. ``combinations`` are
    what a build would be asked for. Raises ElementError for a directory without elements and for a
    combination that does not resolve, FileError for an element-deps that is no text.
    """
    collections = [_collection(directory) for directory in directories]
    catalog = Catalog.load([*dict.fromkeys(parent for parent, _ in collections), *elements_path])
    findings: set[Finding] = set()
    files = 0
    names = []
    for parent, found in collections:
        off = ignored_codes(parent)
        seen = {element: list(files_of(element)) for element in found}
        ignored = ignored_by_git(parent, (file.path for group in seen.values() for file in group))
        for element, group in seen.items():
            kept = [file for file in group if file.path not in ignored]
            findings.update(f for f in _look_at(Subject(element, kept, catalog)) if f.code not in off)
            files += len(kept)
            names.append(element.name)
    for combination in combinations:
        findings.update(_look_at_combination(catalog, combination))
    return Report(tuple(sorted(findings)), len(names), files)


def _collection(directory: Path) -> tuple[Path, list[Element]]:
    """The directory in which an element, or several, are found, and these."""
    directory = directory.resolve()
    if not directory.is_dir():
        raise ElementError(f"'{directory}' is not a directory", hint="lint takes directories that hold elements")
    if any((directory / mark).exists() for mark in _MARKS):
        return directory.parent, [Element(directory.name, directory)]
    if (directory / "elements").is_dir():
        return _collection(directory / "elements")
    found = [Element(path.name, path) for path in sorted(directory.iterdir()) if _is_element(path)]
    if not found:
        raise ElementError(f"there are no elements in '{directory}'", hint="an element is a directory with hooks")
    return directory, found


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
