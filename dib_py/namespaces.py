"""The few system calls that Python has no name for: namespaces, mounts and death signals.

Every function raises OSError with the kernel's errno.
"""

from __future__ import annotations

import ctypes
import os
import signal
from pathlib import Path

CLONE_NEWNS = 0x00020000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

MS_RDONLY = 0x1
MS_NOSUID = 0x2
MS_NODEV = 0x4
MS_NOEXEC = 0x8
MS_REMOUNT = 0x20
MS_BIND = 0x1000
MS_REC = 0x4000
MS_PRIVATE = 1 << 18
MS_SLAVE = 1 << 19
MS_SHARED = 1 << 20

MNT_DETACH = 2

_PR_SET_PDEATHSIG = 1

_libc = ctypes.CDLL(None, use_errno=True)
_libc.mount.argtypes = (ctypes.c_char_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_ulong, ctypes.c_char_p)


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def unshare(flags: int) -> None:
    """Leave namespaces that this process shares with its parent; a pid namespace takes only later children."""
    _check(_libc.unshare(flags), "unshare")


def mount(source: str | Path, target: str | Path, fstype: str = "", flags: int = 0, data: str = "") -> None:
    _check(
        _libc.mount(os.fsencode(source), os.fsencode(target), fstype.encode() or None, flags, data.encode() or None),
        f"mount {target}",
    )


def propagation(target: str | Path, flags: int) -> None:
    """Say whom mounts below ``target`` reach from now on: MS_PRIVATE, MS_SLAVE or MS_SHARED, with MS_REC for all."""
    mount("none", target, "", flags)


def umount(target: str | Path, flags: int = 0) -> None:
    _check(_libc.umount2(os.fsencode(target), flags), f"umount {target}")


def die_with_parent() -> None:
    """Be killed when the thread that forked this process ends; the caller looks whether that was already so."""
    _check(_libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0), "prctl")


def syncfs(path: Path) -> None:
    """Write the filesystem that ``path`` is on back to its device."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        _check(_libc.syncfs(fd), f"sync {path}")
    finally:
        os.close(fd)


def map_to_root(uid: int, gid: int) -> None:
    """In a new user namespace, be root there: the only identity that may mount and use FUSE in it."""
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"0 {uid} 1")
    Path("/proc/self/gid_map").write_text(f"0 {gid} 1")
