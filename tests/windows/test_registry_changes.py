"""Differences of hives: each edit is found, and nothing else."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dib_py.windows.hive import Hive, Value
from dib_py.windows.new_hive import hive
from dib_py.windows.registry_changes import KeyChange, ValueChange, compare
from tests.windows.phony import Guest, plant

SYSTEM = r"HKLM\SYSTEM"


def changes(before: Path, after: Path) -> list[KeyChange]:
    return list(compare(Hive(before), Hive(after), SYSTEM))


@pytest.fixture
def before(tmp_path: Path) -> Path:
    return plant(Guest(), tmp_path).hive_file("SYSTEM")


def edited(before: Path) -> tuple[Path, Hive]:
    copy = before.with_name("copy")
    shutil.copyfile(before, copy)
    return copy, Hive(copy)


def test_a_hive_does_not_differ_from_itself(before: Path) -> None:
    assert changes(before, before) == []


def test_values_that_changed_came_and_went(before: Path) -> None:
    after, hive = edited(before)
    key = r"ControlSet001\Control\Terminal Server"
    hive.set(key, [Value.dword("FDENYTSCONNECTIONS", 0), Value.string("New", "x")])
    hive.delete_value(r"ControlSet001\Control\CrashControl", "AutoReboot")
    hive.commit()
    assert changes(before, after) == [
        KeyChange(
            rf"{SYSTEM}\ControlSet001\Control\CrashControl",
            (ValueChange("AutoReboot", Value.dword("AutoReboot", 1), None),),
        ),
        KeyChange(
            rf"{SYSTEM}\{key}",
            (
                ValueChange(
                    "fDenyTSConnections", Value.dword("fDenyTSConnections", 1), Value.dword("fDenyTSConnections", 0)
                ),
                ValueChange("New", None, Value.string("New", "x")),
            ),
        ),
    ]


def test_keys_that_came_and_went(before: Path) -> None:
    after, hive = edited(before)
    hive.set(r"ControlSet001\Services\viostor\Parameters", [Value.dword("BusType", 1)])
    hive.delete_key(r"ControlSet001\Services\sacdrv")
    hive.commit()
    services = rf"{SYSTEM}\ControlSet001\Services"
    found = changes(before, after)
    assert [(one.key, one.added, one.removed, len(one.values)) for one in found] == [
        (rf"{services}\sacdrv", False, True, 2),
        (rf"{services}\viostor", True, False, 0),
        (rf"{services}\viostor\Parameters", True, False, 1),
    ]


def test_a_type_is_a_difference(before: Path) -> None:
    after, hive = edited(before)
    hive.set("Select", [Value("Current", 3, (1).to_bytes(4, "little"))])
    hive.commit()
    assert [value.name for one in changes(before, after) for value in one.values] == ["Current"]


def test_a_hive_that_only_one_has(before: Path) -> None:
    added = list(compare(None, Hive(before), SYSTEM))
    assert added[0].key == SYSTEM and all(one.added for one in added)
    assert all(one.removed for one in compare(Hive(before), None, SYSTEM))
    assert len(added) == sum(1 for _ in Hive(before).walk())


KEYS = st.dictionaries(
    st.lists(st.sampled_from(["A", "B", "A b", "a-b", "É"]), min_size=1, max_size=3).map("\\".join),
    st.dictionaries(st.sampled_from(["", "x", "y"]), st.integers(0, 2), max_size=3),
    max_size=6,
)


@settings(max_examples=60)
@given(KEYS, KEYS)
def test_what_is_found_makes_one_of_the_other(
    tmp_path_factory: pytest.TempPathFactory, before: dict[str, dict[str, int]], after: dict[str, dict[str, int]]
) -> None:
    directory = tmp_path_factory.mktemp("hives")
    for name, keys in (("before", before), ("after", after)):
        values = {key: [Value.dword(one, number) for one, number in found.items()] for key, found in keys.items()}
        (directory / name).write_bytes(hive(values))
    patched = Hive(directory / "before")
    for change in list(compare(Hive(directory / "before"), Hive(directory / "after"), "")):
        key = change.key.strip("\\")
        if change.removed:
            patched.delete_key(key)
            continue
        patched.set(key, [one.after for one in change.values if one.after is not None])
        for one in change.values:
            if one.after is None:
                patched.delete_value(key, one.name)
    assert list(patched.walk()) == list(Hive(directory / "after").walk())
