"""Which operating system is on a disk in the appliance, found a good deal faster than by libguestfs' own inspection.

Each filesystem is mounted alone and looked at, then all of the system's are mounted where its fstab has them. Nothing
here is an error of the image: what is odd is told as a problem, and what can be read is read.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dib_py.errors import TargetError
from dib_py.target import Mount
from dib_py.target.base_system import OS_RELEASE, PROGRAM_HEAD, Root, architecture, release_fields

_SHELLS = ("/bin/sh", "/bin/bash", "/usr/bin/env", "/sbin/init")
_NT_KERNEL = "/Windows/System32/ntoskrnl.exe"
_PE_MACHINES = {0x8664: "x86_64", 0xAA64: "aarch64", 0x14C: "i686"}
_PE_HEAD = 4096  # bytes; the header is within them


@dataclass(frozen=True)
class System:
    """``family`` is "linux", "windows" or "", ``problem`` what keeps it from being read as a whole, in one line."""

    family: str = ""
    arch: str = ""
    mounts: tuple[Mount, ...] = ()
    problem: str = ""


def find(handle: Any, filesystems: Mapping[str, str]) -> System:
    """The one operating system on ``filesystems`` (device to type); its filesystems are mounted read-only then."""
    found = []
    for device in filesystems:
        try:
            handle.mount_ro(device, "/")
        except RuntimeError:  # no filesystem of a kind that the appliance knows
            continue
        try:
            found += _windows(handle, device) or _linux(handle, device, filesystems)
        finally:
            handle.umount_all()
    if not found:
        return System(problem="no operating system was found on it")
    if len(found) > 1:
        return System(problem=f"it holds {len(found)} operating systems")
    return _mounted(handle, found[0])


def _mounted(handle: Any, system: System) -> System:
    handle.mount_ro(system.mounts[0].device, "/")
    done = [system.mounts[0]]
    problem = system.problem
    for mount in system.mounts[1:]:
        try:
            handle.mount_options(",".join(filter(None, ["ro", mount.options])), mount.device, mount.path)
            done.append(mount)
        except RuntimeError as error:
            problem = problem or f"what fstab mounts at {mount.path} can't be mounted: {error}"
    return System(system.family, system.arch, tuple(done), problem)


def _windows(handle: Any, device: str) -> list[System]:
    try:
        path = handle.case_sensitive_path(_NT_KERNEL)
        if not handle.is_file(path):
            return []
    except RuntimeError:
        return []
    return [System("windows", _pe_arch(handle.pread(path, _PE_HEAD, 0)), (Mount(device, "/", "ntfs"),))]


def _linux(handle: Any, device: str, filesystems: Mapping[str, str]) -> list[System]:
    release = _text(handle, OS_RELEASE)
    if not release:
        return []
    arch = next((found for path in _SHELLS if (found := architecture(_head(handle, path)))), "")
    fstab = _text(handle, ("/etc/fstab",))
    root = Root(device, filesystems[device], "", release_fields(release), arch, fstab, "")
    mounts: tuple[Mount, ...] = (Mount(device, "/", filesystems[device]),)
    problem = ""
    try:
        mounts = root.inspection(_known(handle, filesystems)).mounts
    except TargetError as error:
        problem = str(error)
    return [System("linux", arch, mounts, problem)]


def _known(handle: Any, filesystems: Mapping[str, str]) -> dict[str, dict[str, str]]:
    names = {"PART_ENTRY_NUMBER": "NUMBER", "PART_ENTRY_UUID": "PARTUUID", "PART_ENTRY_NAME": "PARTLABEL"}
    known: dict[str, dict[str, str]] = {}
    for device in filesystems:
        if device.startswith("btrfsvol:"):
            continue
        known[device] = {names.get(name, name): str(value) for name, value in handle.blkid(device).items()}
    return known


def _text(handle: Any, paths: tuple[str, ...]) -> str:
    for path in paths:
        if handle.is_file(path, followsymlinks=True):
            return bytes(handle.pread(path, 64 * 1024, 0)).decode(errors="replace")
    return ""


def _head(handle: Any, path: str) -> bytes:
    return bytes(handle.pread(path, PROGRAM_HEAD, 0)) if handle.is_file(path, followsymlinks=True) else b""


def _pe_arch(head: bytes) -> str:
    """What a Windows program is made for: the machine field of its COFF header."""
    try:
        (offset,) = struct.unpack_from("<I", head, 0x3C)
        (machine,) = struct.unpack_from("<H", head, offset + 4)
    except struct.error:
        return ""
    return _PE_MACHINES.get(machine, "") if head[offset : offset + 4] == b"PE\0\0" else ""
