"""Which packages a package manager did not know: read from what it printed, in the words of each of them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from dib_py.packages.lists import Packages

_QUOTE = "['\"\u2018\u2019]?"
_COMPLAINTS = (
    re.compile(
        rf"E: Unable to locate package (\S+)|E: Package {_QUOTE}([^'\s]+){_QUOTE} has no installation candidate"
    ),
    re.compile(r"E: Couldn't find any package by (?:glob|regex) '([^']+)'"),
    re.compile(r"No match for argument: (\S+)|No package (\S+) available"),  # dnf, yum
    re.compile(r"(?:'([^']+)' not found in package names|No provider of '([^']+)' found)"),  # zypper
    re.compile(r"^\s*(\S+) \(no such package\)"),  # apk
    re.compile(r"error: target not found: (\S+)"),  # pacman
)


def unknown_packages(lines: Iterable[str]) -> list[str]:
    """The names that no repository had, in the order in which they were told, each once."""
    found = (name for line in lines for pattern in _COMPLAINTS for name in _names(pattern, line))
    return list(dict.fromkeys(found))


def _names(pattern: re.Pattern[str], line: str) -> Iterator[str]:
    plain = re.sub(r"\x1b\[[0-9;]*m", "", line)
    for match in pattern.finditer(plain):
        yield next(group for group in match.groups() if group)


def explain_unknown(lines: Iterable[str], packages: Packages, asked: Mapping[str, str]) -> str:
    """One clause for the message of a step that failed; empty where no package was unknown.

    ``asked`` says who wanted a package that no element declares.
    """
    told = [f"{name}{_who(name, packages, asked)}" for name in unknown_packages(lines)]
    if not told:
        return ""
    return f"there is no package {told[0]}" if len(told) == 1 else f"there are no packages {', '.join(told)}"


def _who(name: str, packages: Packages, asked: Mapping[str, str]) -> str:
    elements = sorted({element for slot in packages.slots.values() for element in slot.get(name, ())})
    if elements:
        return f" ({' and '.join(elements)} {'asks' if len(elements) == 1 else 'ask'} for it)"
    return f" ({asked[name]})" if name in asked else ""
