"""Differences of boot configuration data, in words."""

from __future__ import annotations

import shutil
from pathlib import Path

from dib_py.windows import boot_configuration as bcd
from dib_py.windows.boot_changes import BootChange, compare
from dib_py.windows.hive import Hive
from tests.windows.phony import Guest, plant
from tests.windows.phony_hives import LOADER


def store(directory: Path, *, uefi: bool = True) -> Path:
    boot = plant(Guest(uefi=uefi), directory).boot
    return boot / ("EFI/Microsoft/Boot/BCD" if uefi else "Boot/BCD")


def test_the_same_store(tmp_path: Path) -> None:
    path = store(tmp_path)
    assert list(compare(Hive(path), Hive(path))) == []


def test_elements_that_came_changed_and_went(tmp_path: Path) -> None:
    before = store(tmp_path)
    after = tmp_path / "after"
    shutil.copyfile(before, after)
    edited = Hive(after)
    edited.set(bcd.element_key(bcd.EMS_SETTINGS, bcd.BOOT_EMS), [bcd.boolean(True)])
    edited.set(bcd.element_key(bcd.EMS_SETTINGS, bcd.EMS_BAUD_RATE), [bcd.integer(115200)])
    edited.set(bcd.element_key(LOADER, bcd.EMS_ENABLED), [bcd.boolean(True)])
    edited.delete_key(bcd.element_key(LOADER, bcd.RECOVERY_ENABLED))
    edited.commit()
    found = set(compare(Hive(before), Hive(after)))
    assert found == {
        BootChange("emssettings", "", "bootems", "no", "yes"),
        BootChange("emssettings", "", "emsbaudrate", None, "115200"),
        BootChange(LOADER, "Windows", "ems", None, "yes"),
        BootChange(LOADER, "Windows", "recoveryenabled", "yes", None),
    }


def test_a_store_that_only_one_has(tmp_path: Path) -> None:
    path = store(tmp_path, uefi=False)
    added = list(compare(None, Hive(path)))
    assert BootChange("bootmgr", "Windows Boot Manager", "timeout", None, "30") in added
    assert BootChange(LOADER, "Windows", "device", None, "partition at 68157440 of 5eedd15c") in added
    assert all(one.after is None for one in compare(Hive(path), None))
