"""Which partitions of a disk are mounted, and how; the appliance is a stand-in whose partitions are directories."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import pytest

from dib_py.errors import BaseError, TargetError
from dib_py.windows.appliance_disk import is_writable, open_disk
from dib_py.windows.partitions import BASIC_DATA, EFI_SYSTEM, MICROSOFT_RESERVED, RECOVERY
from tests.windows.phony import Guest, plant

T = TypeVar("T")
DISK = "/dev/sda"


class Disk:
    """Stands in for the appliance; ``partitions`` are type, filesystem, MiB, and the directory that is in it."""

    def __init__(self, *partitions: tuple[str, str, int, Path | None], label: str = "gpt", active: int = 0) -> None:
        self.label = label
        self.active = active
        self.partitions = partitions
        self.contents = {f"{DISK}{number}": one[3] for number, one in enumerate(partitions, 1)}
        self.mounted: dict[str, str] = {}
        self.options: dict[str, str] = {}
        self.has_ntfs = True
        self.engine_runner = self

    # -- as the appliance
    def base_disk(self) -> str:
        return DISK

    def call(self, work: Callable[[Any], T]) -> T:
        return work(self)

    def mount(self, device: str, path: str, options: str) -> None:
        if self.contents[device] is None:
            raise TargetError("libguestfs: $MFTMirr does not match $MFT")
        self.mounted[path], self.options[device] = device, options

    # -- as its runner
    def check(self, script: str, *arguments: str, timeout: float | None = None) -> str:
        if "sfdisk" in script:
            return self._look()
        return "rw,relatime\n" if "/proc/mounts" in script else ""

    def _look(self) -> str:
        start, described, blocks = 2048, [], []
        for number, (kind, filesystem, size, _) in enumerate(self.partitions, 1):
            node = f"{DISK}{number}"
            described.append({"node": node, "start": start, "size": size * 2048, "type": kind})
            described[-1]["bootable"] = number == self.active
            start += size * 2048
            blocks.append(f"DEVNAME={node}\nTYPE={filesystem}\n" if filesystem else f"DEVNAME={node}\n")
        table = {"partitiontable": {"label": self.label, "id": "1D", "partitions": described}}
        return "\0".join(["512", str(1 << 30), json.dumps(table), "\n".join(blocks)])

    # -- as its handle
    def feature_available(self, features: Sequence[str]) -> bool:
        return self.has_ntfs

    def umount(self, path: str) -> None:
        del self.mounted[path]

    def readdir(self, path: str) -> list[dict[str, str]]:
        _, point, *rest = path.split("/")
        directory = self.contents[self.mounted[f"/{point}"]]
        assert directory is not None
        place = directory.joinpath(*rest)
        return [{"name": one.name, "ftyp": "d" if one.is_dir() else "r"} for one in place.iterdir()]


@pytest.fixture
def windows(tmp_path: Path) -> Path:
    return plant(Guest(), tmp_path / "guest").system


@pytest.fixture
def empty(tmp_path: Path) -> Path:
    (tmp_path / "empty").mkdir()
    return tmp_path / "empty"


def as_appliance(disk: Disk) -> Any:
    return disk


def uefi(windows: Path, empty: Path) -> Disk:
    return Disk(
        (EFI_SYSTEM, "vfat", 100, empty),
        (MICROSOFT_RESERVED, "", 16, None),
        (BASIC_DATA, "ntfs", 500, windows),
        (RECOVERY, "ntfs", 600, None),
    )


def test_uefi(windows: Path, empty: Path) -> None:
    disk = uefi(windows, empty)
    found = open_disk(as_appliance(disk))
    assert (found.partition.number, found.boot and found.boot.number) == (3, 1)
    assert disk.mounted == {"/windows": "/dev/sda3", "/boot": "/dev/sda1"}
    assert disk.options == {"/dev/sda3": "permissions,windows_names,big_writes", "/dev/sda1": ""}
    assert [mount.path for mount in found.mounts] == ["/windows", "/boot"]
    assert found.volume(as_appliance(disk)).exists("/windows/system32/CMD.EXE")
    assert is_writable(as_appliance(disk), "/windows")


def test_a_bios_starts_from_the_active_partition(windows: Path, empty: Path) -> None:
    disk = Disk(("7", "ntfs", 100, empty), ("7", "ntfs", 500, windows), label="dos", active=1)
    found = open_disk(as_appliance(disk))
    assert (found.partition.number, found.boot and found.boot.number) == (2, 1)
    assert disk.options["/dev/sda1"] == "permissions,windows_names,big_writes"
    alone = Disk(("7", "ntfs", 500, windows), label="dos", active=1)
    assert open_disk(as_appliance(alone)).boot is None


def test_how_it_is_mounted(windows: Path, empty: Path) -> None:
    disk = uefi(windows, empty)
    open_disk(as_appliance(disk), discard_session=True)
    assert disk.options == {"/dev/sda3": "permissions,windows_names,big_writes,remove_hiberfile", "/dev/sda1": ""}
    open_disk(as_appliance(disk), read_only=True)
    assert disk.options == {"/dev/sda3": "permissions,windows_names,big_writes,ro", "/dev/sda1": "ro"}


def test_volumes_without_windows_are_let_go(windows: Path, empty: Path) -> None:
    disk = Disk((BASIC_DATA, "ntfs", 100, windows), (BASIC_DATA, "ntfs", 500, empty))
    assert open_disk(as_appliance(disk)).partition.number == 1
    assert disk.mounted == {"/windows": "/dev/sda1"}


def test_what_is_refused(windows: Path, empty: Path) -> None:
    both = Disk((BASIC_DATA, "ntfs", 500, windows), (BASIC_DATA, "ntfs", 400, windows))
    with pytest.raises(BaseError, match="more than one Windows: on partitions 1 and 2"):
        open_disk(as_appliance(both))
    with pytest.raises(BaseError, match="no Windows was found"):
        open_disk(as_appliance(Disk((BASIC_DATA, "ntfs", 500, empty))))
    with pytest.raises(BaseError, match="BitLocker"):
        open_disk(as_appliance(Disk((BASIC_DATA, "BitLocker", 500, empty))))
    with pytest.raises(BaseError, match=r"can't be mounted: libguestfs: \$MFTMirr") as raised:
        open_disk(as_appliance(Disk((BASIC_DATA, "ntfs", 500, None))))
    assert "chkdsk" in raised.value.hint


def test_an_appliance_that_can_not_write_ntfs_is_refused_first(windows: Path, empty: Path) -> None:
    disk = uefi(windows, empty)
    disk.has_ntfs = False
    with pytest.raises(BaseError, match="can't write NTFS"):
        open_disk(as_appliance(disk))
    assert disk.options == {}
