r"""``requires.yaml``: what an image has to be, and variables have to hold, for an element's other files to make sense.

::

    - generalized: true                  # sysprep /generalize /oobe was the last that ran; false: it was not
      because: a template must be generalized
      remedy: run sysprep /generalize /oobe /shutdown in it
    - server: true
    - architectures: [amd64, arm64]
    - least-version: 10.0                # of NT: 6.2 is Windows 8, 6.3 is 8.1
    - exists: '%SystemRoot%\System32\Sysprep\sysprep.exe'
    - absent: C:\Windows.old
    - variable: DIB_TIMEZONE             # if it is set and not empty
      form: time-zone                    # addresses, computer-name, keyboard, locale, product-key, time-zone
    - variable: DIB_CITY
      matches: '[A-Z]{3}'                # a regular expression for all of it
      remedy: three capitals, as in ZRH

Each entry is looked at before anything is changed, variables already when the plan is made. ``because`` and ``remedy``
are told where it does not hold.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from dib_py.secrets import is_secret
from dib_py.windows import placing, refusals
from dib_py.windows.refusals import Refusal
from dib_py.windows.variable_forms import FORMS
from dib_py.windows.yaml_node import Node, read

if TYPE_CHECKING:
    from dib_py.windows.installation import Installation

_TOLD = ("because", "remedy")
_VARIABLE = "variable"


@dataclass(frozen=True)
class Requirement:
    """One condition: ``kind`` is its key and ``value`` what stands there, in the form that ``_HOLDS`` takes."""

    kind: str
    value: tuple[str, ...]
    because: str = ""
    remedy: str = ""


@dataclass(frozen=True)
class Requirements:
    path: Path = field(compare=False)
    requirements: tuple[Requirement, ...] = ()


def parse(path: Path, variables: Mapping[str, str]) -> Requirements:
    """What ``requires.yaml`` asks of an image; FileError with the line for what is wrong, also with a variable."""
    root = read(path, variables)
    requirements = []
    for node in () if root.is_nothing else root.sequence():
        if _VARIABLE in node.mapping():
            _check_variable(node, variables)
        else:
            requirements.append(_requirement(node))
    return Requirements(path, tuple(requirements))


def check(wanted: Requirements, guest: Installation) -> None:
    """BaseError with all that the image is not."""
    element = wanted.path.parent.name
    refusals.refuse(
        Refusal(one.because or f"the element {element} needs {_shown(one)}", one.remedy or "choose another image")
        for one in wanted.requirements
        if not _HOLDS[one.kind](one.value, guest)
    )


def apply(wanted: Requirements, guest: Installation) -> None:
    """Nothing: all of it was checked."""


def _shown(one: Requirement) -> str:
    return f"{one.kind}: {', '.join(one.value)}"


def _is_generalized(value: tuple[str, ...], guest: Installation) -> bool:
    return guest.facts.is_generalized == (value == ("true",))


def _is_server(value: tuple[str, ...], guest: Installation) -> bool:
    return guest.facts.generation.server == (value == ("true",))


def _is_of_architecture(value: tuple[str, ...], guest: Installation) -> bool:
    return guest.facts.architecture in value


def _is_new_enough(value: tuple[str, ...], guest: Installation) -> bool:
    return guest.facts.generation.version >= tuple(map(int, value[0].split(".")))


def _exists(value: tuple[str, ...], guest: Installation) -> bool:
    return guest.volume.exists(placing.in_guest(value[0], guest))


def _is_absent(value: tuple[str, ...], guest: Installation) -> bool:
    return not _exists(value, guest)


_HOLDS: Mapping[str, Callable[[tuple[str, ...], Installation], bool]] = {
    "generalized": _is_generalized,
    "server": _is_server,
    "architectures": _is_of_architecture,
    "least-version": _is_new_enough,
    "exists": _exists,
    "absent": _is_absent,
}


def _requirement(node: Node) -> Requirement:
    entries = node.mapping((*_HOLDS, *_TOLD, _VARIABLE))
    kinds = [kind for kind in _HOLDS if kind in entries]
    if len(kinds) != 1:
        known = ", ".join((*_HOLDS, _VARIABLE))
        raise node.error(f"one condition each, not {' and '.join(kinds) or 'none'}", hint=known)
    [kind] = kinds
    told = {name: entries[name].text() for name in _TOLD if name in entries}
    return Requirement(kind, _value(kind, entries[kind]), told.get("because", ""), told.get("remedy", ""))


def _value(kind: str, node: Node) -> tuple[str, ...]:
    if kind in ("generalized", "server"):
        return (str(node.flag()).lower(),)
    if kind == "architectures":
        return tuple(item.text() for item in node.sequence())
    if kind == "least-version":
        if not re.fullmatch(r"\d{1,3}\.\d{1,3}", node.text()):
            raise node.error(f"{node.value!r} is no version of NT", hint="6.2 is Windows 8, 10.0 is Windows 10")
        return (node.text(),)
    return (placing.normal_path(node.text(), node.path, node.line),)


def _check_variable(node: Node, variables: Mapping[str, str]) -> None:
    """FileError for a variable that holds what it can't."""
    entries = node.mapping((_VARIABLE, "form", "matches", *_TOLD))
    name = entries[_VARIABLE].text()
    remedy = entries["remedy"].text() if "remedy" in entries else ""
    if ("form" in entries) == ("matches" in entries):
        raise node.error("either form or matches says what a variable may hold")
    value = variables.get(name, "")
    if "form" in entries:
        what, advice = _form(entries["form"], value)
    else:
        what, advice = _match(entries["matches"], value)
    if value and advice:
        shown = "" if is_secret(name) else f" '{value}',"
        because = f": {entries['because'].text()}" if "because" in entries else ""
        raise node.error(f"{name} is{shown} not {what}{because}", hint=remedy or advice)


def _form(node: Node, value: str) -> tuple[str, str]:
    """What is wanted, and what is to be told of a value that is something else."""
    form = FORMS.get(node.text())
    if form is None:
        raise node.error(f"{node.value!r} is no form", hint=f"there are {', '.join(FORMS)}")
    return form.what, form.advice(value)


def _match(node: Node, value: str) -> tuple[str, str]:
    try:
        holds = re.fullmatch(node.text(), value) is not None
    except re.error as error:
        raise node.error(f"{node.value!r} is no regular expression: {error}") from error
    return "what the element can use", "" if holds else f"it has to match {node.text()}"
