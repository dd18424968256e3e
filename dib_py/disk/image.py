"""What a file says about itself as a disk image, read without trusting it.

A qcow2 header can name other files (a backing file, an external data file) that qemu would open with our rights, so
the header is looked at here before any qemu does.
"""

from __future__ import annotations

import shlex
import struct
from pathlib import Path

from dib_py.errors import DiskError

# formats whose images can't name other files of this machine once `refuse_references` was content
FORMATS = ("raw", "qcow2", "vpc", "vhdx", "vdi")

_QCOW2_MAGIC = b"QFI\xfb"
_QCOW2_HEADER = struct.Struct(">4sIQ")  # magic, version, offset of the backing file's name
_INCOMPATIBLE_FEATURES = slice(72, 80)
_EXTERNAL_DATA_FILE = 1 << 2


def refuse_references(path: Path, image_format: str) -> None:
    """Raise DiskError unless ``path`` is a self-contained image of ``image_format``."""
    if image_format not in FORMATS:
        raise DiskError(
            f"a base image of format {image_format} can't be used as it is",
            hint=f"convert it first: qemu-img convert -O qcow2 {shlex.quote(str(path))} base.qcow2",
            where=str(path),
        )
    if image_format != "qcow2":
        return
    try:
        with path.open("rb") as file:
            header = file.read(104)
    except OSError as error:
        raise DiskError(f"the base image can't be read: {error.strerror}", where=str(path)) from error
    if len(header) < 72 or header[:4] != _QCOW2_MAGIC:
        raise DiskError("this is no qcow2 image", where=str(path))
    _, version, backing_offset = _QCOW2_HEADER.unpack_from(header)
    hint = f"make it whole: qemu-img convert -O qcow2 {shlex.quote(str(path))} base.qcow2"
    if backing_offset:
        raise DiskError("the base image needs a backing file of its own", hint=hint, where=str(path))
    features = int.from_bytes(header[_INCOMPATIBLE_FEATURES], "big") if version >= 3 else 0
    if features & _EXTERNAL_DATA_FILE:
        raise DiskError("the base image keeps its data in another file", hint=hint, where=str(path))
