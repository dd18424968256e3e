"""Loop devices and their partition nodes, by the kernel's own calls.

A device is attached with autoclear while it is open here, so that it ends with the process that attached it and its
mounts, however these end.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import stat
import struct
import time
from pathlib import Path

from dib_py import process
from dib_py.errors import DiskError

_LOOP_SET_STATUS64 = 0x4C04
_LOOP_GET_STATUS64 = 0x4C05
_LOOP_SET_CAPACITY = 0x4C07
_LOOP_CONFIGURE = 0x4C0A
_LOOP_CTL_GET_FREE = 0x4C82
_LO_FLAGS_AUTOCLEAR = 4

_BLKPG = 0x1269
_BLKPG_DEL_PARTITION = 2
_BLKFLSBUF = 0x1261

_ATTEMPTS = 50
_PAUSE = 0.05  # seconds, while the kernel or udev still holds a device


class LoopInfo(ctypes.Structure):
    """struct loop_info64 of linux/loop.h."""

    _fields_ = (
        ("device", ctypes.c_uint64),
        ("inode", ctypes.c_uint64),
        ("rdevice", ctypes.c_uint64),
        ("offset", ctypes.c_uint64),
        ("sizelimit", ctypes.c_uint64),
        ("number", ctypes.c_uint32),
        ("encrypt_type", ctypes.c_uint32),
        ("encrypt_key_size", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),
        ("file_name", ctypes.c_char * 64),
        ("crypt_name", ctypes.c_char * 64),
        ("encrypt_key", ctypes.c_uint8 * 32),
        ("init", ctypes.c_uint64 * 2),
    )


class _LoopConfig(ctypes.Structure):
    """struct loop_config of linux/loop.h."""

    _fields_ = (
        ("fd", ctypes.c_uint32),
        ("block_size", ctypes.c_uint32),
        ("info", LoopInfo),
        ("reserved", ctypes.c_uint64 * 8),
    )


class Loop:
    """One attached loop device: ``size`` bytes of a file from ``offset``."""

    def __init__(self, path: Path, file: int) -> None:
        """:meth:`attach` is the way in."""
        self.path = path
        self._file = file

    @classmethod
    def attach(cls, backing: Path, *, offset: int = 0, size: int, sector_size: int = 512) -> Loop:
        """Attach a free loop device; DiskError where there is none, or the kernel is older than Linux 5.8."""
        config = _LoopConfig(block_size=sector_size)
        config.info.offset = offset
        config.info.sizelimit = size
        config.info.flags = _LO_FLAGS_AUTOCLEAR
        config.info.file_name = os.fsencode(backing)[:63]
        config.fd = os.open(backing, os.O_RDWR | os.O_CLOEXEC)
        try:
            return cls._attach_free(config)
        except OSError as error:
            raise DiskError(
                f"no loop device can be attached: {error.strerror}", hint="dib-py doctor says what is missing"
            ) from error
        finally:
            os.close(config.fd)

    @classmethod
    def _attach_free(cls, config: _LoopConfig) -> Loop:
        for _ in range(_ATTEMPTS):
            with Path("/dev/loop-control").open("rb") as control:
                number = fcntl.ioctl(control, _LOOP_CTL_GET_FREE)
            path = Path(f"/dev/loop{number}")
            if not path.exists():  # no devtmpfs here, as in some containers
                os.mknod(path, 0o600 | stat.S_IFBLK, os.makedev(7, number))
            file = os.open(path, os.O_RDWR | os.O_CLOEXEC)
            try:
                fcntl.ioctl(file, _LOOP_CONFIGURE, config)
                return cls(path, file)
            except OSError as error:
                os.close(file)
                if error.errno != errno.EBUSY:  # another was faster with this one
                    raise
        raise OSError(errno.EBUSY, "all loop devices are taken before this process gets one")

    def resize(self, size: int) -> None:
        """Show ``size`` bytes of the file from now on; works while mounted."""
        info = status(self._file)
        info.sizelimit = size
        for attempt in range(_ATTEMPTS):
            try:
                fcntl.ioctl(self._file, _LOOP_SET_STATUS64, info)
                break
            except OSError as error:  # older kernels want a moment without dirty pages
                if error.errno != errno.EAGAIN or attempt == _ATTEMPTS - 1:
                    raise DiskError(f"{self.path} can't be resized: {error.strerror}") from error
                time.sleep(_PAUSE)
        fcntl.ioctl(self._file, _LOOP_SET_CAPACITY)

    def write_back(self) -> None:
        """Write the device's buffers back; OSError where that can't be done."""
        os.fsync(self._file)

    def flush(self) -> None:
        """Write the device's buffers back and forget them, so that other views of the disk and this one agree."""
        self.write_back()
        fcntl.ioctl(self._file, _BLKFLSBUF)

    def add_partitions(self) -> None:
        """Let the kernel know the partitions of the table on the device; their nodes are ``PATHpN``."""
        process.run(["partx", "--add", self.path], timeout=30)

    def partition_node(self, number: int) -> Path:
        return self.path.with_name(f"{self.path.name}p{number}")

    def close(self) -> None:
        """Detach, as soon as nothing mounts it."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


def status(file: int) -> LoopInfo:
    """What the kernel says of an open loop device; OSError if nothing is attached."""
    info = LoopInfo()
    fcntl.ioctl(file, _LOOP_GET_STATUS64, info)
    return info


def remove_partitions(device: Path) -> list[str]:
    """Remove the partition nodes of a loop device; returns their paths. DiskError if one stays in use."""
    nodes = sorted(Path("/sys/block", device.name).glob(f"{device.name}p*"))
    if not nodes:
        return []
    file = os.open(device, os.O_RDONLY | os.O_CLOEXEC)
    try:
        for node in nodes:
            _remove_partition(file, int((node / "partition").read_text()), node.name)
    finally:
        os.close(file)
    return [f"/dev/{node.name}" for node in nodes]


def _remove_partition(device: int, number: int, name: str) -> None:
    data = ctypes.create_string_buffer(struct.pack("qqi64s64s4x", 0, 0, number, b"", b""))
    argument = struct.pack("iiiP", _BLKPG_DEL_PARTITION, 0, len(data), ctypes.addressof(data))
    for attempt in range(_ATTEMPTS):
        try:
            fcntl.ioctl(device, _BLKPG, argument)
            return
        except OSError as error:
            if error.errno != errno.EBUSY or attempt == _ATTEMPTS - 1:  # udev looks into new nodes for a moment
                raise DiskError(f"partition node /dev/{name} can't be removed: {error.strerror}") from error
            time.sleep(_PAUSE)
