r"""A hive: one file of the registry, edited in place with hivex.

Keys are paths of names between ``\``. Nothing is written before :meth:`Hive.commit`, and a hive to which nothing new
was said stays as it is, byte for byte: hivex never reuses cells, so each needless edit would make the file larger.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dib_py.errors import HostError, TargetError

NONE, SZ, EXPAND_SZ, BINARY, DWORD = 0, 1, 2, 3, 4  # winnt.h
DWORD_BIG_ENDIAN, LINK, MULTI_SZ, QWORD = 5, 6, 7, 11


@dataclass(frozen=True)
class Value:
    """One value of a key as it is stored: ``type`` is Windows' number of it, the default value's ``name`` is empty."""

    name: str
    type: int
    data: bytes

    @staticmethod
    def string(name: str, text: str, *, expand: bool = False) -> Value:
        return Value(name, EXPAND_SZ if expand else SZ, _utf16(text))

    @staticmethod
    def strings(name: str, texts: Iterable[str]) -> Value:
        return Value(name, MULTI_SZ, b"".join(map(_utf16, texts)) + b"\0\0")

    @staticmethod
    def dword(name: str, number: int) -> Value:
        return Value(name, DWORD, struct.pack("<I", number))

    @staticmethod
    def qword(name: str, number: int) -> Value:
        return Value(name, QWORD, struct.pack("<Q", number))

    @staticmethod
    def binary(name: str, data: bytes) -> Value:
        return Value(name, BINARY, data)

    @property
    def text(self) -> str:
        """The string of an SZ or EXPAND_SZ, up to its end mark."""
        return self.data.decode("utf-16-le", errors="replace").split("\0", 1)[0]

    @property
    def texts(self) -> list[str]:
        """The strings of a MULTI_SZ."""
        return [text for text in self.data.decode("utf-16-le", errors="replace").split("\0") if text]

    @property
    def number(self) -> int:
        """The number of a DWORD or QWORD, whatever length it was stored with."""
        return int.from_bytes(self.data, "big" if self.type == DWORD_BIG_ENDIAN else "little")


def _utf16(text: str) -> bytes:
    return text.encode("utf-16-le") + b"\0\0"


def load_hivex() -> Any:
    """The ``hivex`` module; HostError with the way to get it where it is missing."""
    try:
        import hivex
    except ImportError as error:
        raise HostError(
            "Windows images need the hivex Python bindings, which this interpreter does not have",
            hint="install python3-hivex and use the system's python3 (a virtual environment with "
            "--system-site-packages)",
        ) from error
    return hivex


class _NeverOpened:
    """What becomes of hivex's object for a file that is no hive: its own end would close what was never opened."""


def _open_hivex(file: Path) -> Any:
    kind = load_hivex().Hivex
    opened = kind.__new__(kind)
    try:
        opened.__init__(str(file), write=True)
    except RuntimeError:
        opened.__class__ = _NeverOpened
        raise
    return opened


class _Asked:
    """hivex's calls on an open hive; TargetError where it stumbles over what is damaged."""

    def __init__(self, opened: Any, name: str) -> None:
        self._opened = opened
        self._name = name

    def __getattr__(self, call: str) -> Callable[..., Any]:
        asked = getattr(self._opened, call)

        def ask(*arguments: object) -> Any:
            try:
                return asked(*arguments)
            except (RuntimeError, UnicodeError) as error:
                raise TargetError(f"{self._name} is damaged, or refuses an edit: {error}") from error

        return ask


