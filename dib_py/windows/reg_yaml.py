r"""The YAML form of ``registry.d``: a list of keys with their values, which takes variables and conditions everywhere.

::

    - key: HKLM\SYSTEM\CurrentControlSet\Control\Terminal Server
      values:
        fDenyTSConnections: {dword: 0}
        Idle: {dword: "${DIB_IDLE:-600}", when: DIB_RDP = 1}
        Level: {dword: "${DIB_LEVEL}", names: {low: 1, high: 3}}
        Mode: {sz: "${DIB_MODE:-Fast}", allowed: [Fast, Slow]}
        Gone: "-"
    - key: -HKLM\SOFTWARE\Old

A value is a mapping with its type (``sz expand_sz multi_sz dword qword binary none``); ``"@"`` is the default value,
and ``{type: 0xffff0012, binary: 01 ff}`` one of any other type. What a variable may hold is said by ``allowed``, or by
``names``, which also says what each stands for. A name that begins with ``-`` deletes a key, the text
``-`` deletes a value.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from dib_py.windows.hive import EXPAND_SZ, MULTI_SZ, NONE, SZ, Value
from dib_py.windows.registry_edits import (
    Absent,
    KeyEdit,
    RegistryEdits,
    apply,
    checked_key,
    checked_name,
    string_value,
)
from dib_py.windows.yaml_node import Node, read

__all__ = ["apply", "parse"]

_TYPES = ("sz", "expand_sz", "multi_sz", "dword", "qword", "binary", "none")
_CHOICES = ("allowed", "names")
_TEXTS = {"sz": SZ, "expand_sz": EXPAND_SZ}
_HINT = "one type with its content, as in {dword: 1}; or '-' to delete the value"


def parse(path: Path, variables: Mapping[str, str]) -> RegistryEdits:
    """What a ``.yaml`` file of ``registry.d`` asks for; FileError with the line for what is wrong."""
    root = read(path, variables)
    if root.is_nothing:
        return RegistryEdits(path)
    return RegistryEdits(path, tuple(_key(node) for node in root.sequence()))


def _key(node: Node) -> KeyEdit:
    entries = node.mapping(("key", "values"), needs=("key",))
    text, line = entries["key"].text(), entries["key"].line
    deleted = text.startswith("-")
    key = checked_key(text[deleted:], node.path, line, deleted=deleted)
    values = entries.get("values")
    if values is None or values.is_nothing:
        return KeyEdit(key, deleted=deleted, line=line)
    if deleted:
        raise values.error("a key that is deleted has no values")
    return KeyEdit(key, tuple(_value(name, value) for name, value in values.mapping().items()), line=line)


def _value(name: str, node: Node) -> Value | Absent:
    name = "" if name == "@" else checked_name(name, node.path, node.line)
    if node.value == "-":
        return Absent(name)
    if not isinstance(node.value, Mapping):
        raise node.error(f"{name or '@'} has no type", hint=_HINT)
    if "type" in node.value:
        entries = node.mapping(("type", "binary"), needs=("binary",))
        return Value(name, entries["type"].number(), _bytes(entries["binary"]))
    entries = node.mapping((*_TYPES, *_CHOICES))
    typed = {kind: content for kind, content in entries.items() if kind in _TYPES}
    if len(typed) != 1:
        raise node.error(f"{name or '@'} has {'no type' if not typed else 'more than one type'}", hint=_HINT)
    [(kind, content)] = typed.items()
    return _typed(kind, name, _chosen(name, content, entries))


def _chosen(name: str, content: Node, entries: Mapping[str, Node]) -> Node:
    """What is to be stored, where only some texts make sense."""
    if "names" in entries:
        known = entries["names"].mapping()
        chosen = known.get(content.text())
        if chosen is None:
            raise content.error(f"{name}: {content.value!r} is none of {', '.join(known)}")
        return chosen
    if "allowed" in entries:
        texts = [item.text() for item in entries["allowed"].sequence()]
        if content.text() not in texts:
            raise content.error(f"{name}: {content.value!r} is none of {', '.join(texts)}")
    return content


def _typed(kind: str, name: str, content: Node) -> Value:
    if kind in _TEXTS:
        return string_value(_TEXTS[kind], name, [content.text()], content.path, content.line)
    if kind == "multi_sz":
        texts = [item.text() for item in content.sequence()]
        if "" in texts:
            raise content.error("an empty string ends a multi_sz, so it can't be in one")
        return string_value(MULTI_SZ, name, texts, content.path, content.line)
    if kind == "dword":
        return Value.dword(name, content.number())
    if kind == "qword":
        return Value.qword(name, content.number(highest=2**64 - 1))
    data = b"" if content.is_nothing else _bytes(content)
    return Value(name, NONE, data) if kind == "none" else Value.binary(name, data)


def _bytes(node: Node) -> bytes:
    """Hexadecimal digits, with blanks between bytes or commas as regedit has them."""
    try:
        return bytes.fromhex(node.text().replace(",", " "))
    except ValueError as error:
        raise node.error(f"{node.text()[:40]!r} are no hexadecimal bytes", hint="binary: 01 ff 00") from error
