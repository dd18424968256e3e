"""A tar archive of plain files, written so that any tar reads it, and read so that nothing else can be in it.

Python's tarfile believes headers: a name can lead anywhere, and a header can ask for more memory than there is. Here a
member is a header of 512 bytes and what its size says, and whoever reads says which name and size come next.
"""

from __future__ import annotations

import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

BLOCK = 512
_CHUNK = 1024 * 1024  # bytes
_END = 2 * BLOCK


class Malformed(Exception):
    """This is no archive of ours, or it is damaged; the message says how."""


def write_member(archive: IO[bytes], name: str, size: int, data: Iterator[bytes]) -> None:
    """Append a member, whose ``data`` has to have ``size`` bytes; OSError."""
    header = tarfile.TarInfo(name)
    header.size, header.mode = size, 0o600
    archive.write(header.tobuf(tarfile.GNU_FORMAT))
    written = 0
    for chunk in data:
        archive.write(chunk)
        written += len(chunk)
    if written != size:
        raise OSError(None, f"{name} changed while it was read")
    archive.write(bytes(-size % BLOCK))


def write_end(archive: IO[bytes]) -> None:
    archive.write(bytes(_END))


def chunks(path: Path) -> Iterator[bytes]:
    """A file's content, piece by piece."""
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            yield chunk


def read_header(archive: IO[bytes]) -> tuple[str, int]:
    """Name and size of the next member; Malformed for anything but a plain file."""
    try:
        header = tarfile.TarInfo.frombuf(_exactly(archive, BLOCK), "utf-8", "strict")
    except (tarfile.HeaderError, UnicodeError) as error:
        raise Malformed(f"it has a bad header: {error}") from error
    if header.type != tarfile.REGTYPE or header.size < 0:
        raise Malformed(f"{header.name!r} is no plain file")
    return header.name, header.size


def read_content(archive: IO[bytes], size: int, take: Callable[[bytes], object]) -> None:
    """Hand over what follows a header, piece by piece."""
    left = size
    while left:
        chunk = archive.read(min(left, _CHUNK))
        if not chunk:
            raise Malformed("it is cut off")
        take(chunk)
        left -= len(chunk)
    _exactly(archive, -size % BLOCK)


def read_end(archive: IO[bytes]) -> None:
    """See that nothing follows but what ends an archive."""
    rest = archive.read(_CHUNK)
    if len(rest) < _END or rest.strip(b"\0") or archive.read(1):
        raise Malformed("there is more in it than it says")


def _exactly(archive: IO[bytes], size: int) -> bytes:
    data = archive.read(size)
    if len(data) != size:
        raise Malformed("it is cut off")
    return data
