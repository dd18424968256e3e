"""A registry hive written from nothing, which no library does: hivex edits hives that are there.

The format is regf 1.5, as in Maxim Suhanov's "Windows registry file format specification": a header of 4096 bytes, then
bins (multiples of 4096 bytes) that hold cells. Offsets count from the first bin.
"""

from __future__ import annotations

import operator
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import reduce

from dib_py.windows.hive import Value

Keys = Mapping[str, Iterable[Value]]  # values by the path of their key; the root's path is ""

LARGEST_VALUE = 16344  # bytes; more would be a list of segments
MOST_SUBKEYS = 1012  # of one key; more would be a list of lists
_PAGE = 4096
_NONE = 0xFFFFFFFF
_ROOT = 0x0C  # flags of the hive's root, which can't be deleted
_ASCII_KEY_NAME = 0x20
_ASCII_VALUE_NAME = 0x01
_INLINE = 0x80000000  # up to four bytes of data stand where their offset would
# Owner Administrators, group SYSTEM; both may do everything and everyone may read, here and in the keys below.
_SECURITY = bytes.fromhex(
    "01000480 5c000000 6c000000 00000000 14000000"
    "02004800 03000000"
    "00021400 3f000f00 010100000000000512000000"
    "00021800 3f000f00 01020000000000052000000020020000"
    "00021400 19000200 010100000000000100000000"
    "01020000000000052000000020020000"
    "010100000000000512000000"
)


def hive(keys: Keys, *, name: str = "", time: int = 0) -> bytes:
    """A hive's file with these keys, and those above them.

    ``name`` is what the header calls the file; ``time`` (FILETIME: 100 ns since 1601) is when everything was written.
    ValueError for a value or a number of subkeys that is too large.
    """
    cells = _Cells()
    tree = _tree(keys)
    security = cells.allocate(20 + len(_SECURITY))
    root = _write_key(cells, tree, _NONE, security, time)
    record = struct.pack("<2sHIIII", b"sk", 0, security, security, tree.count(), len(_SECURITY))
    cells.write(security, record + _SECURITY)
    bins = cells.bins(time)
    return _header(root, len(bins), name, time) + bins


@dataclass
class _Key:
    name: str
    values: list[Value] = field(default_factory=list)
    subkeys: dict[str, _Key] = field(default_factory=dict)  # by name in capitals

    def child(self, name: str) -> _Key:
        return self.subkeys.setdefault(name.upper(), _Key(name))

    def count(self) -> int:
        return 1 + sum(subkey.count() for subkey in self.subkeys.values())


def _tree(keys: Keys) -> _Key:
    root = _Key("ROOT")
    for path, values in keys.items():
        reduce(_Key.child, path.split("\\") if path else [], root).values.extend(values)
    return root


