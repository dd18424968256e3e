"""YAML files of Windows elements: nodes that know their line, with variables filled in and ``when`` decided.

Scalars stay the text that the author wrote, so that ``010``, ``no`` and ``2.10`` mean what whoever reads the node makes
of them. Any mapping may have ``when`` as in package-installs; where it does not hold, the mapping is as if not written.
With variables that are :class:`~dib_py.windows.supposed.Supposed` all hold, and text is an error only where it is read.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from dib_py.errors import FileError, nearest
from dib_py.packages.declarations import Document, read_yaml
from dib_py.packages.package_installs import conditions_hold, malformed
from dib_py.windows.supposed import Supposed
from dib_py.windows.templating import Missing, Template

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_NUMBER = re.compile(r"0[xX][0-9a-fA-F]+|\d+")
_FLAGS = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}
_WHEN = "when"
_MOST_NODES = 100_000  # aliases can make a small file unbounded
_DEEPEST = 40


@dataclass(frozen=True)
class Node:
    """A value of a file: text, nothing (None), a list or a mapping, which keeps the order of the file.

    Text with a variable that nobody knows is the error that reading it raises.
    """

    path: Path
    line: int
    value: str | tuple[Node, ...] | Mapping[str, Node] | Missing | None

    def error(self, message: str, hint: str = "") -> FileError:
        return FileError(self.path, message, line=self.line, hint=hint)

    def mapping(self, known: Collection[str] = (), *, needs: Collection[str] = ()) -> Mapping[str, Node]:
        """The entries of a mapping, whose keys must be among ``known`` if given, and have those it ``needs``."""
        self._refuse_missing()
        if not isinstance(self.value, Mapping):
            keys = ", ".join(known or needs)
            raise self.error(f"must be a mapping, not {self._shape}", hint=f"its keys are {keys}" if keys else "")
        for key, node in self.value.items():
            if known and key not in known:
                meant = nearest(key, known)
                hint = f"is {' or '.join(meant)} meant?" if meant else f"known are {', '.join(known)}"
                raise node.error(f"unknown key {key}", hint=hint)
        for key in needs:
            if key not in self.value:
                raise self.error(f"{key} is missing")
        return self.value

    def sequence(self) -> tuple[Node, ...]:
        """The items of a list."""
        self._refuse_missing()
        if not isinstance(self.value, tuple):
            raise self.error(f"must be a list, not {self._shape}")
        return self.value

    def text(self) -> str:
        self._refuse_missing()
        if not isinstance(self.value, str):
            raise self.error(f"must be text, not {self._shape}")
        return self.value

    def number(self, highest: int = 0xFFFFFFFF) -> int:
        """A whole number from zero, decimal or hexadecimal after ``0x``."""
        text = self.text()
        if not _NUMBER.fullmatch(text):
            raise self.error(f"must be a number, not {text!r}", hint="decimal, or hexadecimal after 0x")
        found = int(text, 16 if text[:2] in ("0x", "0X") else 10)
        if found > highest:
            raise self.error(f"{text} is too large; the largest is {highest}")
        return found

    def flag(self) -> bool:
        """A yes or no, in the spellings of YAML, or 1 and 0."""
        found = _FLAGS.get(self.text().lower())
        if found is None:
            raise self.error(f"must be true or false, not {self.value!r}")
        return found

    def _refuse_missing(self) -> None:
        if isinstance(self.value, Missing):
            raise self.value

    @property
    def is_nothing(self) -> bool:
        return self.value is None

    @property
    def _shape(self) -> str:
        if self.value is None:
            return "nothing"
        if isinstance(self.value, tuple):
            return "a list"
        return "a mapping" if isinstance(self.value, Mapping) else "text"


def count_items(path: Path) -> int:
    """How many items a file has that is a list; 1 for any other, and for what can't be read."""
    try:
        root = yaml.compose(read_yaml(path).text, _Loader)
    except (FileError, yaml.YAMLError, ValueError):
        return 1
    return len(root.value) if isinstance(root, yaml.SequenceNode) else 1


