"""What is inside a base image that this machine may mount: its operating system, and where its filesystems belong."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from dib_py import process
from dib_py.errors import DibError, DiskError, TargetError
from dib_py.target import Inspection, Mount
from dib_py.target.guest_tree import GuestTree
from dib_py.target.host_devices import DISK_NAME, Devices
from dib_py.target.host_mounts import unmount_below

_OS_RELEASE = ("/etc/os-release", "/usr/lib/os-release")
_REFUSED = {
    "LVM2_member": "LVM",
    "crypto_LUKS": "LUKS encryption",
    "linux_raid_member": "software RAID",
    "zfs_member": "ZFS",
}
_NOT_OF_THE_DISK = {"swap", "proc", "sysfs", "tmpfs", "devpts", "nfs", "nfs4", "cifs", "iso9660", "udf", "overlay"}
_SYMBOLS = re.compile(r"\\([0-7]{3})")
_MACHINES = {3: "i686", 40: "armv7l", 62: "x86_64", 183: "aarch64", 22: "s390x", 243: "riscv64"}
_POWER = 21
_SHELLS = ("/bin/sh", "/bin/bash", "/usr/bin/env", "/sbin/init")
_OTHER_TARGET = "the guestfs target can do that: --target guestfs"


@dataclass(frozen=True)
class _Found:
    """A filesystem (or a btrfs subvolume) that holds an operating system."""

    device: str
    fstype: str
    options: str
    release: Mapping[str, str]
    arch: str
    fstab: str
    label: str


def inspect(devices: Devices, scratch: Path) -> Inspection:
    """Find the one operating system on the disk; TargetError for none, for several, and for what only the appliance
    can open."""
    known = {device: _probe(devices.path(device)) for device in devices.candidates()}
    roots = [found for device, values in known.items() for found in _systems(devices, device, values, scratch)]
    if not roots:
        _refuse_unreadable(known)
        raise TargetError(
            "the base image holds no operating system that can be recognised",
            hint="it takes a filesystem with /etc/os-release and a shell, as in a distribution's cloud image",
        )
    if len(roots) > 1:
        names = ", ".join(f"{root.release.get('ID', 'linux')} on {root.device}" for root in roots)
        raise TargetError(f"the base image holds several operating systems: {names}")
    root = roots[0]
    mounts = [Mount(root.device, "/", root.fstype, root.options), *_others(root, devices, known)]
    return Inspection(
        tuple(mounts),
        root.release.get("ID", "linux"),
        root.release.get("VERSION_ID", ""),
        root.arch,
        root.label,
        root.fstype,
    )


def _refuse_unreadable(known: Mapping[str, Mapping[str, str]]) -> None:
    for device, values in known.items():
        what = _REFUSED.get(values.get("TYPE", ""))
        if what:
            raise TargetError(f"the base image has {what} on {device}", hint=_OTHER_TARGET)


def _probe(node: Path) -> dict[str, str]:
    """What blkid says about a device: TYPE, UUID, LABEL ..."""
    try:
        printed = process.run(["blkid", "-p", "-o", "export", node], timeout=60)
    except process.CommandFailed as error:
        if error.returncode == 8:
            raise DiskError(f"{node} looks like two filesystems at once: {error.output.strip()}") from error
        return {}
    return dict(line.partition("=")[::2] for line in printed.splitlines())


def _systems(devices: Devices, device: str, values: Mapping[str, str], scratch: Path) -> Iterator[_Found]:
    fstype = values.get("TYPE", "")
    if values.get("USAGE") != "filesystem" or fstype in ("vfat", "iso9660", "squashfs"):
        return
    node = devices.path(device)
    with _mounted(node, fstype, "ro", scratch) as tree:
        found = _system(tree, device, values, "")
        subvolumes = _subvolumes(tree.root) if fstype == "btrfs" and found is None else []
    if found is not None:
        yield found
    for subvolume in subvolumes:
        with _mounted(node, fstype, f"ro,subvol={subvolume}", scratch) as tree:
            found = _system(tree, device, values, f"subvol={subvolume}")
            if found is not None:
                yield found


@contextmanager
def _mounted(node: Path, fstype: str, options: str, scratch: Path) -> Iterator[GuestTree]:
    scratch.mkdir(exist_ok=True)
    try:
        process.run(["mount", "-t", fstype, "-o", options, node, scratch], timeout=300)
    except DibError as error:
        raise TargetError(
            f"the {fstype} filesystem of the base image can't be mounted: {error}",
            hint="start the machine that it comes from and shut it down cleanly, or use --target guestfs",
        ) from error
    try:
        yield GuestTree(scratch)
    finally:
        unmount_below(scratch)


def _subvolumes(top: Path) -> list[str]:
    printed = process.run(["btrfs", "subvolume", "list", "-o", top], timeout=60)
    return [line.split(" path ", 1)[1] for line in printed.splitlines() if " path " in line]


def _system(tree: GuestTree, device: str, values: Mapping[str, str], options: str) -> _Found | None:
    """The operating system whose root ``tree`` is, if it is one's."""
    name = next((name for name in _OS_RELEASE if tree.exists(name)), None)
    if name is None:
        return None
    text = tree.read(name).decode(errors="replace")
    fstab = tree.read("/etc/fstab").decode(errors="replace") if tree.exists("/etc/fstab") else ""
    return _Found(device, values["TYPE"], options, _release(text), _architecture(tree), fstab, values.get("LABEL", ""))


