"""What ``dib-py diff`` prints for people: ``+`` is what the image has more than its base, ``-`` less, ``~`` other."""

from __future__ import annotations

from collections.abc import Iterator

from dib_py.inside.changes import FileChange
from dib_py.inside.difference import Difference
from dib_py.inside.escaped import escaped
from dib_py.inside.trees import Entry
from dib_py.render.measures import size
from dib_py.windows.boot_changes import BootChange
from dib_py.windows.hive import BINARY, DWORD, EXPAND_SZ, MULTI_SZ, QWORD, SZ, Value
from dib_py.windows.registry_changes import KeyChange, ValueChange

_SHOWN = 24  # bytes of data that has no other form than hexadecimal digits
_KINDS = {
    "d": "a directory",
    "f": "a file",
    "l": "a link",
    "p": "a pipe",
    "s": "a socket",
    "b": "a device",
    "c": "a device",
}


def lines(found: Difference) -> Iterator[str]:
    """Block after block; nothing where nothing differs."""
    return map(escaped, _lines(found))


def _lines(found: Difference) -> Iterator[str]:
    if found.packages:
        yield "packages"
        for package in found.packages:
            if package.before and package.after:
                yield f"  ~ {package.name} {package.before} -> {package.after}"
            else:
                yield f"  {'-' if package.before else '+'} {package.name} {package.before or package.after}"
    for mounted, keys in found.registry.items():
        yield f"registry {mounted}"
        yield from _keys(keys)
    if found.boot:
        yield "boot configuration"
        for entry in found.boot:
            yield f"  {_boot(entry)}"
    if found.files:
        yield "files"
        for change in found.files:
            yield f"  {_file(change)}"
    if any(found.unseen):
        base, image = found.unseen
        yield f"not compared, as they can't be listed: {base} files of the base, {image} of the image"


def _boot(change: BootChange) -> str:
    name = f"{change.object} ({change.description})" if change.object.startswith("{") else change.object
    element = f"{name} {change.element}"
    if change.before is not None and change.after is not None:
        return f"~ {element} = {change.before} -> {change.after}"
    return f"{'+' if change.before is None else '-'} {element} = {change.after or change.before}"


def _file(change: FileChange) -> str:
    if change.before is None and change.after is not None:
        return f"+ {change.path}{_entry(change.after)}"
    if change.after is None and change.before is not None:
        return f"- {change.path}{_entry(change.before)}"
    assert change.before is not None and change.after is not None
    told = ", ".join(_what(what, change.before, change.after) for what in change.what)
    return f"~ {change.path}: {told}"


def _entry(entry: Entry) -> str:
    if entry.kind == "f":
        return f" ({size(entry.size)})"
    if entry.kind == "l":
        return f" -> {entry.link}"
    return "/" if entry.kind == "d" else f" ({_KINDS.get(entry.kind, entry.kind)})"


def _what(what: str, before: Entry, after: Entry) -> str:
    pairs = {
        "size": (size(before.size), size(after.size)),
        "mode": (before.mode, after.mode),
        "owner": (before.owner, after.owner),
        "link": (before.link, after.link),
        "kind": (_KINDS.get(before.kind, before.kind), _KINDS.get(after.kind, after.kind)),
    }
    if what not in pairs:
        return what
    old, new = pairs[what]
    if old == new:  # sizes that look alike
        old, new = str(before.size), str(after.size)
    return f"{what} {old} -> {new}"


def _keys(keys: tuple[KeyChange, ...]) -> Iterator[str]:
    for change in keys:
        mark = "+" if change.added else "-" if change.removed else "~"
        yield f"  {mark} [{change.key}]"
        for value in change.values:
            yield from _value(value)


def _value(change: ValueChange) -> Iterator[str]:
    name = f'"{change.name}"' if change.name else "@"
    if change.before is not None and change.after is not None:
        yield f"      ~ {name} = {shown(change.before)} -> {shown(change.after)}"
    elif change.before is not None:
        yield f"      - {name} = {shown(change.before)}"
    elif change.after is not None:
        yield f"      + {name} = {shown(change.after)}"


def shown(value: Value) -> str:
    """A value as people read it: its type in front where that is not plain from the form."""
    if value.type == SZ:
        return f'"{value.text}"'
    if value.type == EXPAND_SZ:
        return f'expand "{value.text}"'
    if value.type == MULTI_SZ:
        return f"multi [{', '.join(value.texts)}]"
    if value.type == DWORD and len(value.data) == 4:
        return f"dword {value.number} ({value.number:#x})"
    if value.type == QWORD and len(value.data) == 8:
        return f"qword {value.number} ({value.number:#x})"
    kind = "hex" if value.type == BINARY else f"hex({value.type:x})"
    more = f" ... ({len(value.data)} bytes)" if len(value.data) > _SHOWN else ""
    return f"{kind} {value.data[:_SHOWN].hex(' ')}{more}"
