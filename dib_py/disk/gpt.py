"""Moving a GPT's second copy: a disk that was served larger than it ends up must keep it in its last sectors."""

from __future__ import annotations

import struct
import zlib

from dib_py.errors import DiskError

SIGNATURE = b"EFI PART"

# UEFI specification, 5.3.2: signature, revision, header size, CRC of the header, reserved, own LBA, the other's LBA,
# first and last usable LBA, disk's GUID, LBA of the entries, their number, their size, CRC of the entries
_HEADER = struct.Struct("<8s4sIIIQQQQ16sQIII")
_MBR_ENTRY_SECTORS = 446 + 12  # the protective entry's length in sectors, 32 bits


def leading_bytes(sector_size: int) -> int:
    """How much of the disk's start :func:`fitted` wants: the protective MBR, the header and the usual entries."""
    return 2 * sector_size + 128 * 128


def ends_beyond(start: bytes, size: int, sector_size: int) -> bool:
    """Whether ``start`` has a GPT whose second copy lies behind the end of a disk of ``size`` bytes."""
    if start[sector_size : sector_size + len(SIGNATURE)] != SIGNATURE:
        return False
    return bool(_HEADER.unpack_from(start, sector_size)[6] >= size // sector_size)


def fitted(start: bytes, size: int, sector_size: int) -> dict[int, bytes]:
    """What to write, by byte offset, so that the GPT in ``start`` fits a disk of ``size`` bytes; {} if it is no GPT."""
    if start[sector_size : sector_size + len(SIGNATURE)] != SIGNATURE:
        return {}
    fields = list(_HEADER.unpack_from(start, sector_size))
    count, entry_size = fields[11], fields[12]
    entries = start[2 * sector_size : 2 * sector_size + count * entry_size]
    if fields[10] != 2 or len(entries) != count * entry_size:
        raise DiskError("the partition table is no usual GPT, so it can't be fitted to the disk's size")
    table_sectors = -(-len(entries) // sector_size)
    last = size // sector_size - 1
    usable = last - table_sectors - 1
    if any(_last_lba(entries, at) > usable for at in range(0, len(entries), entry_size)):
        raise DiskError(f"a partition does not fit into the disk's {size} bytes")
    mbr = bytearray(start[:sector_size])
    struct.pack_into("<I", mbr, _MBR_ENTRY_SECTORS, min(last, 0xFFFFFFFF))
    fields[8] = usable
    return {
        0: bytes(mbr),
        sector_size: _header(fields, own=1, other=last, entries=2, sector_size=sector_size),
        (usable + 1) * sector_size: entries.ljust(table_sectors * sector_size, b"\0"),
        last * sector_size: _header(fields, own=last, other=1, entries=usable + 1, sector_size=sector_size),
    }


def _last_lba(entries: bytes, at: int) -> int:
    unused = entries[at : at + 16] == bytes(16)
    return 0 if unused else int(struct.unpack_from("<Q", entries, at + 40)[0])


def _header(fields: list[object], *, own: int, other: int, entries: int, sector_size: int) -> bytes:
    changed = list(fields)
    changed[3], changed[5], changed[6], changed[10] = 0, own, other, entries
    changed[3] = zlib.crc32(_HEADER.pack(*changed))
    return _HEADER.pack(*changed).ljust(sector_size, b"\0")