def read(path: Path, variables: Mapping[str, str]) -> Node:
    """The one document of a file; FileError with the line for what is no YAML, or names a variable that is not set."""
    document = read_yaml(path)
    try:
        root = yaml.compose(document.text, _Loader)
    except (yaml.YAMLError, ValueError) as error:  # read_yaml accepted it
        raise FileError(path, f"is not valid YAML: {error}") from error
    if root is None:
        return Node(path, 1, None)
    _refuse_cycles(path, root, ())
    found = _Reader(document, variables).node(root, ())
    return Node(path, 1, None) if found is None else found


class _Reader:
    def __init__(self, document: Document, variables: Mapping[str, str]) -> None:
        self._document = document
        self._variables = variables
        self._count = 0

    def node(self, node: yaml.Node, place: tuple[Any, ...]) -> Node | None:
        """None for a mapping whose ``when`` does not hold; ``place`` is where it stands, as keys and indices."""
        path, line = self._document.path, node.start_mark.line + 1
        self._count += 1
        if self._count > _MOST_NODES:
            raise FileError(path, "is too large, or refers to itself", line=line)
        if isinstance(node, yaml.MappingNode):
            entries = self._mapping(node, place)
            return None if entries is None else Node(path, line, entries)
        if isinstance(node, yaml.SequenceNode):
            items = [self.node(item, (*place, index)) for index, item in self._chosen(node, place)]
            return Node(path, line, tuple(item for item in items if item is not None))
        if node.tag == "tag:yaml.org,2002:null":
            return Node(path, line, None)
        return Node(path, line, self._filled(node.value, line))

    def _chosen(self, node: yaml.SequenceNode, place: tuple[Any, ...]) -> list[tuple[int, yaml.Node]]:
        items = list(enumerate(node.value))
        return items[self._variables.item :][:1] if isinstance(self._variables, Supposed) and not place else items

    def _filled(self, text: str, line: int) -> str | Missing:
        try:
            return Template(self._document.path, self._variables, line).fill(text)
        except Missing as error:
            if isinstance(self._variables, Supposed):
                return error
            raise

    def _mapping(self, node: yaml.MappingNode, place: tuple[Any, ...]) -> dict[str, Node] | None:
        outside = self._variables
        if not self._holds(node, place):
            return None
        try:
            return self._entries(node, place)
        finally:
            self._variables = outside

    def _entries(self, node: yaml.MappingNode, place: tuple[Any, ...]) -> dict[str, Node]:
        entries: dict[str, Node] = {}
        for key, value in node.value:
            path, line = self._document.path, key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode):
                raise FileError(path, "a key must be text", line=line)
            if key.value == _WHEN:
                continue
            name = Template(path, self._variables, line).fill(key.value)
            if name in entries:
                raise FileError(path, f"{name} is there twice", line=line)
            below = self.node(value, (*place, key.value))
            if below is not None:
                entries[name] = Node(path, line, below.value)
        return entries

    def _holds(self, node: yaml.MappingNode, place: tuple[Any, ...]) -> bool:
        """Whether the mapping's ``when`` does; what is only supposed does from here on."""
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value == _WHEN:
                what, there, statements = self._what(place), (*place, _WHEN), _statements(value)
                if not isinstance(self._variables, Supposed):
                    return conditions_hold(self._document, what, there, statements, self._variables)
                for error in malformed(self._document, what, there, statements):
                    raise error
                self._variables = self._variables.where([statements] if isinstance(statements, str) else statements)
        return True

    def _what(self, place: tuple[Any, ...]) -> str:
        return ".".join(str(part) for part in place) or "this file"


def _refuse_cycles(path: Path, node: yaml.Node, above: tuple[int, ...]) -> None:
    if id(node) in above or len(above) > _DEEPEST:
        raise FileError(path, "is nested too deeply, or refers to itself", line=node.start_mark.line + 1)
    if isinstance(node, yaml.CollectionNode) and not isinstance(node, yaml.ScalarNode):
        for item in node.value:
            for below in item if isinstance(item, tuple) else (item,):
                _refuse_cycles(path, below, (*above, id(node)))


def _statements(node: yaml.Node) -> Any:
    """What stands under ``when``, as the author wrote it."""
    if isinstance(node, yaml.SequenceNode):
        return [item.value for item in node.value]
    return node.value
