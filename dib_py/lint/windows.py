"""Rules for declarative files for Windows: what planning an image would refuse, found without an image.

Their variables have the values that environment.d gives them by default, as far as a plain text says so; and, so that
both outcomes of a condition are seen, then what makes every condition hold.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from dib_py.element import DEPS_FILE, WINDOWS, Element
from dib_py.errors import DibError, FileError, nearest
from dib_py.lint.declarations import valid_yaml
from dib_py.lint.registry import Subject, element_rule
from dib_py.phases import BY_DIRECTORY, EXTRA_DATA
from dib_py.resolve import hint_for_unknown
from dib_py.windows import declarations, kinds
from dib_py.windows.declarations import Declaration
from dib_py.windows.supposed import Supposed
from dib_py.windows.templating import Missing
from dib_py.windows.yaml_node import count_items

_NUMBERED = frozenset({"registry.d", "unattend.d"})  # firstboot.d's own room refuses what has none
_OWN_DEPS = f"{DEPS_FILE}.{WINDOWS}"
_BY_STEM = {place.rpartition(".")[0]: place for place in kinds.UNMISTAKABLE} | {_OWN_DEPS: _OWN_DEPS}
_KNOWN = frozenset({*_BY_STEM.values(), *BY_DIRECTORY, "files", DEPS_FILE, "element-provides", "package-installs.yaml"})
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
    told = {file.path for file in subject.files if any(valid_yaml(file))}  # of these the rule for YAML tells
    for declaration in found:
        if declaration.path in told:
            continue
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


@element_rule("windows-name")
def names(subject: Subject) -> Iterator[tuple[Path, int, str]]:
    """What an element for Windows has is called as it is looked for; files of its directories begin with a number."""
    element = subject.element
    if not (element.declares or element.os_family == WINDOWS or not element.phase_dirs):
        return
    for file in subject.files:
        directory, name = file.directory, file.path.name
        if directory in _NUMBERED and len(file.relative.parts) == 2 and not re.match(r"\d+-", name):
            yield file.path, 1, f"has no number, which says when its turn is: {directory} has files NN-name"
    for name in sorted({file.relative.parts[0] for file in subject.files} - _KNOWN):
        is_file = (element.path / name).is_file()
        alike = [_BY_STEM[stem] for stem in nearest(name.rpartition(".")[0] or name, _BY_STEM)]
        meant = next((place for place in alike if place.endswith(".d") != is_file), "")
        if meant:
            yield element.path / name, 1, f"nothing looks for {name}: is {meant} meant?"


@element_rule("windows-hook")
def hooks_beside(subject: Subject) -> Iterator[tuple[Path, int, str]]:
    """An element with declarative files has hooks for the guest only if it is for Linux too, and says so."""
    element = subject.element
    if not element.declares or _OWN_DEPS in element.declares:
        return
    for name, path in element.phase_dirs.items():
        if name != EXTRA_DATA.directory:
            both = f"an element that is for Linux too has a file {_OWN_DEPS}, which may be empty"
            yield path, 1, f"hooks never run in a Windows image; {both}"


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
