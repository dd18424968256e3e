"""What is inside a base image that this machine may mount: its operating system, and where its filesystems belong."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from dib_py import process
from dib_py.errors import DibError, DiskError, TargetError
from dib_py.target import Inspection
from dib_py.target.base_system import OS_RELEASE, PROGRAM_HEAD, Root, architecture, release_fields, tags
from dib_py.target.guest_tree import GuestTree
from dib_py.target.host_devices import Devices
from dib_py.target.host_mounts import mount_device, unmount_below

_REFUSED = {
    "LVM2_member": "LVM",
    "crypto_LUKS": "LUKS encryption",
    "linux_raid_member": "software RAID",
    "zfs_member": "ZFS",
}
_SHELLS = ("/bin/sh", "/bin/bash", "/usr/bin/env", "/sbin/init")
_OTHER_TARGET = "the guestfs target can do that: --target guestfs"


def inspect(devices: Devices, scratch: Path) -> Inspection:
    """Find the one operating system on the disk; TargetError for none, for several, and for what only the appliance
    can open."""
    known = {device: _probe(devices.path(device)) for device in devices.candidates()}
    for entry in devices.table:
        if entry.device in known:
            known[entry.device] |= {"NUMBER": str(entry.number), "PARTUUID": entry.uuid, "PARTLABEL": entry.name}
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
    return roots[0].inspection(known)


def _refuse_unreadable(known: Mapping[str, Mapping[str, str]]) -> None:
    for values in known.values():
        what = _REFUSED.get(values.get("TYPE", ""))
        if what:
            where = f"partition {values['NUMBER']}" if "NUMBER" in values else "the whole disk"
            raise TargetError(f"the base image has {what} on {where}", hint=_OTHER_TARGET)


def _probe(node: Path) -> dict[str, str]:
    """What blkid says about a device: TYPE, UUID, LABEL ..."""
    try:
        printed = process.run(["blkid", "-p", "-o", "export", node], timeout=60)
    except process.CommandFailed as error:
        if error.returncode == 8:
            raise DiskError(f"{node} looks like two filesystems at once: {error.output.strip()}") from error
        return {}
    return tags(printed)


def _systems(devices: Devices, device: str, values: Mapping[str, str], scratch: Path) -> Iterator[Root]:
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
        mount_device(node, fstype, scratch, (options,))
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


def _system(tree: GuestTree, device: str, values: Mapping[str, str], options: str) -> Root | None:
    """The operating system whose root ``tree`` is, if it is one's."""
    name = next((name for name in OS_RELEASE if tree.exists(name)), None)
    if name is None:
        return None
    text = tree.read(name).decode(errors="replace")
    fstab = tree.read("/etc/fstab").decode(errors="replace") if tree.exists("/etc/fstab") else ""
    arch = _architecture(tree)
    return Root(device, values["TYPE"], options, release_fields(text), arch, fstab, values.get("LABEL", ""))


def _architecture(tree: GuestTree) -> str:
    """What the guest's programs are made for; empty if there is none to look at."""
    return architecture(next((tree.read(path)[:PROGRAM_HEAD] for path in _SHELLS if tree.exists(path)), b""))
