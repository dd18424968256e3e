"""Whether this machine can make a layout by itself, for the host target."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from dib_py import process
from dib_py.disk.layout import Layout
from dib_py.errors import DiskError
from dib_py.host_programs import find

_PROGRAMS = {"swap": "mkswap", "msdos": "mkfs.vfat"}
_KERNEL_NAMES = {"msdos": "vfat"}


def why_not(layout: Layout) -> str:
    """Why the host target can't make the layout; empty where it can."""
    if layout.groups or layout.volumes:
        return "it can't make logical volumes"
    for fstype in dict.fromkeys(fs.type for fs in layout.filesystems):
        program = _PROGRAMS.get(fstype, f"mkfs.{fstype}")
        if find(program) is None:
            return f"{program} is not installed"
        kernel_name = _KERNEL_NAMES.get(fstype, fstype)
        if fstype != "swap" and not _kernel_has(kernel_name):
            what = "an EFI system partition" if kernel_name == "vfat" else "this layout"
            return f"this machine's kernel has no {kernel_name}, which {what} needs"
    return ""


def _kernel_has(fstype: str) -> bool:
    """Whether this machine's kernel can mount ``fstype``, perhaps with a module that is loaded for it."""
    if _knows(fstype):
        return True
    with suppress(DiskError, process.CommandFailed, OSError):
        process.run(["modprobe", "--quiet", fstype], timeout=30)
    return _knows(fstype)


def _knows(fstype: str) -> bool:
    return fstype in Path("/proc/filesystems").read_text().split()
