"""JSON and YAML files of elements, read so that an error can name file and line."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from dib_py.errors import FileError

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True)
class Document:
    """What a file holds: its data, and its text for the day when somebody must be shown a place in it."""

    path: Path
    data: Any
    text: str

    def error(self, message: str, *place: Any, hint: str = "") -> FileError:
        """The error for what stands at ``place`` (keys and list indices), or at the nearest place above it."""
        lines = _lines(self.text)
        while place and place not in lines:
            place = place[:-1]
        return FileError(self.path, message, line=lines.get(place), hint=hint)


def read_json(path: Path) -> Document:
    """A JSON file; FileError with the line where it is none."""
    text = _text(path)
    try:
        data = json.loads(text)
    except json.JSONDecodeError as error:
        raise FileError(path, f"is not valid JSON: {error.msg}", line=error.lineno) from error
    return Document(path, data, text)


def read_either(path: Path) -> Document:
    """A file that is JSON or, failing that, YAML, whatever its name says, as diskimage-builder reads it."""
    text = _text(path)
    try:
        data = json.loads(text)
    except ValueError:
        return _yaml(path, text)
    return Document(path, data, text)


def read_yaml(path: Path) -> Document:
    """A YAML file; FileError with the line where it is none."""
    return _yaml(path, _text(path))


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise FileError(path, f"cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        line = path.read_bytes()[: error.start].count(b"\n") + 1
        raise FileError(path, "is not UTF-8 text", line=line) from error


def _yaml(path: Path, text: str) -> Document:
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        data = None if node is None else loader.construct_document(node)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = None if mark is None else mark.line + 1
        raise FileError(path, f"is not valid YAML: {error.problem or error.context}", line=line) from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise FileError(path, f"is not valid YAML: {error}") from error
    finally:
        loader.dispose()
    return Document(path, data, text)


def _lines(text: str) -> dict[tuple[Any, ...], int]:
    """The line of each key, by the keys that lead there; none where it can't be known.

    JSON is YAML except for tabs.
    """
    lines: dict[tuple[Any, ...], int] = {}
    try:
        node = yaml.compose(text, _Loader)
    except yaml.YAMLError:
        return lines
    if node is not None:
        _note_lines(node, (), lines)
    return lines


def _note_lines(node: yaml.Node, place: tuple[Any, ...], lines: dict[tuple[Any, ...], int]) -> None:
    lines.setdefault(place, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            below = (*place, key.value)
            lines[below] = key.start_mark.line + 1
            _note_lines(value, below, lines)
    elif isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            _note_lines(item, (*place, index), lines)
