"""Which system is on a disk, told by a handle of libguestfs that has files in place of an appliance."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any

import pytest

from dib_py.verify.systems import System, find

ELF = {"x86_64": 62, "aarch64": 183}


def program(arch: str) -> bytes:
    return b"\x7fELF\x02\x01\x01".ljust(16, b"\0") + struct.pack("<HH", 3, ELF[arch])


def nt_program(machine: int, offset: int = 0x80) -> bytes:
    head = b"MZ".ljust(0x3C, b"\0") + struct.pack("<I", offset)
    return head.ljust(offset, b"\0") + b"PE\0\0" + struct.pack("<H", machine)


class Handle:
    """Filesystems by device, each with its files; like an appliance, it mounts only what it has."""

    def __init__(self, disks: Mapping[str, Mapping[str, bytes]], tags: Mapping[str, Mapping[str, str]]) -> None:
        self.disks, self.tags = disks, tags
        self.mounted: dict[str, str] = {}
        self.options: dict[str, str] = {}

    def mount_ro(self, device: str, path: str) -> None:
        self.mount_options("ro", device, path)

    def mount_options(self, options: str, device: str, path: str) -> None:
        if device not in self.disks:
            raise RuntimeError(f"mount: {device}: unknown filesystem type")
        self.mounted[path] = device
        self.options[path] = options

    def umount_all(self) -> None:
        self.mounted.clear()

    def is_file(self, path: str, followsymlinks: bool = False) -> bool:
        return path in self._files()

    def pread(self, path: str, count: int, offset: int) -> bytes:
        return self._files()[path][offset : offset + count]

    def case_sensitive_path(self, path: str) -> str:
        found = [name for name in self._files() if name.lower() == path.lower()]
        if not found:
            raise RuntimeError(f"case_sensitive_path: {path}: No such file or directory")
        return found[0]

    def blkid(self, device: str) -> Mapping[str, str]:
        return self.tags[device]

    def _files(self) -> Mapping[str, bytes]:
        return self.disks[self.mounted["/"]]


def debian(fstab: str = "LABEL=root / ext4 defaults 0 1\n", arch: str = "x86_64") -> dict[str, bytes]:
    return {"/etc/os-release": b"ID=debian\n", "/etc/fstab": fstab.encode(), "/bin/sh": program(arch)}


TAGS = {
    "/dev/sda1": {"TYPE": "ext4", "LABEL": "root"},
    "/dev/sda2": {"TYPE": "ext4", "LABEL": "var"},
    "/dev/sda3": {"TYPE": "crypto_LUKS"},
}
TYPES = {device: tags["TYPE"] for device, tags in TAGS.items()}


def found(disks: Mapping[str, Mapping[str, bytes]], types: Mapping[str, str] = TYPES) -> tuple[System, Handle]:
    handle = Handle(disks, TAGS)
    anything: Any = handle
    return find(anything, types), handle


def test_linux_with_what_its_fstab_mounts() -> None:
    fstab = "LABEL=root / ext4 defaults 0 1\nLABEL=var /var ext4 defaults 0 2\n"
    system, handle = found({"/dev/sda1": debian(fstab), "/dev/sda2": {"/log/x": b""}})
    assert (system.family, system.arch, system.problem) == ("linux", "x86_64", "")
    assert handle.mounted == {"/": "/dev/sda1", "/var": "/dev/sda2"}
    assert set(handle.options.values()) == {"ro"}


def test_another_architecture() -> None:
    system, _ = found({"/dev/sda1": debian(arch="aarch64")})
    assert system.arch == "aarch64"


def test_an_fstab_that_mounts_what_is_not_there() -> None:
    system, handle = found({"/dev/sda1": debian("LABEL=root / ext4 defaults 0 1\nLABEL=data /srv ext4 defaults 0 2\n")})
    assert system.family == "linux" and "LABEL=data" in system.problem
    assert handle.mounted == {"/": "/dev/sda1"}


def test_a_filesystem_that_can_not_be_mounted() -> None:
    fstab = "LABEL=root / ext4 defaults 0 1\nLABEL=var /var ext4 defaults 0 2\n"
    system, _ = found({"/dev/sda1": debian(fstab)})  # /dev/sda2 is there, and broken
    assert system.problem.startswith("what fstab mounts at /var can't be mounted")


@pytest.mark.parametrize(("machine", "arch"), [(0x8664, "x86_64"), (0xAA64, "aarch64"), (0x1234, "")])
def test_windows_whatever_the_case_of_its_names(machine: int, arch: str) -> None:
    system, handle = found({"/dev/sda1": {"/WINDOWS/system32/NTOSKRNL.EXE": nt_program(machine)}})
    assert (system.family, system.arch) == ("windows", arch)
    assert handle.mounted == {"/": "/dev/sda1"}


@pytest.mark.parametrize("program", [b"", b"MZ", nt_program(0x8664)[:0x82], b"MZ".ljust(0x3C, b"\0") + b"\xff" * 8])
def test_a_windows_kernel_that_is_no_program(program: bytes) -> None:
    system, _ = found({"/dev/sda1": {"/Windows/System32/ntoskrnl.exe": program}})
    assert (system.family, system.arch) == ("windows", "")


def test_no_system_and_several() -> None:
    assert found({"/dev/sda1": {"/readme": b""}})[0] == System(problem="no operating system was found on it")
    assert found({})[0].problem == "no operating system was found on it"
    both = found({"/dev/sda1": debian(), "/dev/sda2": debian()})[0]
    assert (both.family, both.problem) == ("", "it holds 2 operating systems")
