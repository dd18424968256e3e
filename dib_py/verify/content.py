"""The digest of what a guest can see of an image: the same for all formats, compressions and allocations of one disk.

It is BLAKE2b over the disk's size and each block that is not all zeros, with the block's number before it, numbers as
eight bytes, the most significant first. So an image that was converted or compacted keeps its verdict, and zeros, which
most of an image is, cost nothing: qemu-nbd tells where they are.
"""

from __future__ import annotations

import hashlib
import math
import signal
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dib_py.digest import Memory
from dib_py.disk.image import refuse_references
from dib_py.errors import DiskError, HostError
from dib_py.host_programs import require

if TYPE_CHECKING:
    import nbd

KIND = "guest-visible"  # as a :class:`Memory` has it beside the digests of files
BLOCK = 64 * 1024  # bytes; a part of the digest's definition
_READ = 16 * BLOCK  # bytes of one request
_IN_FLIGHT = 8  # requests; qemu-nbd decompresses them in threads
_MAPPED = 1024**3  # bytes of disk that one question about zeros is about
_TOLD = 1024**3  # bytes of disk that one word about how far it is stands for
_ZEROS = bytes(BLOCK)
_ALLOCATION = "base:allocation"


def content_digest(
    path: Path,
    image_format: str,
    memory: Memory,
    *,
    deadline: float = math.inf,
    told: Callable[[int, int], None] = lambda done, total: None,
) -> str:
    """``blake2b:`` and 64 hexadecimal digits; read anew only where the file is another than remembered.

    ``image_format`` is qemu's name; ``told`` gets how many bytes of the disk are done, of how many. DiskError for an
    image that can't be read, or not before ``deadline`` (monotonic), or refers to another file; HostError where
    libnbd's bindings or qemu-nbd are missing. The image has been examined (``dib_py.base.image_format``): qemu takes
    what was cut off of some formats for zeros.
    """
    refuse_references(path, image_format)
    return f"blake2b:{memory.digest(path, KIND, lambda: _read(path, image_format, deadline, told))}"


def _read(path: Path, image_format: str, deadline: float, told: Callable[[int, int], None]) -> str:
    try:
        import nbd
    except ImportError as error:
        raise HostError(
            "the python bindings of libnbd are not installed", hint="python3-libnbd on Debian and Fedora"
        ) from error
    require("qemu-nbd")
    try:
        disk = nbd.NBD()
        disk.add_meta_context(_ALLOCATION)
        # the library starts qemu-nbd itself, which ends with this connection, even if we are killed
        disk.connect_systemd_socket_activation(
            ["qemu-nbd", "--read-only", f"--format={image_format}", str(path.absolute())]
        )
        try:
            return _digest(disk, deadline, told)
        finally:
            disk.kill_subprocess(signal.SIGTERM)
    except nbd.Error as error:
        raise DiskError(f"the image can't be read: {error.string}", where=str(path)) from error


def _digest(disk: nbd.NBD, deadline: float, told: Callable[[int, int], None]) -> str:
    size = disk.get_size()
    next_told = _TOLD
    known = hashlib.blake2b(size.to_bytes(8, "big"), digest_size=32)
    for start, data in _read_ahead(disk, _requests(disk, size)):
        if start >= next_told:
            told(start, size)
            next_told = start + _TOLD
        if time.monotonic() > deadline:
            raise DiskError("reading the image took longer than the verification may")
        for offset in range(0, len(data), BLOCK):
            block = data[offset : offset + BLOCK]
            if block != _ZEROS[: len(block)]:
                known.update(((start + offset) // BLOCK).to_bytes(8, "big"))
                known.update(block)
    return known.hexdigest()


def _read_ahead(disk: nbd.NBD, requests: Iterator[tuple[int, int]]) -> Iterator[tuple[int, memoryview]]:
    """Offset and bytes for each of ``requests``, which are offset and length, in their order.

    The bytes are good until the next ones are asked for: buffers are used again, as libnbd 1.14 never lets go of one.
    """
    import nbd

    flying: deque[tuple[int, int, Any, int]] = deque()
    landed: dict[int, list[Any]] = {}  # buffers by their length

    def land() -> Iterator[tuple[int, memoryview]]:
        start, length, buffer, cookie = flying.popleft()
        while not disk.aio_command_completed(cookie):
            disk.poll(-1)
        yield start, memoryview(buffer.to_bytearray())
        landed.setdefault(length, []).append(buffer)

    for start, length in requests:
        free = landed.get(length)
        buffer = free.pop() if free else nbd.Buffer(length)
        flying.append((start, length, buffer, disk.aio_pread(buffer, start)))
        if len(flying) == _IN_FLIGHT:
            yield from land()
    while flying:
        yield from land()


def _requests(disk: nbd.NBD, size: int) -> Iterator[tuple[int, int]]:
    """What to read of a disk of ``size`` bytes: each piece of one length that is not known to be all zeros, once."""
    done = 0  # up to where it was asked for
    for start, end in _data(disk, size):
        for position in range(max(done, start // _READ * _READ), end, _READ):
            yield position, min(_READ, size - position)
            done = position + _READ


def _data(disk: nbd.NBD, size: int) -> Iterator[tuple[int, int]]:
    """The extents that are not known to be zeros, as start and end, in their order."""
    import nbd

    if not disk.can_meta_context(_ALLOCATION):
        yield 0, size
        return
    position = 0
    while position < size:
        told: list[int] = []

        def extents(context: str, offset: int, entries: list[int], error: int, told: list[int] = told) -> None:
            told.extend(entries)

        disk.block_status(min(_MAPPED, size - position), position, extents)
        for length, flags in zip(told[::2], told[1::2], strict=True):
            if not flags & nbd.STATE_ZERO:
                yield position, min(size, position + length)
            position += length
