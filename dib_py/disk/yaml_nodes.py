"""YAML with line numbers: what a finding points at.

Values stay the text that the author wrote (``0x83`` and ``8300`` are partition types, not numbers).
"""

from __future__ import annotations

from dataclasses import dataclass

import yaml

from dib_py.errors import DiskError


@dataclass(frozen=True)
class Text:
    """A scalar as written; ``null`` for one that says nothing."""

    line: int
    value: str
    null: bool = False


@dataclass(frozen=True)
class Sequence:
    line: int
    items: tuple[Value, ...]


@dataclass(frozen=True)
class Mapping:
    """Keys in the order of the file, each with the line that it stands on."""

    line: int
    items: dict[str, Value]
    lines: dict[str, int]


Value = Text | Sequence | Mapping


@dataclass(frozen=True)
class Finding:
    """What is wrong at a line, and what would be right."""

    line: int
    message: str
    hint: str = ""


class LayoutError(DiskError):
    """A block-device file is wrong; all ``findings`` are in the message, one a line, as ``file:line: what``."""

    def __init__(self, source: str, findings: list[Finding]) -> None:
        self.findings = tuple(sorted(findings, key=lambda finding: finding.line))
        self.source = source
        super().__init__("\n".join(f"{source}:{_shown(finding)}" for finding in self.findings))


def _shown(finding: Finding) -> str:
    hint = f" ({finding.hint})" if finding.hint else ""
    return f"{finding.line}: {finding.message}{hint}"


def load(text: str, source: str) -> Value:
    """The one document in ``text``; LayoutError for what is no YAML."""
    try:
        loader = yaml.SafeLoader(text)
        try:
            node = loader.get_single_node()
            return _value(node, loader, source) if node is not None else Text(1, "", null=True)
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark is not None else 1
        raise LayoutError(source, [Finding(line, f"this is no YAML: {error.problem}")]) from error
    except yaml.YAMLError as error:
        raise LayoutError(source, [Finding(1, f"this is no YAML: {error}")]) from error
    except RecursionError as error:
        raise LayoutError(source, [Finding(1, "the YAML is nested too deeply")]) from error


def _value(node: yaml.Node, loader: yaml.SafeLoader, source: str) -> Value:
    line = node.start_mark.line + 1
    if isinstance(node, yaml.ScalarNode):
        return Text(line, node.value, null=node.tag == "tag:yaml.org,2002:null")
    if isinstance(node, yaml.SequenceNode):
        return Sequence(line, tuple(_value(item, loader, source) for item in node.value))
    assert isinstance(node, yaml.MappingNode)
    loader.flatten_mapping(node)  # what "<<" merges in
    items: dict[str, Value] = {}
    lines: dict[str, int] = {}
    for key, value in node.value:
        key_line = key.start_mark.line + 1
        if not isinstance(key, yaml.ScalarNode):
            raise LayoutError(source, [Finding(key_line, "a key is a single word here")])
        items[key.value] = _value(value, loader, source)
        lines[key.value] = key_line
    return Mapping(line, items, lines)