def _release(text: str) -> dict[str, str]:
    pairs = (line.partition("=")[::2] for line in text.splitlines() if "=" in line)
    return {name.strip(): value.strip().strip("\"'") for name, value in pairs}


def _architecture(tree: GuestTree) -> str:
    """uname's word for what the guest's programs are made for; empty if there is none to look at."""
    program = next((tree.read(path)[:20] for path in _SHELLS if tree.exists(path)), b"")
    if program[:4] != b"\x7fELF":
        return ""
    little = program[5] == 1
    (machine,) = struct.unpack("<H" if little else ">H", program[18:20])
    if machine == _POWER:
        return "ppc64le" if little else "ppc64"
    return _MACHINES.get(machine, "")


def _others(root: _Found, devices: Devices, known: Mapping[str, Mapping[str, str]]) -> list[Mount]:
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
        device = _device(spec, root, devices, known)
        if device is None and "nofail" in chosen:
            continue
        if device is None:
            raise TargetError(
                f"fstab of the base image mounts {spec} at {path}, which is not on its disk",
                hint=_OTHER_TARGET if spec.startswith("/dev/mapper/") else "",
            )
        subvolume = ",".join(option for option in chosen if option.startswith("subvol"))
        mounts.append(Mount(device, path, known[device].get("TYPE", fields[2]), subvolume))
    return sorted(mounts, key=lambda mount: mount.path)


def _octal(match: re.Match[str]) -> str:
    return chr(int(match[1], 8))


def _device(spec: str, root: _Found, devices: Devices, known: Mapping[str, Mapping[str, str]]) -> str | None:
    """The device that a first field of fstab means."""
    tag, _, value = spec.partition("=")
    if spec.startswith("/dev/disk/by-"):
        kind, _, value = spec[len("/dev/disk/by-") :].partition("/")
        tag = kind.upper()
    value = value.strip('"')
    if tag in ("UUID", "LABEL"):
        return next((device for device, one in known.items() if one.get(tag, "").lower() == value.lower()), None)
    if tag in ("PARTUUID", "PARTLABEL"):
        return _by_partition(tag, value, devices)
    numbered = re.fullmatch(r"/dev/(?:[shv]d[a-z]|xvd[a-z]|(?:nvme\d+n\d+|mmcblk\d+|loop\d+)p)(\d+)", spec)
    if numbered:
        device = f"{DISK_NAME}p{numbered[1]}"
        return device if device in known else None
    if spec in ("/dev/root", "/dev/btrfs"):
        return root.device
    return None


def _by_partition(tag: str, value: str, devices: Devices) -> str | None:
    for entry in devices.table:
        if value.lower() == (entry.uuid if tag == "PARTUUID" else entry.name).lower():
            return entry.device
    return None
