"""Rules for declarative files for Windows: what planning an image would refuse, found without an image.

Their variables have the values that environment.d gives them by default, as far as a plain text says so; and, so that
both outcomes of a condition are seen, then what makes every condition hold.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from dib_py.element import DEPS_FILE, WINDOWS, Element
from dib_py.errors import DibError, FileError
from dib_py.lint.registry import Subject, element_rule
from dib_py.resolve import hint_for_unknown
from dib_py.windows import declarations
from dib_py.windows.declarations import Declaration
from dib_py.windows.supposed import Supposed
from dib_py.windows.templating import Missing
from dib_py.windows.yaml_node import count_items

# export NAME=${NAME:-value}, : "${NAME:=value}"
_DEFAULT = re.compile(r"\$\{(\w+):?[-=]([^${}`]*)\}")


@element_rule("windows-file")
def declarative_files(subject: Subject) -> Iterator[tuple[Path, int, str]]:
    """A declarative file for Windows can be applied, as far as that can be told without its variables."""
    element = subject.element
    if not element.declares and element.phase_dirs:
        return  # "files" may be for its hooks
    try:
        found = declarations.find([element])
    except FileError as error:
        yield error.path, error.line or 1, error.message
        return
    variables = _defaults(element)
    for declaration in found:
        # with the defaults, then what stands below conditions that do not hold with them
        items = count_items(declaration.path) if declaration.path.suffix == ".yaml" else 1
        for given in (variables, *(Supposed(variables, item) for item in range(items))):
            yield from _wrong(declaration, given)


def _wrong(declaration: Declaration, variables: Mapping[str, str]) -> Iterator[tuple[Path, int, str]]:
    try:
        declaration.room.parse(declaration.path, variables)
    except Missing:
        return  # what has no default is for the user to give
    except FileError as error:
        yield error.path, error.line or 1, error.message
    except DibError as error:
        yield declaration.path, 1, error.message


@element_rule("windows-dependency")
def dependencies(subject: Subject) -> Iterator[tuple[Path, int, str]]:
    """Each name in element-deps.windows is an element that can be seen, or provided by one."""
    path = subject.element.path / f"{DEPS_FILE}.{WINDOWS}"
    if not path.is_file():
        return
    for line, text in enumerate(path.read_text(errors="replace").splitlines(), 1):
        name = text.strip()
        if name and name not in subject.catalog and not subject.catalog.providers(name):
            yield path, line, f"unknown element '{name}': {hint_for_unknown(subject.catalog, name)}"


def _defaults(element: Element) -> dict[str, str]:
    """The plain values that its environment.d gives to variables that nobody set."""
    found: dict[str, str] = {}
    for path in element.environment_files:
        for name, value in _DEFAULT.findall(path.read_text(errors="replace")):
            found.setdefault(name, value.strip("\"'"))
    return found
