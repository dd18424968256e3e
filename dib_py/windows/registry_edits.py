r"""What a file of ``registry.d`` asks for, in whichever form it is written, and how it is done to a guest."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from dib_py.errors import FileError, TargetError, nearest
from dib_py.windows.hive import EXPAND_SZ, MULTI_SZ, SZ, Value
from dib_py.windows.registry import Registry, normal, standard_hives

if TYPE_CHECKING:
    from dib_py.windows.installation import Installation

_LONGEST_NAME = 255  # characters of a key's name; Microsoft's "Registry element size limits"
_LONGEST_VALUE_NAME = 16383
_DEEPEST = 512
_MOUNTED = tuple(file.mounted for file in standard_hives("/Windows"))


@dataclass(frozen=True)
class Absent:
    """A value that is not to be there."""

    name: str


@dataclass(frozen=True)
class KeyEdit:
    """A key that is to be there with these values, in their order, or not to be there at all."""

    key: str
    values: tuple[Value | Absent, ...] = ()
    deleted: bool = False
    line: int = field(default=0, compare=False)


@dataclass(frozen=True)
class RegistryEdits:
    """All that one file asks for."""

    path: Path = field(compare=False)
    edits: tuple[KeyEdit, ...] = ()


def apply(wanted: RegistryEdits, guest: Installation) -> None:
    """Carry a file out; TargetError that names its line where the guest has no such hive."""
    for edit in wanted.edits:
        try:
            _apply_one(edit, guest.registry)
        except TargetError as error:
            raise TargetError(error.message, hint=error.hint, where=f"{wanted.path}:{edit.line}") from error


def _apply_one(edit: KeyEdit, registry: Registry) -> None:
    if edit.deleted:
        registry.delete_key(edit.key)
        return
    # the last word on a value counts, and one call for all of them keeps the hive small
    last = {value.name.casefold(): value for value in edit.values}
    registry.set(edit.key, *(value for value in last.values() if isinstance(value, Value)))
    for value in last.values():
        if isinstance(value, Absent):
            registry.delete_value(edit.key, value.name)


def checked_key(text: str, path: Path, line: int, *, deleted: bool = False) -> str:
    r"""A key's path with the short name of its root; FileError for one that no hive of an image can hold."""
    if any(character < " " for character in text):
        raise FileError(path, f"a key's name can't have control characters: {text!r}", line=line)
    key = normal(text)
    names = key.split("\\")
    if "" in names:
        raise FileError(path, f"{text}: an empty name between two backslashes", line=line)
    if max(map(len, names)) > _LONGEST_NAME or len(names) > _DEEPEST:
        raise FileError(path, f"{text[:60]}...: names have at most {_LONGEST_NAME} characters", line=line)
    folded = key.casefold() + "\\"
    mounted = next((name for name in _MOUNTED if folded.startswith(name.casefold() + "\\")), None)
    if mounted is None:
        raise FileError(path, f"{text}: no hive of an image holds that key", line=line, hint=_root_hint(key))
    if deleted and key.casefold() == mounted.casefold():
        raise FileError(path, f"{text} is a whole hive, which can't be deleted", line=line)
    return key


def _root_hint(key: str) -> str:
    if key.casefold().startswith(r"hklm\bcd"):
        return "boot entries are edited with bcd.yaml"
    if key.casefold().startswith(r"hklm\hardware"):
        return "that hive is made when Windows starts"
    meant = nearest("\\".join(key.split("\\")[:2]).upper(), _MOUNTED, 1)
    return f"is {meant[0]} meant?" if meant else f"keys begin with {', '.join(_MOUNTED)}"


def checked_name(name: str, path: Path, line: int) -> str:
    """The name of a value, which may be anything but very long."""
    if len(name) > _LONGEST_VALUE_NAME or "\0" in name:
        raise FileError(path, f"{name[:40]!r} can't be the name of a value", line=line)
    return name


def string_value(kind: int, name: str, texts: list[str], path: Path, line: int) -> Value:
    """A value of a type that holds text; FileError for text that UTF-16 has no form for."""
    for text in texts:
        if "\0" in text:
            raise FileError(path, f"{name}: text ends at a NUL, so it can't have one", line=line)
    try:
        if kind == MULTI_SZ:
            return Value.strings(name, texts)
        assert kind in (SZ, EXPAND_SZ)
        return Value.string(name, texts[0], expand=kind == EXPAND_SZ)
    except UnicodeEncodeError as error:
        raise FileError(path, f"{name}: the text can't be stored: {error.reason}", line=line) from error
