"""What ``dib-py inspect`` tells of an image, as a value; ``dib_py/schema/inspect.json`` describes its JSON."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

from dib_py.inside import linux, packages, rpm
from dib_py.inside.guests import LinuxGuest, WindowsGuest, find
from dib_py.inside.linux import LinuxFacts
from dib_py.inside.opening import OpenImage
from dib_py.target.guestfs_appliance import Appliance
from dib_py.windows import refusals
from dib_py.windows.inspection import Inspection
from dib_py.windows.partitions import PartitionTable
from dib_py.windows.refusals import Refusal

VERSION = 1  # of the JSON
_SECTOR = 512


@dataclass(frozen=True)
class Filesystem:
    """One that is mounted; ``path`` is where the guest has it (``C:`` on Windows), ``size`` and ``free`` are bytes."""

    path: str
    device: str
    fstype: str
    size: int
    free: int


@dataclass(frozen=True)
class Report:
    """``refusals`` is what a build would refuse the image for; only a Windows is ever refused for its state."""

    image: str
    format: str
    size: int  # bytes of the disk
    table: PartitionTable
    filesystems: tuple[Filesystem, ...]
    windows: Inspection | None = None
    linux: LinuxFacts | None = None
    refusals: tuple[Refusal, ...] = ()

    def json(self) -> str:
        return json.dumps({"version": VERSION, **_plain(self)}, indent=2)


def look(image: OpenImage) -> Report:
    """Find the guest of an image and look at it."""
    guest = find(image)
    make = partial(Report, str(image.path), image.format, image.size, guest.table)
    if isinstance(guest, WindowsGuest):
        facts = guest.installation.facts
        found = (*refusals.installation(facts, {}), *refusals.driver_policy(guest.installation.registry, {}))
        return make(tuple(_volumes(image.appliance, guest)), windows=facts, refusals=found)
    filesystems = tuple(_mounted(image.appliance, guest))
    return make(filesystems, linux=_linux(image, guest))


def _linux(image: OpenImage, guest: LinuxGuest) -> LinuxFacts:
    appliance = image.appliance
    installed = packages.installed(guest.files, lambda: rpm.packages(appliance, guest, image.scratch))
    disk = guest.table.partitions[0].device.rstrip("0123456789") if guest.table.partitions else ""
    record = appliance.call(lambda g: g.pread_device(disk, _SECTOR, 0)) if disk else b""
    return linux.inspect(guest.files, guest.found, guest.table, installed, record)


def _volumes(appliance: Appliance, guest: WindowsGuest) -> Iterable[Filesystem]:
    for mount, (point, shown) in zip(guest.disk.mounts, guest.points, strict=True):
        yield Filesystem(shown, mount.device, mount.fstype, *_room(appliance, point))


def _mounted(appliance: Appliance, guest: LinuxGuest) -> Iterable[Filesystem]:
    for mount in guest.found.mounts:
        yield Filesystem(mount.path, mount.device, mount.fstype, *_room(appliance, mount.path))


def _room(appliance: Appliance, path: str) -> tuple[int, int]:
    """Bytes in all and free."""
    usage = appliance.call(lambda g: g.statvfs(path))
    return usage["blocks"] * usage["frsize"], usage["bavail"] * usage["frsize"]


def _plain(value: Any) -> Any:
    """A dataclass as JSON has it; what is None is left out, and properties that are facts too are put in."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {one.name: _plain(getattr(value, one.name)) for one in dataclasses.fields(value)}
        if isinstance(value, Inspection):
            fields["generation"] = value.generation.title
            fields["version"] = value.full_version
        return {name: field for name, field in fields.items() if field is not None}
    if isinstance(value, (tuple, list)):
        return [_plain(one) for one in value]
    return value
