"""Rules for how an element is laid out: its README, names, modes, and the ends of its files."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from dib_py.element import is_environment_name
from dib_py.hooks import ALLOWED_NAMES
from dib_py.lint.registry import Subject, element_rule, file_rule
from dib_py.lint.sources import File

_TAB = re.compile(r"^ *\t")


@element_rule("readme")
def readme(subject: Subject) -> Iterator[tuple[Path, int, str]]:
    """An element has a README.rst, which says what it does, its variables and what it needs."""
    path = subject.element.path / "README.rst"
    if not path.is_file():
        yield path, 1, "the element has no README.rst"


@element_rule("mddocs")
def markdown(subject: Subject) -> Iterator[tuple[Path, int, str]]:
    """Documentation is reStructuredText, from which the element reference is made."""
    for file in subject.files:
        if file.path.suffix == ".md":
            yield file.path, 1, "is Markdown: documentation of elements is reStructuredText"


@file_rule("executable")
def executable(file: File) -> Iterator[tuple[int, str]]:
    """A script, and whatever has the name of a hook, is executable; a hook that is not is skipped silently."""
    if file.is_executable or file.is_environment:
        return
    if file.interpreter:
        yield 1, "begins with #! but is not executable"
    elif file.is_in_phase and re.match(r"[0-9]+-", file.path.name) and re.search(ALLOWED_NAMES, file.path.name):
        yield 1, "has the name of a hook but is not executable, so it is skipped"


@file_rule("hook-name")
def hook_name(file: File) -> Iterator[tuple[int, str]]:
    """A hook's name has only letters, digits, ``_`` and ``-`` (in environment.d also dots); others are skipped."""
    name = file.path.name
    if file.is_in_phase and file.is_executable and not re.search(ALLOWED_NAMES, name):
        yield 1, f"is executable but never runs: {_offenders(name, ALLOWED_NAMES)} in its name"
    if file.is_environment and len(file.relative.parts) == 2 and not is_environment_name(name):
        yield 1, "is never sourced: its name has other characters than letters, digits, '_', '.' and '-'"


def _offenders(name: str, allowed: str) -> str:
    return " and ".join(repr(letter) for letter in dict.fromkeys(name) if not re.search(allowed, letter))


@file_rule("env-executable")
def environment_executable(file: File) -> Iterator[tuple[int, str]]:
    """A file of environment.d is not executable: it is sourced."""
    if file.is_environment and file.is_executable:
        yield 1, "an environment file is sourced, so it must not be executable"


@file_rule("tabindent")
def tabs(file: File) -> Iterator[tuple[int, str]]:
    """Scripts and documentation are not indented with tabs."""
    if file.path.suffix == ".rst" or file.is_executable:
        numbers = [number for number, line in enumerate(file.lines, start=1) if _TAB.match(line)]
        if numbers:
            further = f", as {len(numbers) - 1} more of its lines" if len(numbers) > 1 else ""
            yield numbers[0], f"is indented with tabs{further}"


@file_rule("newline")
def newline(file: File) -> Iterator[tuple[int, str]]:
    """Scripts, documentation and source-repository files end with a newline; without it a last line can be lost."""
    checked = file.path.suffix == ".rst" or file.is_executable or file.path.name.startswith("source-repository-")
    if checked and file.is_text and file.content and not file.content.endswith(b"\n"):
        yield len(file.lines), "has no newline at its end"
