"""Variables in the declarative files of Windows elements: ``${DIB_NAME}``; ``:-default``, ``:+text``, ``:?text`` in it.

Only names that begin with ``DIB_`` are meant; any other ``${...}`` belongs to whoever reads the file in the guest.
``$${DIB_NAME}`` is the text ``${DIB_NAME}``. As in the shell, a default also stands in for an empty variable, and
``text`` is there only if the variable holds something; after ``:?`` it is what a user is told to do who has not set it.
Each may be empty and may itself hold variables. Without them a variable must be set.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dib_py.errors import FileError, nearest
from dib_py.windows.supposed import Supposed

_NAME = re.compile(r"\bDIB_[A-Za-z0-9_]+")
_OPENING = re.compile(r"(?P<dollars>\$+)\{(?P<name>DIB_[A-Za-z0-9_]+)(?P<next>:[-+?]|\}|)")
_DEEPEST = 8  # defaults within defaults


def names(content: str | bytes) -> frozenset[str]:
    """The variables that a file names in any way: in substitutions, in ``when``, in scripts."""
    text = content.decode("utf-8", errors="replace") if isinstance(content, bytes) else content
    if isinstance(content, bytes) and b"\0" in content:  # UTF-16, as regedit writes it
        text += content.replace(b"\0", b"").decode("utf-8", errors="replace")
    return frozenset(_NAME.findall(text))


def holder(file: Path, text: str, variables: Mapping[str, str]) -> str:
    """The variable that holds what stands in a file, of those that it names; empty where the text is the file's own."""
    return next((name for name in sorted(names(file.read_bytes())) if text and variables.get(name) == text), "")


def literal(text: str) -> str:
    """How text is written that has what looks like a variable in it."""
    return re.sub(r"(\$+\{DIB_)", r"$\1", text)


def is_unicode(value: str) -> bool:
    """Whether a variable's value can be written: it may be bytes that are no UTF-8."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


class Missing(FileError):
    """What a file needs from outside is not there: a variable that has no default, or a file of this machine."""


@dataclass(frozen=True)
class Template:
    """Where text stands, and what is put into it; ``line`` is where the text begins."""

    path: Path
    variables: Mapping[str, str]
    line: int | None = None

    def fill(self, text: str) -> str:
        """``text`` with variables replaced by what they hold; FileError for one that is not set."""
        return self._fill(text, 0)

    def _fill(self, text: str, depth: int) -> str:
        filled: list[str] = []
        position = 0
        while (match := _OPENING.search(text, position)) is not None:
            filled.append(text[position : match.start()])
            if match["dollars"] != "$":
                filled.append(f"{match['dollars'][1:]}{{{match['name']}{match['next']}")
                position = match.end()
                continue
            line = None if self.line is None else self.line + text.count("\n", 0, match.start())
            if not match["next"]:
                raise FileError(
                    self.path,
                    f"malformed variable: {text[match.start() : match.end() + 10].splitlines()[0]}",
                    line=line,
                    hint="${DIB_NAME}, ${DIB_NAME:-default}, ${DIB_NAME:+text} or ${DIB_NAME:?text}",
                )
            if isinstance(self.variables, Supposed) and match["name"] in self.variables.unknown:
                raise Missing(self.path, f"variable {match['name']} may hold anything", line=line)
            other, position = None, match.end()
            if match["next"] != "}":
                end = _closing(text, match.end())
                if end is None or depth == _DEEPEST:
                    raise FileError(self.path, f"${{{match['name']}{match['next']} has no closing brace", line=line)
                other, position = text[match.end() : end], end + 1
            is_set = bool(self.variables.get(match["name"]))
            if match["next"] == ":?" and not is_set:
                told = Template(self.path, self.variables, line)._fill(other or "", depth + 1)
                raise Missing(self.path, f"variable {match['name']} is not set", line=line, hint=told)
            if match["next"] == ":+":
                filled.append(Template(self.path, self.variables, line)._fill(other or "", depth + 1) if is_set else "")
            else:
                filled.append(self._value(match["name"], other, line, depth))
        return "".join(filled) + text[position:]

    def _value(self, name: str, default: str | None, line: int | None, depth: int) -> str:
        value = self.variables.get(name)
        if value is None and default is None:
            meant = nearest(name, (known for known in self.variables if known.startswith("DIB_")))
            similar = f"; is {' or '.join(meant)} meant?" if meant else ""
            raise Missing(
                self.path,
                f"variable {name} is not set",
                line=line,
                hint=f"export {name}=..., or write ${{{name}:-default}}{similar}",
            )
        if value and not is_unicode(value):
            raise FileError(self.path, f"variable {name} holds what is no UTF-8 text", line=line)
        if value or default is None:
            return value or ""
        return Template(self.path, self.variables, line)._fill(default, depth + 1)


def _closing(text: str, start: int) -> int | None:
    """Where the brace stands that closes a default which begins at ``start``."""
    depth = 0
    for position in range(start, len(text)):
        if text.startswith("${", position):
            depth += 1
        elif text[position] == "}":
            if depth == 0:
                return position
            depth -= 1
    return None
