"""Tiny disks that don't boot, each in its own way, made from nothing in a second.

Most have a real bootloader and the kernel of this machine, with busybox as all of their software: a boot takes seconds
under emulation too, and what is on the console are the real words.
"""

from __future__ import annotations

import gzip
import io
import re
import shutil
import stat
import struct
import subprocess
from collections.abc import Mapping
from pathlib import Path

MIB = 1024**2
START = 1 * MIB  # of the only partition
MBR_CODE = Path("/usr/lib/SYSLINUX/mbr.bin")
CONSOLE = "console=ttyS0,115200"

_ACTIVE, _FAT16 = 0x80, 0x0E


def kernel() -> Path:
    """The newest one of this machine."""
    return max(Path("/boot").glob("vmlinuz-*"))


def initramfs_of_debian() -> Path:
    """The one that belongs to it."""
    return kernel().with_name(kernel().name.replace("vmlinuz", "initrd.img"))


# -- disks
def blank(path: Path) -> Path:
    """A qcow2 disk without a partition table: nothing that a firmware would start."""
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", path, "64M"], check=True)
    return path


def without_bootloader(path: Path) -> Path:
    """A partition with a filesystem, and a first sector that is marked as one to start from, with no program in it."""
    _partitioned(path, 32 * MIB, code=b"")
    return path


def with_kernel(path: Path, command_line: str, initramfs: bytes | Path | None = None, size: int = 64 * MIB) -> Path:
    """A bootloader, a kernel with this command line, and perhaps an initramfs."""
    _partitioned(path, size, code=MBR_CODE.read_bytes())
    subprocess.run(["syslinux", "--install", "--offset", str(START), path], check=True, capture_output=True)
    initrd = "  INITRD /initrd\n" if initramfs is not None else ""
    menu = f"SERIAL 0 115200\nDEFAULT linux\nLABEL linux\n  LINUX /linux\n{initrd}  APPEND {command_line}\n"
    files = {"syslinux.cfg": menu.encode(), "linux": kernel().read_bytes()}  # the kernel where a cut takes it first
    if initramfs is not None:
        files["initrd"] = initramfs.read_bytes() if isinstance(initramfs, Path) else initramfs
    for name, data in files.items():
        argv = ["mcopy", "-i", f"{path}@@{START}", "-", f"::/{name}"]
        subprocess.run(argv, input=data, check=True, capture_output=True)
    return path


def with_init(path: Path, script: str, command_line: str = CONSOLE) -> Path:
    """A kernel whose only software is busybox and this shell script, run as the first process."""
    return with_kernel(path, command_line, busybox_initramfs(script))


def qcow2(raw: Path, path: Path) -> Path:
    subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", raw, path], check=True)
    return path


def cut_off(path: Path, share: float) -> Path:
    """Only the first part of what the file was."""
    with path.open("r+b") as file:
        file.truncate(int(path.stat().st_size * share))
    return path


def _partitioned(path: Path, size: int, code: bytes) -> None:
    sectors = (size - START) // 512
    entry = struct.pack("<B3sB3sII", _ACTIVE, b"\xfe\xff\xff", _FAT16, b"\xfe\xff\xff", START // 512, sectors)
    with path.open("wb") as file:
        file.truncate(size)
        file.write(code.ljust(440, b"\0")[:440])
        file.seek(446)
        file.write(entry)
        file.seek(510)
        file.write(b"\x55\xaa")
    hidden = str(START // 512)
    argv = ["mkfs.vfat", "-F", "16", "--offset", hidden, "-h", hidden, path, str(sectors // 2)]
    subprocess.run(argv, check=True, capture_output=True)


# -- what they run
def busybox_initramfs(script: str) -> bytes:
    """A compressed archive with busybox, the libraries that it needs, and ``script`` as /init."""
    busybox = Path(shutil.which("busybox") or "/bin/busybox")
    printed = subprocess.run(["ldd", busybox], capture_output=True, text=True, check=False).stdout
    libraries = [Path(found) for found in re.findall(r"(/\S+) \(0x", printed)]
    files = {str(path): path.read_bytes() for path in libraries}
    files["/bin/busybox"] = busybox.read_bytes()
    commands = "/bin/busybox mkdir -p /dev /proc; /bin/busybox mount -t devtmpfs dev /dev; exec >/dev/console 2>&1"
    files["/init"] = f"#!/bin/busybox sh\n{commands}\n{script}\n".encode()
    return gzip.compress(_cpio(files), 1)


def _cpio(files: Mapping[str, bytes]) -> bytes:
    """A "newc" archive, as the kernel's Documentation/driver-api/early-userspace/buffer-format.rst has it."""
    out = io.BytesIO()
    directories = sorted({str(parent) for name in files for parent in Path(name).parents} - {"/"})
    members = [(name, stat.S_IFDIR | 0o755, b"") for name in directories]
    members += [(name, stat.S_IFREG | 0o755, data) for name, data in files.items()]
    for number, (name, mode, data) in enumerate([*members, ("TRAILER!!!", 0, b"")], 1):
        encoded = name.lstrip("/").encode() + b"\0"
        fields = (number, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(encoded), 0)
        out.write(b"070701" + b"".join(b"%08X" % field for field in fields) + encoded)
        out.write(b"\0" * (-out.tell() % 4))
        out.write(data)
        out.write(b"\0" * (-out.tell() % 4))
    return out.getvalue()
