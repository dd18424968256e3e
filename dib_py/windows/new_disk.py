"""A disk that starts Windows by UEFI, made of a WIM: no boot code is needed but what is in the WIM itself.

It has a GPT with an EFI system partition, Microsoft's reserved one, and C: as the last, so that it can grow. What is
applied was generalized by its publisher: its first start goes through the specialize and oobeSystem passes.
"""

from __future__ import annotations

import json
import shutil
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from dib_py.disk.size import shown
from dib_py.errors import BaseError
from dib_py.process import CommandFailed, run
from dib_py.units import GIB, MIB
from dib_py.windows import new_store
from dib_py.windows.partitions import BASIC_DATA, EFI_SYSTEM, MICROSOFT_RESERVED
from dib_py.windows.wim import Edition, Wim

SECTOR = 512  # bytes
_ESP = 260 * MIB  # Microsoft's size for disks of any sector size
_RESERVED = 16 * MIB
_ROOM = 2 * GIB  # that an installation has at least: page file, first start, updates
_BOOT_FILES = {"amd64": "bootx64.efi", "x86": "bootia32.efi", "arm64": "bootaa64.efi"}  # UEFI 2.10, table 3-5
_IN_WIM = (r"\Windows\Boot\EFI", r"\Windows\Boot\Fonts", r"\Windows\Boot\Resources")
_MANAGER = "bootmgfw.efi"


@dataclass(frozen=True)
class Extent:
    """A partition: ``start`` and ``size`` in bytes, the GPT's ``type`` and its own ``id``."""

    start: int
    size: int
    type: str
    name: str
    id: uuid.UUID


