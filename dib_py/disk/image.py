"""What a file says about itself as a disk image, read without trusting it.

A qcow2 header can name other files (a backing file, an external data file) that qemu would open with our rights, so
the header is looked at here before any qemu does.
"""

from __future__ import annotations

import os
import shlex
import struct
from pathlib import Path

from dib_py.errors import DiskError

# formats whose images can't name other files of this machine once `refuse_references` was content
FORMATS = ("raw", "qcow2", "vpc", "vhdx", "vdi")

_QCOW2_MAGIC = b"QFI\xfb"
_QCOW2_HEADER = struct.Struct(">4sIQI")  # magic, version, offset and length of the backing file's name
_SIZE = slice(24, 32)
_VERSION_2_LENGTH = 72
_INCOMPATIBLE_FEATURES = slice(72, 80)
_EXTERNAL_DATA_FILE = 1 << 2
_HEADER_LENGTH = slice(100, 104)
_EXTENSION = struct.Struct(">II")  # type, length; padded to 8 bytes
_BACKING_FORMAT = 0xE2792ACA
_FIRST_CLUSTER = 64 * 1024  # what a header and all that belongs to it fit into, as dib-py's own qemu makes it


def refuse_references(path: Path, image_format: str) -> None:
    """Raise DiskError unless ``path`` is a self-contained image of ``image_format``."""
    if image_format not in FORMATS:
        raise DiskError(
            f"an image of format {image_format} can't be used as it is",
            hint=f"convert it first: qemu-img convert -O qcow2 {shlex.quote(str(path))} base.qcow2",
            where=str(path),
        )
    if image_format != "qcow2":
        return
    header = _read(path, 104)
    _, version, backing_offset, _ = _QCOW2_HEADER.unpack_from(header)
    hint = f"make it whole: qemu-img convert -O qcow2 {shlex.quote(str(path))} base.qcow2"
    if backing_offset:
        raise DiskError("the image needs a backing file of its own", hint=hint, where=str(path))
    if _has_data_file(version, header):
        raise DiskError("the image keeps its data in another file", hint=hint, where=str(path))


def refuse_data_file(path: Path) -> None:
    """Raise DiskError unless a layer is a qcow2 file with its data in itself; what it lies on is told to qemu apart."""
    header = _read(path, 104)
    if _has_data_file(_QCOW2_HEADER.unpack_from(header)[1], header):
        raise DiskError("the layer keeps its data in another file", where=str(path))


def _has_data_file(version: int, header: bytes) -> bool:
    return version >= 3 and bool(int.from_bytes(header[_INCOMPATIBLE_FEATURES], "big") & _EXTERNAL_DATA_FILE)


def header_backing(path: Path) -> tuple[str, str]:
    """What a qcow2 file's header calls its backing file, and that file's format; each "" where it says nothing."""
    header = _read(path, _FIRST_CLUSTER)
    _, version, offset, length = _QCOW2_HEADER.unpack_from(header)
    if not offset:
        return "", ""
    start = int.from_bytes(header[_HEADER_LENGTH], "big") if version >= 3 else _VERSION_2_LENGTH
    name = os.fsdecode(header[offset : offset + length])
    return name, _extension(header[start:offset], _BACKING_FORMAT).decode("ascii", "replace")


def header_size(path: Path) -> int:
    """How large the disk in a qcow2 file is, in bytes."""
    return int.from_bytes(_read(path, _VERSION_2_LENGTH)[_SIZE], "big")


def _extension(extensions: bytes, wanted: int) -> bytes:
    """The content of one of the header's extensions, empty without it."""
    position = 0
    while position + _EXTENSION.size <= len(extensions):
        kind, length = _EXTENSION.unpack_from(extensions, position)
        position += _EXTENSION.size
        if kind == wanted:
            return extensions[position : position + length]
        position += -(-length // 8) * 8
    return b""


def _read(path: Path, size: int) -> bytes:
    """The first ``size`` bytes of a qcow2 file; DiskError for anything else."""
    try:
        with path.open("rb") as file:
            header = file.read(size)
    except OSError as error:
        raise DiskError(f"the image can't be read: {error.strerror}", where=str(path)) from error
    if len(header) < _VERSION_2_LENGTH or header[:4] != _QCOW2_MAGIC:
        raise DiskError("this is no qcow2 image", where=str(path))
    return header
