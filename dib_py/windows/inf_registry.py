"""Registry settings of INF files: the lines of sections that ``AddReg`` names.

A line is ``root, subkey, name, flags, value...``; the flags (FLG_ADDREG_... of setupapi.h) hold the type and what is
done with a value that is there. Only ``HKR`` is read, the key of what is being installed: other keys are set when
Windows installs the device.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from dib_py.windows.hive import BINARY, DWORD, EXPAND_SZ, MULTI_SZ, NONE, QWORD, SZ, Value
from dib_py.windows.inf import Entry, Inf

_KEEP, _DELETE, _APPEND, _KEY_ONLY, _ONLY_EXISTING = 0x2, 0x4, 0x8, 0x10, 0x20
_TYPE = 0xFFFF0001
_TYPES = {0: SZ, 0x10000: MULTI_SZ, 0x20000: EXPAND_SZ, 0x10001: DWORD, 0x20001: NONE, 0xB0001: QWORD}
_BYTE = re.compile(r"(?:0[xX])?[0-9a-fA-F]{1,2}")


@dataclass(frozen=True)
class Setting:
    """A value of a key below that of what is installed; without ``value`` only the key."""

    key: str
    value: Value | None
    keep: bool = False  # leave a value that is there
    append: bool = False  # to the strings that are there


def settings(inf: Inf, section: str, asked_by: Entry) -> Iterator[Setting]:
    """The settings of a section; FileError where it is missing or a line is malformed."""
    if not inf.has(section):
        raise inf.error(f"there is no section {section}", asked_by)
    for entry in inf.section(section):
        root, key, name = (inf.expand(entry.value(index)) for index in range(3))
        flags = inf.number(entry, entry.value(3))
        if root.upper() != "HKR" or flags & (_DELETE | _ONLY_EXISTING):
            continue  # what is installed offline has nothing yet to be deleted or replaced
        value = None if flags & _KEY_ONLY else _value(inf, entry, name, flags)
        yield Setting(key.strip("\\"), value, bool(flags & _KEEP), bool(flags & _APPEND))


def _value(inf: Inf, entry: Entry, name: str, flags: int) -> Value:
    texts = [inf.expand(text) for text in entry.values[4:]]
    kind = _TYPES.get(flags & _TYPE)
    if kind in (SZ, EXPAND_SZ):
        return Value.string(name, texts[0] if texts else "", expand=kind == EXPAND_SZ)
    if kind == MULTI_SZ:
        return Value.strings(name, filter(None, texts))
    if kind in (DWORD, QWORD) and len(texts) <= 1:
        size = 4 if kind == DWORD else 8
        number = inf.number(entry, texts[0] if texts else "")
        if not -(1 << size * 8 - 1) <= number < 1 << size * 8:
            raise inf.error(f"{number} has more than {size} bytes", entry)
        return Value(name, kind, (number % (1 << size * 8)).to_bytes(size, "little"))
    if kind is None:  # the upper half is the type, as in the registry
        kind = flags >> 16 & 0xFFFF or BINARY
    return Value(name, kind, bytes(_byte(inf, entry, text) for text in texts))


def _byte(inf: Inf, entry: Entry, text: str) -> int:
    if not _BYTE.fullmatch(text.strip()):
        raise inf.error(f"{text[:40]!r} is no byte", entry, "two hexadecimal digits")
    return int(text, 16)
