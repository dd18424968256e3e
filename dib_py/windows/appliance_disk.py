"""A Windows image's disk in the appliance: which of its partitions Windows is on, which one starts it, both mounted.

Nothing is assumed from names or numbers: C: is where a system root is found, and the volume that starts it is the EFI
system partition, or the active one of an MBR. Recovery partitions are left alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from dib_py.errors import BaseError, TargetError
from dib_py.target import Mount
from dib_py.target.guestfs_appliance import Appliance
from dib_py.windows import partitions, refusals
from dib_py.windows.appliance_volume import NTFS_OPTIONS, ApplianceVolume
from dib_py.windows.inspection import find_system_root
from dib_py.windows.partitions import EFI_SYSTEM, RECOVERY, Partition, PartitionTable

SYSTEM_POINT, BOOT_POINT, _OTHER_POINT = "/windows", "/boot", "/other"  # where libguestfs has them
DISCARD_SESSION = "remove_hiberfile"  # ntfs-3g's option

_OPTIONS_OF = r"""
while read -r _ point _ options _; do
    if [[ $point = "/sysroot$1" ]]; then echo "$options"; fi
done </proc/mounts
"""


@dataclass(frozen=True)
class WindowsDisk:
    """``partition`` is that of C:; ``boot`` that which starts it, None for C: itself. ``mounts`` is where both are."""

    table: PartitionTable
    partition: Partition
    boot: Partition | None
    mounts: tuple[Mount, ...]

    def volume(self, appliance: Appliance) -> ApplianceVolume:
        return ApplianceVolume(appliance, SYSTEM_POINT)

    def boot_volume(self, appliance: Appliance) -> ApplianceVolume | None:
        if self.boot is None:
            return None
        return ApplianceVolume(appliance, BOOT_POINT, keeps_access=self.boot.fstype == "ntfs")


def open_disk(appliance: Appliance, *, discard_session: bool = False, read_only: bool = False) -> WindowsDisk:
    """Find Windows and mount it; BaseError with what to do where that can't be, or must not.

    ``discard_session``: give up the session that a hibernated Windows has saved.
    """
    refusals.refuse(refusals.appliance(appliance.call(lambda g: bool(g.feature_available(["ntfs3g"])))))
    table = partitions.look(appliance.engine_runner, appliance.base_disk())
    refusals.refuse(refusals.disk(table))
    points = [f"/sysroot{point}" for point in (SYSTEM_POINT, BOOT_POINT, _OTHER_POINT)]
    appliance.engine_runner.check('mkdir -p "$@"', *points)  # libguestfs has no root filesystem here to make them in
    options = ["ro"] if read_only else [DISCARD_SESSION] * discard_session
    mounting = ",".join([NTFS_OPTIONS, *options])
    partition = _find(appliance, table, mounting)
    mounts = [Mount(partition.device, SYSTEM_POINT, "ntfs", mounting)]
    boot = _boot(table, partition)
    if boot is not None:
        chosen = mounting if boot.fstype == "ntfs" else "ro" if read_only else ""
        mounts.append(Mount(boot.device, BOOT_POINT, boot.fstype, chosen))
        _mount(appliance, mounts[-1])
    return WindowsDisk(table, partition, boot, tuple(mounts))


def is_writable(appliance: Appliance, point: str) -> bool:
    """Whether what is mounted there takes writes: ntfs-3g mounts what it dares not write read-only, without a word."""
    printed = appliance.engine_runner.check(_OPTIONS_OF, point, timeout=120)
    return "rw" in printed.strip().split(",")


def _find(appliance: Appliance, table: PartitionTable, options: str) -> Partition:
    """The partition with Windows on it, which is mounted then; the largest are looked at first."""
    found: list[Partition] = []
    for partition in sorted(_candidates(table), key=lambda one: -one.size):
        mount = Mount(partition.device, _OTHER_POINT if found else SYSTEM_POINT, "ntfs", options)
        _mount(appliance, mount)
        is_windows = find_system_root(ApplianceVolume(appliance, mount.path)) != ""
        if found or not is_windows:
            _unmount(appliance, mount)
        if is_windows:
            found.append(partition)
    if not found:
        raise BaseError(
            "no Windows was found on the base image: no NTFS partition has a directory with System32/config",
            hint="an image of a Linux distribution is built with that distribution's elements",
        )
    if len(found) > 1:
        where = " and ".join(str(partition.number) for partition in found)
        raise BaseError(f"the base image holds more than one Windows: on partitions {where}")
    return found[0]


def _candidates(table: PartitionTable) -> Iterable[Partition]:
    return (one for one in table.partitions if one.fstype == "ntfs" and one.type != RECOVERY)


def _boot(table: PartitionTable, system: Partition) -> Partition | None:
    others = [one for one in table.partitions if one != system and one.fstype in ("vfat", "ntfs")]
    first = [one for one in others if one.type in (EFI_SYSTEM, "EF")] + [one for one in others if one.active]
    return first[0] if first else None


def _mount(appliance: Appliance, mount: Mount) -> None:
    try:
        appliance.mount(mount.device, mount.path, mount.options)
    except TargetError as error:
        raise BaseError(
            f"the {mount.fstype} filesystem on {mount.device} can't be mounted: {error.message}",
            hint="Windows has to be shut down in good order: start it once more, run chkdsk, then shutdown /s /t 0",
        ) from error


def _unmount(appliance: Appliance, mount: Mount) -> None:
    appliance.call(lambda g: g.umount(mount.path))
