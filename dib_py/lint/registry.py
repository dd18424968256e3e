"""The rules by their code names; each is a small function that yields what it finds.

A rule looks at one file, at one element, or at a combination of elements that go into one image. Its docstring is
what the documentation says about it. Codes are those of diskimage-builder's ``dib-lint`` where it has the check, so
that the exclusions in existing elements hold.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from dib_py.element import Catalog, Element
from dib_py.lint.sources import File
from dib_py.resolve import Resolution


@dataclass(frozen=True, order=True)
class Finding:
    """Something wrong; ``line`` counts from 1, and is 1 where the whole file is meant."""

    path: Path
    line: int
    code: str
    message: str


@dataclass(frozen=True)
class Subject:
    """An element with its files, among the elements that it can depend on."""

    element: Element
    files: Sequence[File]
    catalog: Catalog


FileCheck = Callable[[File], Iterable[tuple[int, str]]]  # line and message
PlacedCheck = Iterable[tuple[Path, int, str]]
ElementCheck = Callable[[Subject], PlacedCheck]
CombinationCheck = Callable[[Resolution], PlacedCheck]

FILE_RULES: dict[str, FileCheck] = {}
ELEMENT_RULES: dict[str, ElementCheck] = {}
COMBINATION_RULES: dict[str, CombinationCheck] = {}


def file_rule(code: str) -> Callable[[FileCheck], FileCheck]:
    """Register a check of one file."""

    def register(check: FileCheck) -> FileCheck:
        FILE_RULES[code] = check
        return check

    return register


def element_rule(code: str) -> Callable[[ElementCheck], ElementCheck]:
    """Register a check of one element."""

    def register(check: ElementCheck) -> ElementCheck:
        ELEMENT_RULES[code] = check
        return check

    return register


def combination_rule(code: str) -> Callable[[CombinationCheck], CombinationCheck]:
    """Register a check of elements that go into one image."""

    def register(check: CombinationCheck) -> CombinationCheck:
        COMBINATION_RULES[code] = check
        return check

    return register
