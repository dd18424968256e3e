"""Which guest is in an image: a Windows or a Linux, with its filesystems mounted in the appliance."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dib_py.errors import TargetError
from dib_py.inside.opening import OpenImage
from dib_py.target import Inspection, guestfs_inspect
from dib_py.target.guestfs_appliance import Appliance
from dib_py.target.guestfs_files import GuestFiles
from dib_py.windows import appliance_disk, partitions
from dib_py.windows.appliance_disk import WindowsDisk
from dib_py.windows.installation import Installation, open_installation
from dib_py.windows.partitions import PartitionTable

ROOT = "/"  # where libguestfs has a Linux
_LARGEST = 64 * 1024**2  # bytes of a file that is read whole
_PIECE = 1024**2
_OF_WINDOWS = {"ntfs", "bitlocker", "refs"}
_OF_LINUX = ("ext", "xfs", "btrfs", "f2fs", "lvm2_member", "crypto_luks")


@dataclass(frozen=True)
class WindowsGuest:
    disk: WindowsDisk
    installation: Installation

    @property
    def table(self) -> PartitionTable:
        return self.disk.table

    @property
    def points(self) -> tuple[tuple[str, str], ...]:
        """Where its volumes are mounted, each with what people call it."""
        boot = ((appliance_disk.BOOT_POINT, "boot:"),) if self.disk.boot else ()
        return ((appliance_disk.SYSTEM_POINT, "C:"), *boot)


@dataclass(frozen=True)
class LinuxGuest:
    table: PartitionTable
    found: Inspection
    files: LinuxFiles

    @property
    def points(self) -> tuple[tuple[str, str], ...]:
        return ((ROOT, ""),)


class LinuxFiles:
    """Small files of a Linux that nobody vouched for; links lead where they lead in the guest."""

    def __init__(self, appliance: Appliance) -> None:
        self._appliance = appliance

    def read(self, path: str) -> str:
        """A file's text; empty for what is none, and cut off where it is unreasonably long."""

        def look(handle: Any) -> bytes:
            if not handle.is_file(path, followsymlinks=True):  # a pipe would keep us waiting
                return b""
            size = min(handle.filesize(path), _LARGEST)
            return b"".join(handle.pread(path, _PIECE, offset) for offset in range(0, size, _PIECE))

        return self._appliance.call(look).decode(errors="replace")

    def fetch(self, path: str, destination: Path) -> None:
        """Copy a file to this machine."""
        self._appliance.call(lambda g: g.download(path, str(destination)))

    def names(self, path: str) -> list[str]:
        """What is in a directory, sorted; nothing where there is none."""

        def look(handle: Any) -> list[str]:
            return sorted(handle.ls(path)) if handle.is_dir(path, followsymlinks=True) else []

        return self._appliance.call(look)

    def exists(self, path: str) -> bool:
        return bool(self._appliance.call(lambda g: g.is_file(path, followsymlinks=True)))


def find(image: OpenImage) -> WindowsGuest | LinuxGuest:
    """Mount the one guest of the image; BaseError where there is none, several, or one that can't be read."""
    table = partitions.look(image.appliance.engine_runner, image.appliance.base_disk())
    if _is_windows(table):
        disk = appliance_disk.open_disk(image.appliance, read_only=True)
        hives = image.scratch / "hives"
        hives.mkdir()
        volume, boot = disk.volume(image.appliance), disk.boot_volume(image.appliance)
        return WindowsGuest(disk, open_installation(volume, boot, hives))
    found = guestfs_inspect.inspect(image.appliance)
    mount(image.appliance, found)
    return LinuxGuest(table, found, LinuxFiles(image.appliance))


def mount(appliance: Appliance, found: Inspection) -> None:
    """Mount a Linux's filesystems where its fstab has them."""
    files = GuestFiles(appliance)
    for one in found.mounts:
        path = one.path if one.path == ROOT else files.resolve(one.path)
        options = ",".join(filter(None, ["ro", one.options]))
        try:
            appliance.mount(one.device, path, options)
        except TargetError as error:
            raise TargetError(
                f"the {one.fstype} filesystem on {one.device} can't be mounted: {error.message}"
            ) from error


def _is_windows(table: PartitionTable) -> bool:
    types = {partition.fstype.casefold() for partition in table.partitions}
    return bool(types & _OF_WINDOWS) and not any(one.startswith(_OF_LINUX) for one in types)
