"""Two phony guests compared as two opened images are, with directories where the appliance has filesystems."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pytest

from dib_py.errors import BaseError
from dib_py.inside.difference import Difference, Guest, compare
from dib_py.inside.guests import LinuxGuest, WindowsGuest
from dib_py.inside.opening import OpenImage
from dib_py.target import Inspection, Mount
from dib_py.target.guestfs_runner import Runner
from dib_py.windows import boot_configuration as bcd
from dib_py.windows.appliance_disk import WindowsDisk
from dib_py.windows.hive import Hive, Value
from dib_py.windows.installation import open_installation
from dib_py.windows.new_hive import hive
from dib_py.windows.partitions import EFI_SYSTEM, Partition, PartitionTable
from dib_py.windows.volume import Directory
from tests.inside.here import DirectoryFiles, runner
from tests.windows.phony import Case, Planted, plant
from tests.windows.phony import Guest as Phony

ESP = Partition(1, "/dev/sda1", 0, 1, EFI_SYSTEM, fstype="vfat")
C = Partition(2, "/dev/sda2", 1, 1, "", fstype="ntfs")
TABLE = PartitionTable("gpt", "", 2, (ESP, C))


@dataclass
class Appliance:
    engine_runner: Runner


def image(directory: Path) -> OpenImage:
    scratch = directory / "scratch"
    scratch.mkdir()
    appliance: Any = Appliance(runner(directory / "mounted"))
    return OpenImage(directory, "raw", 2, appliance, scratch)


def mounted(planted: Planted, directory: Path) -> tuple[OpenImage, Guest]:
    """The guest with its volumes where an appliance mounts them."""
    points = directory / "mounted"
    points.mkdir()
    planted.system.rename(points / "windows")
    planted.boot.rename(points / "boot")
    opened = image(directory)
    volumes = Directory(points / "windows"), Directory(points / "boot")
    installation = open_installation(*volumes, opened.scratch / "hives")
    return opened, WindowsGuest(WindowsDisk(TABLE, C, ESP, ()), installation)


def difference(before: Planted, after: Planted, directory: Path) -> Difference:
    for name in ("old", "new"):
        (directory / name).mkdir()
    return compare(mounted(before, directory / "old"), mounted(after, directory / "new"))


def twins(directory: Path, guest: Phony) -> tuple[Planted, Planted]:
    """The same guest twice, with the same times."""
    before = plant(guest, directory / "before")
    shutil.copytree(directory / "before", directory / "after")
    after = Planted(guest, directory / "after" / "C", directory / "after" / "boot")
    return before, after


def test_a_guest_does_not_differ_from_its_copy(tmp_path: Path) -> None:
    assert difference(*twins(tmp_path, Phony()), tmp_path).is_empty


@pytest.mark.parametrize("case", Case)
def test_all_that_can_differ(tmp_path: Path, case: Case) -> None:
    profile = {"Users/bob/NTUSER.DAT": hive({"Software": []})}
    before, after = twins(tmp_path, Phony(case=case, files=profile))
    for name, key in (("System32/config/SYSTEM", "Select"), ("System32/config/SOFTWARE", "Policies")):
        edited = Hive(after.file(f"Windows/{name}"))
        edited.set(key, [Value.dword("Failed", 7)])
        edited.commit()
    edited = Hive(after.file("Users/bob/NTUSER.DAT"))
    edited.set(r"Software\New", [Value.string("a", "b")])
    edited.commit()
    store = Hive(after.boot / case.of("EFI/Microsoft/Boot/BCD"))
    store.set(bcd.element_key(bcd.EMS_SETTINGS, bcd.BOOT_EMS), [bcd.boolean(True)])
    store.commit()
    after.file("Users/desktop.ini").write_bytes(b"[.ShellClassInfo]??")
    (after.boot / "new.efi").write_bytes(b"x")
    found = difference(before, after, tmp_path)
    assert [one.path for one in found.files] == [f"C:/{case.of('Users/desktop.ini')}", "boot:/new.efi"]
    assert {mounted: [one.key for one in keys] for mounted, keys in found.registry.items()} == {
        r"HKLM\SYSTEM": [r"HKLM\SYSTEM\Select"],
        r"HKLM\SOFTWARE": [r"HKLM\SOFTWARE\Policies"],
        rf"HKU\{case.of('Users/bob').rpartition('/')[2]}": [
            rf"HKU\{case.of('Users/bob').rpartition('/')[2]}\Software\New"
        ],
    }
    assert [(one.object, one.element, one.before, one.after) for one in found.boot] == [
        ("emssettings", "bootems", "no", "yes")
    ]


def test_hives_that_only_one_has(tmp_path: Path) -> None:
    before = plant(Phony(without=("DRIVERS",)), tmp_path / "before")
    after = plant(Phony(without=("COMPONENTS",)), tmp_path / "after")
    found = difference(before, after, tmp_path)
    changes = {mounted: (keys[0].added, keys[0].removed) for mounted, keys in found.registry.items()}
    assert changes == {r"HKLM\DRIVERS": (True, False), r"HKLM\COMPONENTS": (False, True)}
    assert found.files == ()


def linux(directory: Path, status: str) -> tuple[OpenImage, Guest]:
    tree = directory / "mounted"
    files = DirectoryFiles.of(tree, {"var/lib/dpkg/status": status, "etc/motd": "same"})
    found = Inspection((Mount("/dev/sda1", "/", "ext4"),), "debian", "12", "x86_64", "", "ext4")
    return image(directory), LinuxGuest(TABLE, found, cast(Any, files))


def test_packages_of_a_linux(tmp_path: Path) -> None:
    status = "Package: a\nStatus: install ok installed\nArchitecture: all\nVersion: {0}\n"
    found = compare(linux(tmp_path / "old", status.format(1)), linux(tmp_path / "new", status.format(2)))
    assert [(one.name, one.before, one.after) for one in found.packages] == [("a:all", "1", "2")]
    assert [(one.path, one.what) for one in found.files] == [("/var/lib/dpkg/status", ("content",))]


def test_a_windows_and_a_linux_cannot_be_compared(tmp_path: Path) -> None:
    (tmp_path / "windows").mkdir()
    windows = mounted(plant(Phony(), tmp_path / "guest"), tmp_path / "windows")
    with pytest.raises(BaseError, match=r"has a Windows in it and .* a Linux: they can't be compared"):
        compare(windows, linux(tmp_path / "linux", ""))
