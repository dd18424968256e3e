"""The guestfs target for Windows: nothing runs in the guest, so it is volumes that are mounted, and no root.

Hooks of extra-data.d run on this machine and see an empty directory where the guest's tree is for Linux.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from dib_py.build_directory import TREE_NAME
from dib_py.errors import DiskError
from dib_py.target import guestfs_layout
from dib_py.target.guestfs import GuestfsTarget
from dib_py.windows import appliance_disk, partitions
from dib_py.windows.appliance_volume import ApplianceVolume
from dib_py.windows.host_side import HostSide
from dib_py.windows.volume import Volume


@dataclass(frozen=True)
class Volumes:
    """Those of an image: C:, what starts it unless that is C: itself, and whether they can be written."""

    system: Volume
    boot: Volume | None
    are_writable: bool = True


class WindowsTarget(HostSide, GuestfsTarget):
    """See :class:`dib_py.target.Target`; what needs a guest's root is for Linux only."""

    has_network = False
    _volumes: Sequence[ApplianceVolume] = ()  # as long as they are open

    def open_volumes(self, *, discard_session: bool = False) -> Volumes:
        """Mount those of the one Windows on the disk, see :func:`dib_py.windows.appliance_disk.open_disk`."""
        disk = appliance_disk.open_disk(self._appliance, discard_session=discard_session)
        self._mounts = list(disk.mounts)
        system, boot = disk.volume(self._appliance), disk.boot_volume(self._appliance)
        self._volumes = [volume for volume in (system, boot) if volume is not None]
        is_writable = appliance_disk.is_writable(self._appliance, appliance_disk.SYSTEM_POINT)
        return Volumes(system, boot, is_writable)

    def sync(self) -> None:
        for volume in self._volumes:
            volume.flush()
        super().sync()

    def unmount(self) -> None:
        for volume in self._volumes:
            volume.flush()
        super().unmount()

    def grow(self) -> None:
        """Make C: fill the disk, which has just grown; to be called before it is mounted.

        Windows checks the volume when it starts the next time. DiskError where C: is not the last partition.
        """
        table = partitions.look(self._appliance.engine_runner, self._appliance.disk)
        last = max(table.partitions, key=lambda one: one.start, default=None)
        if last is None or last.fstype != "ntfs" or last.type == partitions.RECOVERY:
            what = f"partition {last.number}, which is no NTFS volume for data" if last else "nothing"
            raise DiskError(
                f"C: can't grow: the last thing on the disk is {what}",
                hint="leave --image-size out: with the element grow-root Windows itself clears the way and grows C:",
            )
        guestfs_layout.grow(self._appliance.engine_runner, self._appliance.disk, self._disk.size)

    @contextmanager
    def tree(self) -> Iterator[Path]:
        root = self._directory / TREE_NAME
        root.mkdir(exist_ok=True)
        yield root
