"""What the files of a base image's root filesystem say: which system it is, and what else of its disk belongs where.

``known`` maps each filesystem's device to what blkid says of it (TYPE, UUID, LABEL ...), with NUMBER, PARTUUID and
PARTLABEL of the partition that it is on.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass

from dib_py.errors import TargetError
from dib_py.target import Inspection, Mount

OS_RELEASE = ("/etc/os-release", "/usr/lib/os-release")
PROGRAM_HEAD = 20  # bytes of a program, from which :func:`architecture` knows what it is for

_NOT_OF_THE_DISK = {"swap", "proc", "sysfs", "tmpfs", "devpts", "nfs", "nfs4", "cifs", "iso9660", "udf", "overlay"}
_SYMBOLS = re.compile(r"\\([0-7]{3})")
_NUMBERED = re.compile(r"/dev/(?:[shv]d[a-z]|xvd[a-z]|(?:nvme\d+n\d+|mmcblk\d+|loop\d+)p)(\d+)")
_MACHINES = {3: "i686", 40: "armv7l", 62: "x86_64", 183: "aarch64", 22: "s390x", 243: "riscv64"}
_POWER = 21

Known = Mapping[str, Mapping[str, str]]


@dataclass(frozen=True)
class Root:
    """A filesystem (or a btrfs subvolume) that holds an operating system, with the text of its os-release and fstab."""

    device: str
    fstype: str
    options: str
    release: Mapping[str, str]
    arch: str
    fstab: str
    label: str

    def inspection(self, known: Known) -> Inspection:
        """All that a build must know; TargetError where fstab mounts what is not among ``known``."""
        return Inspection(
            (Mount(self.device, "/", self.fstype, self.options), *_others(self, known)),
            self.release.get("ID", "linux"),
            self.release.get("VERSION_ID", ""),
            self.arch,
            self.label,
            self.fstype,
        )


def tags(printed: str) -> dict[str, str]:
    """What ``blkid -p -o export`` printed of a device, without the backslashes that it puts before odd characters."""
    pairs = (line.partition("=")[::2] for line in printed.splitlines())
    return {name: re.sub(r"\\(.)", r"\1", value) for name, value in pairs}


def release_fields(text: str) -> dict[str, str]:
    """The fields of an os-release file."""
    pairs = (line.partition("=")[::2] for line in text.splitlines() if "=" in line)
    return {name.strip(): value.strip().strip("\"'") for name, value in pairs}


def architecture(program: bytes) -> str:
    """uname's word for what a program is made for, by its first bytes; empty where they are no ELF header."""
    if len(program) < PROGRAM_HEAD or program[:4] != b"\x7fELF":
        return ""
    little = program[5] == 1
    (machine,) = struct.unpack("<H" if little else ">H", program[18:20])
    if machine == _POWER:
        return "ppc64le" if little else "ppc64"
    return _MACHINES.get(machine, "")


def _others(root: Root, known: Known) -> list[Mount]:
    """The filesystems that fstab mounts below the root, parents first."""
    mounts = []
    for line in root.fstab.splitlines():
        fields = line.split("#", 1)[0].split()
        if len(fields) < 3 or not fields[1].startswith("/") or fields[1] == "/" or fields[2] in _NOT_OF_THE_DISK:
            continue
        spec, path, _, options = (_SYMBOLS.sub(_octal, field) for field in [*fields, "defaults"][:4])
        chosen = options.split(",")
        if "noauto" in chosen or "bind" in chosen or spec.startswith("//"):
            continue
        device = _device(spec, root, known)
        if device is None and "nofail" in chosen:
            continue
        if device is None:
            raise TargetError(
                f"fstab of the base image mounts {spec} at {path}, which is not on its disk",
                hint="the guestfs target can do that: --target guestfs" if spec.startswith("/dev/mapper/") else "",
            )
        subvolume = ",".join(option for option in chosen if option.startswith("subvol"))
        mounts.append(Mount(device, path, known[device].get("TYPE", fields[2]), subvolume))
    return sorted(mounts, key=lambda mount: mount.path)


def _octal(match: re.Match[str]) -> str:
    return chr(int(match[1], 8))


def _device(spec: str, root: Root, known: Known) -> str | None:
    """The device that a first field of fstab means."""
    tag, _, value = spec.partition("=")
    if spec.startswith("/dev/disk/by-"):
        kind, _, value = spec[len("/dev/disk/by-") :].partition("/")
        tag = kind.upper()
    if tag in ("UUID", "LABEL", "PARTUUID", "PARTLABEL"):
        return _with(tag, value.strip('"'), known)
    numbered = _NUMBERED.fullmatch(spec)
    if numbered:
        return _with("NUMBER", numbered[1], known)
    if spec in ("/dev/root", "/dev/btrfs"):
        return root.device
    return None


def _with(tag: str, value: str, known: Known) -> str | None:
    wanted = value.lower()
    return next((device for device, one in known.items() if wanted and one.get(tag, "").lower() == wanted), None)