class Hive:
    """One hive in a file of this machine; TargetError where it is none or hivex refuses."""

    def __init__(self, file: Path, name: str = "") -> None:
        """``name`` is what messages call it."""
        self._name = name or file.name
        self.changed = False
        try:
            self._hivex = _Asked(_open_hivex(file), self._name)
        except RuntimeError as error:
            raise TargetError(f"{self._name} is no registry hive that can be read: {error}") from error

    # -- reading
    def exists(self, key: str) -> bool:
        return self._find(key) is not None

    def keys(self, key: str = "") -> list[str]:
        """The names of the keys below ``key``; none where there is no such key."""
        node = self._find(key)
        return [] if node is None else [self._hivex.node_name(child) for child in self._hivex.node_children(node)]

    def values(self, key: str) -> dict[str, Value]:
        """All values of ``key`` by name, as spelled."""
        node = self._find(key)
        return {} if node is None else {value.name: value for value in self._values(node)}

    def value(self, key: str, name: str) -> Value | None:
        """One value; names are compared without regard to case."""
        folded = name.casefold()
        return next((value for there, value in self.values(key).items() if there.casefold() == folded), None)

    def walk(self, key: str = "") -> Iterator[tuple[str, list[Value]]]:
        """``key`` and every key below it, each with its values, sorted by name."""
        node = self._find(key)
        waiting = [] if node is None else [(key, node)]
        seen = set()
        while waiting:
            path, node = waiting.pop()
            if node in seen:
                raise TargetError(f"{self._name} is damaged: the key {path} is in two places")
            seen.add(node)
            yield path, sorted(self._values(node), key=lambda value: value.name.casefold())
            children = [(self._hivex.node_name(child), child) for child in self._hivex.node_children(node)]
            for name, child in sorted(children, key=lambda one: one[0].casefold(), reverse=True):
                waiting.append((f"{path}\\{name}" if path else name, child))

    # -- writing
    def set(self, key: str, values: Iterable[Value] = ()) -> None:
        """Make ``key`` with those above it, and set these values of it; others stay."""
        node = self._find(key)
        wanted = {value.name.casefold(): value for value in values}
        if node is None:
            node = self._make(key)
            known: dict[str, Value] = {}
        else:
            known = {value.name.casefold(): value for value in self._values(node)}
        new = [value for folded, value in wanted.items() if not _same(known.get(folded), value)]
        if not new:
            return
        self.changed = True
        if not known:
            self._hivex.node_set_values(node, [_for_hivex(value) for value in new])
            return
        for value in new:
            there = known.get(value.name.casefold())
            self._hivex.node_set_value(node, _for_hivex(value, there.name if there else value.name))

    def delete_value(self, key: str, name: str) -> None:
        """Remove a value; nothing where there is none."""
        node = self._find(key)
        if node is None or self.value(key, name) is None:
            return
        self.changed = True
        left = [value for value in self._values(node) if value.name.casefold() != name.casefold()]
        self._hivex.node_set_values(node, [_for_hivex(value) for value in left])

    def delete_key(self, key: str) -> None:
        """Remove a key and all below it; nothing where there is none."""
        node = self._find(key)
        if node is None:
            return
        if node == self._hivex.root():
            raise TargetError(f"the root of {self._name} can't be deleted")
        self.changed = True
        self._hivex.node_delete_child(node)

    def commit(self) -> None:
        """Write what was changed to the file; hivex makes both sequence numbers the next one."""
        if not self.changed:
            return
        self._hivex.commit(None)
        self.changed = False

    # -- nodes
    def _find(self, key: str) -> int | None:
        node: int | None = self._hivex.root()
        for name in _names(key):
            node = self._hivex.node_get_child(node, name)
            if node is None:
                return None
        return node

    def _make(self, key: str) -> int:
        self.changed = True
        node: int = self._hivex.root()
        for name in _names(key):
            child = self._hivex.node_get_child(node, name)
            node = self._hivex.node_add_child(node, name) if child is None else child
        return node

    def _values(self, node: int) -> list[Value]:
        found = []
        for handle in self._hivex.node_values(node):
            kind, data = self._hivex.value_value(handle)
            found.append(Value(self._hivex.value_key(handle), kind & 0xFFFFFFFF, data))
        return found


def _names(key: str) -> list[str]:
    return [name for name in key.split("\\") if name]


def _same(there: Value | None, wanted: Value) -> bool:
    return there is not None and (there.type, there.data) == (wanted.type, wanted.data)


def _for_hivex(value: Value, name: str | None = None) -> dict[str, object]:
    return {"key": value.name if name is None else name, "t": value.type, "value": value.data}
