"""What a file is, told from its first bytes: no program opens it before that is known.

Guessing is left to nobody else: qemu, asked to probe, would take a raw disk whose guest wrote a qcow2 header into its
first sector for a qcow2 that refers to files of this machine.
"""

from __future__ import annotations

import json
import shlex
from pathlib import Path

from dib_py.disk.image import refuse_references
from dib_py.errors import BaseError, DibError, HostError
from dib_py.process import CommandFailed, run

_IN_USE = 'Failed to get shared "write" lock'  # qemu-img of an image that another qemu has open for writing
PREFIX = 0x10200  # bytes that detection looks at: up to the superblock of btrfs

WIM = b"MSWIM\0\0\0"
_DISKS = ((b"QFI\xfb", "qcow2"), (b"vhdxfile", "vhdx"), (b"conectix", "vpc"), (b"KDMV", "vmdk"), (b"COWD", "vmdk"))
_VDI = slice(0x40, 0x44), b"\x7f\x10\xda\xbe"
_COMPRESSED = (
    (b"\xfd7zXZ\0", "xz"),
    (b"\x1f\x8b", "gzip"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"BZh", "bzip2"),
)
# a raw disk has a partition table or a filesystem: where, and how it begins
_RAW = (
    (510, b"\x55\xaa"),  # MBR, the protective one of GPT, and FAT
    (512, b"EFI PART"),
    (4096, b"EFI PART"),
    (1080, b"\x53\xef"),  # ext2, ext3, ext4
    (0, b"XFSB"),
    (0x10040, b"_BHRfS_M"),
    (0, b"LUKS\xba\xbe"),
    (512, b"LABELONE"),  # LVM
)
_MEDIA = (
    (0x8001, b"CD001", "a CD image (ISO 9660)"),
    (0x8001, b"BEA01", "a DVD image (UDF)"),
    (0, WIM, "a Windows image file (WIM)"),
)
_OTHERS = (
    (257, b"ustar", "a tar archive"),
    (0, b"PK\x03\x04", "a zip archive"),
    (0, b"hsqs", "a squashfs"),
    (0, b"# Disk DescriptorFile", "the descriptor of a VMDK, not its content"),
    (0, b"\x7fELF", "a program"),
)


def compression(prefix: bytes) -> str | None:
    """``xz``, ``gzip``, ``zstd`` or ``bzip2`` for what begins like it."""
    return next((name for magic, name in _COMPRESSED if prefix.startswith(magic)), None)


def detect(prefix: bytes) -> str:
    """qemu's name for the format of the disk image that begins with ``prefix``; BaseError says what it is instead."""
    for magic, name in _DISKS:
        if prefix.startswith(magic):
            return name
    if prefix[_VDI[0]] == _VDI[1]:
        return "vdi"
    for offset, magic, name in _MEDIA:
        if prefix[offset : offset + len(magic)] == magic:
            raise BaseError(
                f"is no disk image but {name}", hint="the element windows-iso makes a disk of Windows' media"
            )
    for offset, magic, name in _OTHERS:
        if prefix[offset : offset + len(magic)] == magic:
            raise BaseError(f"is no disk image but {name}")
    if any(prefix[offset : offset + len(magic)] == magic for offset, magic in _RAW):
        return "raw"
    raise BaseError(f"is no disk image{_impression(prefix)}")


def is_media(prefix: bytes) -> bool:
    """Whether a file that begins so may be installation media, of which a disk can be made."""
    return any(prefix[offset : offset + len(magic)] == magic for offset, magic, _ in _MEDIA)


def is_page(prefix: bytes) -> bool:
    """Whether a file that begins so is a web page: what mirrors and captive portals answer when something is wrong."""
    return prefix.lstrip()[:200].lower().startswith((b"<!doctype html", b"<html"))


def _impression(prefix: bytes) -> str:
    if not prefix:
        return ": it is empty"
    if is_page(prefix):
        return " but an HTML page"
    if not prefix.strip(b"\0"):
        return ": it begins with zeros, with neither a partition table nor a filesystem"
    return ": it has no header of a known format, no partition table and no filesystem"


def examine(path: Path) -> tuple[str, int]:
    """Format and virtual size (bytes) of an image file; BaseError unless it is whole and refers to no other file.

    HostError for one that somebody writes, which is nothing that is wrong with it.
    """
    file = path.absolute()  # a name such as nbd:x alone is an address to qemu
    try:
        found = detect(read_prefix(path))
        refuse_references(path, found)
        info = json.loads(run([*_LIMITS, "qemu-img", "info", "--output=json", "-f", found, file], timeout=60))
    except CommandFailed as error:
        if _IN_USE in error.output:
            raise HostError("the image is in use: another program writes it", where=str(path)) from error
        why = error.output.strip().splitlines()[-1:] or ["qemu-img can't read it"]
        raise BaseError(f"is no whole {found} image: {why[0]}", where=str(path)) from error
    except HostError:
        raise
    except DibError as error:
        raise BaseError(error.message, hint=error.hint, where=str(path)) from error
    if info.get("format-specific", {}).get("data", {}).get("corrupt") or info.get("dirty-flag"):
        hint = f"qemu-img check -r all {shlex.quote(str(path))}"
        raise BaseError(f"is a damaged {found} image", hint=hint, where=str(path))
    if found == "qcow2":
        _check_whole(path)
    return found, int(info["virtual-size"])


def _check_whole(path: Path) -> None:
    """Raise BaseError if the image's tables lead to data that isn't there, as in a copy that was cut off.

    Without this, a hole reads as zeros or as an error in the middle of the build.
    """
    try:
        run([*_LIMITS, "qemu-img", "check", "--output=json", "-f", "qcow2", path.absolute()], timeout=60)
    except CommandFailed as error:
        if error.returncode == _CORRUPTIONS:
            raise BaseError(
                "is no whole qcow2 image: its tables lead to data that is not in it",
                hint="it was cut off or damaged: get it again",
                where=str(path),
            ) from error


# a header that was made to keep qemu busy or to fill the memory stops there, not here
_CORRUPTIONS = 2  # exit code of qemu-img check; 3 is leaks, which cost space only
_LIMITS = ("prlimit", "--as=2147483648", "--cpu=30")


def read_prefix(path: Path) -> bytes:
    """The bytes that detection looks at."""
    try:
        with path.open("rb") as file:
            return file.read(PREFIX)
    except OSError as error:
        raise BaseError(f"can't be read: {error.strerror}", where=str(path)) from error