class _Cells:
    """Cells, each given its place before its content is known, since they point at each other."""

    def __init__(self) -> None:
        self._sizes: list[int] = []  # of the bins
        self._free = 0  # bytes at the end of the last bin
        self._cells: list[tuple[int, int]] = []  # offset and size
        self._content: dict[int, bytes] = {}

    def allocate(self, size: int) -> int:
        """The offset of a new cell with room for ``size`` bytes; cells are not split between bins."""
        taken = -(-(4 + size) // 8) * 8
        if taken > self._free:
            self._fill_up()
            self._sizes.append(-(-(32 + taken) // _PAGE) * _PAGE)
            self._free = self._sizes[-1] - 32
        offset = sum(self._sizes) - self._free
        self._cells.append((offset, -taken))  # negative: in use
        self._free -= taken
        return offset

    def write(self, offset: int, content: bytes) -> None:
        self._content[offset] = content

    def add(self, content: bytes) -> int:
        offset = self.allocate(len(content))
        self.write(offset, content)
        return offset

    def bins(self, time: int) -> bytes:
        """All bins with the cells in them, in which room that is left over is a free cell."""
        self._fill_up()
        whole = bytearray(sum(self._sizes))
        start = 0
        for size in self._sizes:
            struct.pack_into("<4sIIQQI", whole, start, b"hbin", start, size, 0, time, 0)
            start += size
        for offset, size in self._cells:
            content = struct.pack("<i", size) + self._content.get(offset, b"")
            whole[offset : offset + len(content)] = content
        return bytes(whole)

    def _fill_up(self) -> None:
        if self._free:
            self._cells.append((sum(self._sizes) - self._free, self._free))
            self._free = 0


def _write_key(cells: _Cells, key: _Key, parent: int, security: int, time: int) -> int:
    """Write a key with all below it; returns its offset."""
    encoded, ascii_name = _name(key.name)
    flags = (_ASCII_KEY_NAME if ascii_name else 0) | (_ROOT if parent == _NONE else 0)
    place = cells.allocate(76 + len(encoded))
    subkeys = [key.subkeys[name] for name in sorted(key.subkeys)]
    offsets = [_write_key(cells, subkey, place, security, time) for subkey in subkeys]
    record = struct.pack(
        "<2sHQ15IHH",
        b"nk",
        flags,
        time,
        0,  # access bits
        parent,
        len(subkeys),
        0,  # volatile subkeys
        _write_subkeys(cells, key, subkeys, offsets),
        _NONE,
        len(key.values),
        _write_values(cells, key),
        security,
        _NONE,  # class name
        max((_size(subkey.name) for subkey in subkeys), default=0),
        0,  # longest class name below
        max((_size(value.name) for value in key.values), default=0),
        max((len(value.data) for value in key.values), default=0),
        0,  # work area
        len(encoded),
        0,  # length of the class name
    )
    cells.write(place, record + encoded)
    return place


def _write_subkeys(cells: _Cells, key: _Key, subkeys: list[_Key], offsets: list[int]) -> int:
    if not subkeys:
        return _NONE
    if len(subkeys) > MOST_SUBKEYS:
        raise ValueError(f"key {key.name} has {len(subkeys)} subkeys; at most {MOST_SUBKEYS} can be written")
    entries = [struct.pack("<II", at, _hash(subkey.name)) for at, subkey in zip(offsets, subkeys, strict=True)]
    return cells.add(struct.pack("<2sH", b"lh", len(entries)) + b"".join(entries))


def _write_values(cells: _Cells, key: _Key) -> int:
    if not key.values:
        return _NONE
    offsets = [_write_value(cells, value) for value in key.values]
    return cells.add(struct.pack(f"<{len(offsets)}I", *offsets))


def _write_value(cells: _Cells, value: Value) -> int:
    size = len(value.data)
    if size > LARGEST_VALUE:
        raise ValueError(f"value {value.name} has {size} bytes; at most {LARGEST_VALUE} can be written")
    name, ascii_name = _name(value.name)
    if size <= 4:
        size, place = size | _INLINE, int.from_bytes(value.data, "little")
    else:
        place = cells.add(value.data)
    flags = _ASCII_VALUE_NAME if ascii_name and name else 0
    return cells.add(struct.pack("<2sHIIIHH", b"vk", len(name), size, place, value.type, flags, 0) + name)


def _header(root: int, size: int, name: str, time: int) -> bytes:
    page = bytearray(_PAGE)
    struct.pack_into("<4sIIQ7I", page, 0, b"regf", 1, 1, time, 1, 5, 0, 1, root, size, 1)
    stored = name.encode("utf-16-le")[-62:]  # its end, as Windows has it; two bytes of zero follow
    page[48 : 48 + len(stored)] = stored
    page[508:512] = checksum(page).to_bytes(4, "little")
    return bytes(page)


def checksum(page: bytes | bytearray) -> int:
    """What a header has at 508: its words before that, each added to the others without carry; never 0 or all ones."""
    words: tuple[int, ...] = struct.unpack("<127I", page[:508])
    total = reduce(operator.xor, words)
    return {0: 1, _NONE: _NONE - 1}.get(total, total)


def _name(name: str) -> tuple[bytes, bool]:
    return (name.encode("ascii"), True) if name.isascii() else (name.encode("utf-16-le"), False)


def _size(name: str) -> int:
    return len(name.encode("utf-16-le"))


def _hash(name: str) -> int:
    return reduce(lambda total, letter: (total * 37 + ord(letter)) & _NONE, name.upper(), 0)
