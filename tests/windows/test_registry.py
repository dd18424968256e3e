r"""Keys under the names that a running Windows gives them, ``CurrentControlSet`` above all."""

from __future__ import annotations

from pathlib import Path

import pytest

from dib_py.errors import TargetError
from dib_py.windows.hive import Hive, Value
from dib_py.windows.registry import Registry, normal, standard_hives
from dib_py.windows.volume import Directory
from tests.windows.phony import Guest, Planted, plant

CURRENT = r"HKLM\SYSTEM\CurrentControlSet\Control\Test"


def registry_of(planted: Planted, tmp_path: Path) -> Registry:
    hives = standard_hives(f"/{planted.guest.system_root}")
    return Registry(Directory(planted.system), tmp_path / "copies", hives)


def planted_hive(planted: Planted, name: str) -> Hive:
    return Hive(planted.hive_file(name))


@pytest.mark.parametrize("number", [1, 2, 13])
def test_the_current_control_set_is_that_of_select(tmp_path: Path, number: int) -> None:
    planted = plant(Guest(control_set=number), tmp_path / "guest")
    registry = registry_of(planted, tmp_path)
    registry.set(CURRENT, Value.dword("x", 1))
    assert registry.commit() == [r"HKLM\SYSTEM"]
    assert planted_hive(planted, "SYSTEM").value(rf"ControlSet{number:03d}\Control\Test", "x") == Value.dword("x", 1)


def test_both_are_edited_where_the_next_start_takes_another(tmp_path: Path) -> None:
    planted = plant(Guest(control_set=1, default_control_set=2), tmp_path / "guest")
    registry = registry_of(planted, tmp_path)
    assert registry.control_sets() == ("ControlSet001", "ControlSet002")
    registry.set(CURRENT, Value.dword("x", 1))
    registry.commit()
    hive = planted_hive(planted, "SYSTEM")
    assert all(hive.value(rf"{name}\Control\Test", "x") for name in registry.control_sets())


def test_without_select_nothing_is_guessed(tmp_path: Path) -> None:
    planted = plant(Guest(without=(r"SYSTEM\Select",)), tmp_path / "guest")
    with pytest.raises(TargetError, match="Select!Current"):
        registry_of(planted, tmp_path).set(CURRENT, Value.dword("x", 1))


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        (r"HKEY_LOCAL_MACHINE\Software\A", r"HKLM\Software\A"),
        (r"hklm\software\A", r"HKLM\software\A"),
        (r"HKEY_CURRENT_USER\Console", r"HKCU\Console"),
        (r"HKCR\.txt", r"HKLM\SOFTWARE\Classes\.txt"),
        (r"HKEY_USERS\.DEFAULT\Keyboard Layout", r"HKU\.DEFAULT\Keyboard Layout"),
    ],
)
def test_roots_have_long_and_short_names(given: str, meant: str) -> None:
    assert normal(given) == meant


def test_users_keys_are_those_of_new_users(tmp_path: Path) -> None:
    planted = plant(Guest(), tmp_path / "guest")
    registry = registry_of(planted, tmp_path)
    registry.set(r"HKCU\Control Panel\Desktop", Value.string("Wallpaper", "x"))
    assert registry.commit() == ["HKCU"]
    hive = Hive(planted.file("Users/Default/NTUSER.DAT"))
    assert hive.value(r"Control Panel\Desktop", "Wallpaper") == Value.string("Wallpaper", "x")


def test_a_registry_that_was_only_read_is_not_written(tmp_path: Path) -> None:
    planted = plant(Guest(), tmp_path / "guest")
    before = {path: path.read_bytes() for path in planted.system.rglob("*") if path.is_file()}
    registry = registry_of(planted, tmp_path)
    assert registry.value(r"HKLM\SOFTWARE\Microsoft\Windows NT\CurrentVersion", "currentbuildnumber")
    assert registry.exists(r"HKLM\SYSTEM\CurrentControlSet\Control")
    assert registry.value(r"HKLM\SOFTWARE\Nobody", "x") is None
    assert registry.commit() == []
    assert before == {path: path.read_bytes() for path in planted.system.rglob("*") if path.is_file()}


def test_a_hive_that_is_not_there_can_be_asked_and_not_written(tmp_path: Path) -> None:
    planted = plant(Guest(without=("DRIVERS",)), tmp_path / "guest")
    registry = registry_of(planted, tmp_path)
    assert not registry.has_hive(r"HKLM\DRIVERS\DriverDatabase")
    assert registry.keys(r"HKLM\DRIVERS\DriverDatabase") == []
    with pytest.raises(TargetError, match="DRIVERS"):
        registry.set(r"HKLM\DRIVERS\DriverDatabase", Value.dword("x", 1))


def test_a_key_of_no_hive_names_those_that_are_known(tmp_path: Path) -> None:
    registry = registry_of(plant(Guest(), tmp_path / "guest"), tmp_path)
    with pytest.raises(TargetError, match="no hive of the image") as told:
        registry.set(r"HKLM\HARDWARE\x", Value.dword("x", 1))
    assert r"HKLM\SYSTEM" in told.value.hint