@dataclass(frozen=True)
class Geometry:
    """Where everything is on a disk of ``size`` bytes with the GUID ``id``."""

    size: int
    id: uuid.UUID
    esp: Extent
    reserved: Extent
    system: Extent

    @staticmethod
    def of(size: int) -> Geometry:
        """New GUIDs, and partitions on whole MiB; the last MiB is the second table's."""
        start = MIB + _ESP + _RESERVED
        return Geometry(
            size,
            uuid.uuid4(),
            Extent(MIB, _ESP, EFI_SYSTEM, "EFI system partition", uuid.uuid4()),
            Extent(MIB + _ESP, _RESERVED, MICROSOFT_RESERVED, "Microsoft reserved partition", uuid.uuid4()),
            Extent(start, size // MIB * MIB - MIB - start, BASIC_DATA, "Basic data partition", uuid.uuid4()),
        )

    def sfdisk(self) -> str:
        """The table in sfdisk's words."""
        lines = [
            f'start={one.start // SECTOR}, size={one.size // SECTOR}, type={one.type}, uuid={one.id}, name="{one.name}"'
            for one in (self.esp, self.reserved, self.system)
        ]
        return "\n".join(["label: gpt", f"label-id: {self.id}", "unit: sectors", *lines, ""])


def check_room(edition: Edition | None, size: int) -> None:
    """BaseError where the edition has no room on a disk of ``size`` bytes, or none would, where it is not known yet."""
    smallest = _ESP + _RESERVED + 2 * MIB + _ROOM + (edition.size if edition else 0)
    if size < smallest:
        name, more = (edition.name, "") if edition else ("Windows", " and what the edition takes")
        raise BaseError(
            f"{name} has no room on a disk of {shown(size)}: it needs {shown(smallest)}{more}",
            hint="DIB_WINDOWS_DISK_SIZE is how large the new disk is",
        )


def check(edition: Edition, size: int, scratch: Path) -> None:
    """BaseError where the edition has no room on a disk of ``size`` bytes, or this machine none to make it."""
    check_room(edition, size)
    free = shutil.disk_usage(scratch).free
    if free < 2 * edition.size:
        raise BaseError(
            f"{scratch} has {shown(free)} left, and to make a disk of {edition.name} takes {shown(2 * edition.size)}",
            hint="DIB_IMAGE_CACHE names another place for downloads and disks that are made of them",
        )


def make(wim: Wim, edition: Edition, size: int, disk: Path, progress: Callable[[int], None]) -> None:
    """Write a qcow2 image of ``size`` bytes with an edition on it; BaseError where the WIM has not what it takes.

    Everything that is needed on the way is beside ``disk`` and gone afterwards.
    """
    scratch = disk.with_name(f"{disk.name}.parts")
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir()
    try:
        geometry = Geometry.of(size)
        esp = _system_partition(wim, edition, geometry, scratch)
        system = scratch / "system.ntfs"
        _format_ntfs(system, geometry.system)
        wim.apply(edition, system, progress)
        _assemble(geometry, {esp: geometry.esp, system: geometry.system}, scratch, disk)
    except CommandFailed as error:
        raise BaseError(f"no disk could be made of {edition.name}: {error}") from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _system_partition(wim: Wim, edition: Edition, geometry: Geometry, scratch: Path) -> Path:
    """The EFI system partition with the boot manager and its configuration, as bcdboot would fill it."""
    tree = scratch / "EFI"
    microsoft = tree / "Microsoft/Boot"
    for directory in (microsoft, tree / "Boot"):
        directory.mkdir(parents=True)
    taken = scratch / "taken"
    taken.mkdir()
    names = {path.name.casefold(): path for path in wim.extract(edition, _IN_WIM, taken)}
    programs = {path.name.casefold(): path for path in names["efi"].iterdir()} if "efi" in names else {}
    if _MANAGER not in programs:
        raise BaseError(
            rf"{edition.name} has no Windows\Boot\EFI\{_MANAGER}, which starts it by UEFI",
            hint="an edition of Windows 8, Server 2012 or later is needed, for a 64-bit processor",
            where=str(wim.path),
        )
    shutil.copyfile(programs[_MANAGER], tree / "Boot" / _BOOT_FILES.get(edition.arch, _BOOT_FILES["amd64"]))
    shutil.copytree(names["efi"], microsoft, dirs_exist_ok=True)
    for name in ("fonts", "resources"):
        if name in names:
            shutil.copytree(names[name], microsoft / name.capitalize())
    store = new_store.make(edition.name, geometry.id, geometry.esp.id, geometry.system.id)
    (microsoft / "BCD").write_bytes(store)
    return _format_fat(tree, scratch / "esp.fat", geometry.esp)


def _format_fat(tree: Path, file: Path, extent: Extent) -> Path:
    with file.open("wb") as made:
        made.truncate(extent.size)
    hidden = str(extent.start // SECTOR)
    run(["mkfs.vfat", "-F", "32", "-n", "SYSTEM", "-h", hidden, "-S", str(SECTOR), file])
    run(["mcopy", "-s", "-i", file, tree, "::/"])
    return file


def _format_ntfs(file: Path, extent: Extent) -> None:
    """An empty filesystem that knows where on the disk it will be; Windows' boot code reads it from there."""
    with file.open("wb") as made:
        made.truncate(extent.size)
    where = ["-p", str(extent.start // SECTOR), "-H", "255", "-S", "63", "-s", str(SECTOR)]
    run(["mkntfs", "--force", "--fast", "--quiet", *where, file])


def _assemble(geometry: Geometry, filesystems: dict[Path, Extent], scratch: Path, disk: Path) -> None:
    """The partition table and the filesystems in their places, in one qcow2 image."""
    table = scratch / "table.raw"
    with table.open("wb") as made:
        made.truncate(geometry.size)
    run(["sfdisk", "--quiet", "--no-reread", "--no-tell-kernel", table], input=geometry.sfdisk())
    run(["qemu-img", "convert", "-q", "-f", "raw", "-O", "qcow2", table, disk])
    for file, extent in filesystems.items():
        place = {
            "driver": "raw",
            "offset": extent.start,
            "size": extent.size,
            "file": {"driver": "qcow2", "file": {"driver": "file", "filename": str(disk)}},
        }
        target = f"json:{json.dumps(place)}"
        run(["qemu-img", "convert", "-q", "-n", "--target-is-zero", "-f", "raw", "-O", "raw", file, target])
        file.unlink()
