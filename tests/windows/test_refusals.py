"""Each refusal on a phony guest that deserves it, and none on those that do not."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest

from dib_py.errors import BaseError
from dib_py.windows import refusals
from dib_py.windows.hive import Value
from dib_py.windows.installation import Installation, open_installation
from dib_py.windows.partitions import BASIC_DATA, DYNAMIC, EFI_SYSTEM, Partition, PartitionTable
from dib_py.windows.refusals import Refusal, refuse
from dib_py.windows.volume import Directory
from tests.windows import phony
from tests.windows.phony import Guest, plant

MIB = 1024**2
RESTRICTIONS = r"Policies\Microsoft\Windows\DeviceInstall\Restrictions"


def opened(guest: Guest, directory: Path) -> Installation:
    planted = plant(guest, directory)
    return open_installation(Directory(planted.system), Directory(planted.boot), directory / "scratch")


def reasons(found: Iterable[Refusal]) -> list[str]:
    return [one.reason for one in found]


@pytest.mark.parametrize("name", phony.GENERATIONS)
def test_a_sound_image_is_not_refused(tmp_path: Path, name: str) -> None:
    guest = opened(Guest(name, resumed=True), tmp_path)
    found = [
        *refusals.installation(guest.facts, {}),
        *refusals.answer_file(guest.facts),
        *refusals.driver_policy(guest.registry, {}),
        *refusals.compressed(guest.volume, "/Windows/System32/cmd.exe"),
        *refusals.appliance(True),
    ]
    assert found == []
    refuse(found)


def test_hibernated(tmp_path: Path) -> None:
    facts = opened(Guest(hibernated=True), tmp_path).facts
    with pytest.raises(BaseError, match="hibernated, or was shut down for a fast start") as caught:
        refuse(refusals.installation(facts, {}))
    assert "shutdown /s /t 0" in caught.value.hint
    assert "DIB_WINDOWS_REMOVE_HIBERFILE=1" in caught.value.hint
    assert not list(refusals.installation(facts, {"DIB_WINDOWS_REMOVE_HIBERFILE": "1"}))
    assert list(refusals.installation(facts, {"DIB_WINDOWS_REMOVE_HIBERFILE": "0"}))


def test_hives_that_were_not_finished(tmp_path: Path) -> None:
    facts = opened(Guest(dirty=("SYSTEM", "SOFTWARE")), tmp_path).facts
    found = list(refusals.installation(facts, {}))
    assert len(found) == 1
    assert r"did not finish writing HKLM\SYSTEM, HKLM\SOFTWARE: the last changes are in logs" in found[0].reason
    assert "DIB_WINDOWS_DISCARD_HIVE_LOGS=1" in found[0].remedy
    assert not list(refusals.installation(facts, {"DIB_WINDOWS_DISCARD_HIVE_LOGS": "1"}))


def test_a_registry_without_select(tmp_path: Path) -> None:
    facts = opened(Guest(without=(r"SYSTEM\Select",)), tmp_path).facts
    assert reasons(refusals.installation(facts, {})) == [
        r"HKLM\SYSTEM has no Select!Current, which names the control set in use"
    ]


@pytest.mark.parametrize("state", [*phony.IMAGE_STATES, None])
def test_an_answer_file_that_nobody_would_read(tmp_path: Path, state: str | None) -> None:
    facts = opened(Guest(image_state=state), tmp_path).facts
    found = list(refusals.answer_file(facts))
    assert bool(found) == (state not in (None, phony.GENERALIZED, phony.SPECIALIZED))
    assert all("sysprep.exe /generalize" in one.remedy for one in found if state != phony.UNDEPLOYABLE)


@pytest.mark.parametrize("state", [*phony.IMAGE_STATES, None])
def test_an_image_that_setup_left_in_the_middle(tmp_path: Path, state: str | None) -> None:
    found = reasons(refusals.installation(opened(Guest(image_state=state), tmp_path).facts, {}))
    assert ["did not come to an end" in reason for reason in found] == [True] * (state == phony.UNDEPLOYABLE)


@pytest.mark.parametrize(
    ("values", "refused"),
    [
        ([Value.dword("DenyUnspecified", 1)], True),
        ([Value.dword("DenyDeviceIDs", 1), Value.dword("DenyDeviceIDsRetroactive", 1)], True),
        ([Value.dword("denydeviceclasses", 1)], True),
        ([Value.dword("DenyUnspecified", 0)], False),
        ([Value.dword("DenyRemovableDevices", 1), Value.dword("AllowAdminInstall", 1)], False),
    ],
)
def test_policies_about_drivers(tmp_path: Path, values: list[Value], refused: bool) -> None:
    registry = opened(Guest(extra={"SOFTWARE": {RESTRICTIONS: values}}), tmp_path).registry
    found = list(refusals.driver_policy(registry, {}))
    assert bool(found) == refused
    if refused:
        assert values[0].name in found[0].reason
        assert not list(refusals.driver_policy(registry, {refusals.IGNORE_DRIVER_POLICY: "1"}))


def test_room() -> None:
    assert not list(refusals.room(free=150 * MIB, needed=50 * MIB))
    assert reasons(refusals.room(free=149 * MIB, needed=50 * MIB)) == ["C: has 149 MiB free, and 150 MiB are needed"]


def test_an_appliance_that_cannot_write_ntfs() -> None:
    assert "RHEL" in next(refusals.appliance(False)).remedy


C = Partition(3, "/dev/sda3", 117 * MIB, 1000 * MIB, BASIC_DATA, fstype="ntfs")
ESP = Partition(1, "/dev/sda1", MIB, 100 * MIB, EFI_SYSTEM, fstype="vfat")


@pytest.mark.parametrize(
    ("changed", "kind", "expected"),
    [
        (C, "gpt", []),
        (replace(C, type="7"), "dos", []),
        (replace(C, fstype="BitLocker"), "gpt", ["partition 3 is encrypted by BitLocker"]),
        (replace(C, fstype="ReFS"), "gpt", ["partition 3 has ReFS"]),
        (replace(C, type=DYNAMIC[1]), "gpt", ["its disk is a dynamic one"]),
        (replace(C, type="42"), "dos", ["its disk is a dynamic one"]),
        (replace(C, type="42"), "gpt", []),
        (replace(C, type="e75caf8f-f680-4cee-afa3-b001e56efc2d"), "gpt", ["partition 3 belongs to a pool"]),
    ],
)
def test_disks_that_no_free_driver_writes(changed: Partition, kind: str, expected: list[str]) -> None:
    found = reasons(refusals.disk(PartitionTable(kind, "", 2000 * MIB, (ESP, changed))))
    assert len(found) == len(expected)
    assert all(one.startswith(start) for one, start in zip(found, expected, strict=True))


class Compressed(Directory):
    """As the appliance shows files that CompactOS compressed: they have their size and no content."""

    def read(self, path: str, limit: int | None = None) -> bytes:
        return b""


def test_files_of_compact_os(tmp_path: Path) -> None:
    volume = Compressed(plant(Guest(), tmp_path).system)
    assert reasons(refusals.compressed(volume, "/Windows/explorer.exe")) == [
        "/Windows/explorer.exe can't be read: it is compressed by CompactOS"
    ]
    assert not list(refusals.compressed(volume, "/Windows/there/is/none"))
    volume.write("/empty", b"")
    assert not list(refusals.compressed(volume, "/empty"))


def test_one_reason_is_one_line_and_several_are_a_list() -> None:
    with pytest.raises(BaseError) as caught:
        refuse([Refusal("it is red", "paint it")])
    assert (str(caught.value), caught.value.hint) == ("the image can't be worked on: it is red", "paint it")
    with pytest.raises(BaseError) as caught:
        refuse([Refusal("it is red", "paint it"), Refusal("it is late", "begin earlier")])
    assert str(caught.value) == (
        "the image can't be worked on, for 2 reasons:\n- it is red\n  paint it\n- it is late\n  begin earlier"
    )
