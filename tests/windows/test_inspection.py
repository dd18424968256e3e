"""What is found out about phony guests of every generation and state."""

from __future__ import annotations

from pathlib import Path

import pytest

from dib_py.errors import BaseError, TargetError
from dib_py.inside.report import Report
from dib_py.inside.report_text import text
from dib_py.windows.generations import GENERATIONS, identify
from dib_py.windows.hive import Value
from dib_py.windows.inspection import (
    BootMode,
    Drive,
    Hibernation,
    Inspection,
    find_system_root,
    pe_machine,
    unfinished_hives,
)
from dib_py.windows.installation import Installation, open_installation
from dib_py.windows.partitions import PartitionTable
from dib_py.windows.volume import Directory
from tests.windows import phony
from tests.windows.phony import Case, Guest, plant

VERSION = r"SOFTWARE\Microsoft\Windows NT\CurrentVersion"


def opened(guest: Guest, directory: Path) -> Installation:
    planted = plant(guest, directory)
    return open_installation(Directory(planted.system), Directory(planted.boot), directory / "scratch")


def facts(guest: Guest, directory: Path) -> Inspection:
    return opened(guest, directory).facts


@pytest.mark.parametrize("case", Case)
@pytest.mark.parametrize("name", phony.GENERATIONS)
def test_every_generation_is_told(tmp_path: Path, name: str, case: Case) -> None:
    found = facts(Guest(name, case=case), tmp_path)
    wanted = phony.GENERATIONS[name]
    assert found.generation.name == name
    assert found.version[:3] == (*wanted.numbers, wanted.build)
    assert (found.product, found.edition, found.installation_type) == (wanted.product, wanted.edition, wanted.kind)
    assert found.generation.has_driver_database == wanted.has_driver_database


def test_all_that_is_known_of_one(tmp_path: Path) -> None:
    found = facts(Guest("2022"), tmp_path)
    assert found.full_version == "10.0.20348.2113"
    assert found.generation.title == "Windows Server 2022"
    assert found.generation.driver_directory == "2k22"
    assert found.architecture == "amd64"
    assert found.system_root == "/Windows"
    assert found.control_sets == ("ControlSet001",)
    assert found.drives == (Drive("C:", partition=str(phony.phony_hives.SYSTEM_PARTITION)),)
    assert found.boot_mode is BootMode.UEFI
    assert found.image_state == "IMAGE_STATE_GENERALIZE_RESEAL_TO_OOBE"
    assert found.is_generalized
    assert found.hostname == "phony"
    assert found.hibernation is Hibernation.NONE
    assert found.paging == 4096
    assert found.unfinished_hives == ()
    assert found.free > 0


def test_a_legacy_guest_with_a_master_boot_record(tmp_path: Path) -> None:
    found = facts(Guest("7", architecture="x86", uefi=False), tmp_path)
    assert found.architecture == "x86"
    assert found.boot_mode is BootMode.BIOS
    assert found.drives == (Drive("C:", disk_signature="5eedd15c", offset=65 << 20),)


@pytest.mark.parametrize("state", phony.IMAGE_STATES)
def test_image_states(tmp_path: Path, state: str) -> None:
    found = facts(Guest(image_state=state), tmp_path)
    assert found.image_state == state
    assert found.is_generalized == (state == phony.GENERALIZED)


@pytest.mark.parametrize(
    ("state", "shown"),
    [
        (phony.GENERALIZED, f"{phony.GENERALIZED} (generalized)"),
        (phony.SPECIALIZED, phony.SPECIALIZED),
        (phony.AUDIT[0], f"{phony.AUDIT[0]} (starts in audit mode)"),
        (None, "not told"),
    ],
)
def test_what_is_shown_of_the_state(tmp_path: Path, state: str | None, shown: str) -> None:
    report = Report("a.raw", "raw", 0, PartitionTable("", "", 1, ()), (), facts(Guest(image_state=state), tmp_path))
    [line] = [line for line in text(report).splitlines() if line.startswith("state ")]
    assert line.split(maxsplit=1)[1] == shown


def test_an_image_that_does_not_tell_its_state(tmp_path: Path) -> None:
    found = facts(Guest(image_state=None), tmp_path)
    assert found.image_state == "" and not found.is_generalized


@pytest.mark.parametrize(("current", "default", "sets"), [(2, None, ("ControlSet002",)), (3, 1, ("003", "001"))])
def test_control_sets_with_other_numbers(
    tmp_path: Path, current: int, default: int | None, sets: tuple[str, ...]
) -> None:
    found = facts(Guest(control_set=current, default_control_set=default), tmp_path)
    assert found.control_sets == tuple(f"ControlSet{name[-3:]}" for name in sets)
    assert found.hostname == "phony"


def test_a_registry_without_select(tmp_path: Path) -> None:
    found = facts(Guest(without=(r"SYSTEM\Select",)), tmp_path)
    assert found.control_sets == ()
    assert found.hostname == ""
    assert found.architecture == "amd64"  # of cmd.exe


@pytest.mark.parametrize("hidden", [b"", b"not a program", b"MZ", b"MZ" + bytes(4000)])
def test_architecture_where_programs_cannot_be_read(tmp_path: Path, hidden: bytes) -> None:
    guest = Guest(architecture="arm64", files={"Windows/System32/cmd.exe": hidden})
    assert facts(guest, tmp_path).architecture == "arm64"


@pytest.mark.parametrize("architecture", phony.MACHINES)
@pytest.mark.parametrize("subsystem", [1, 3, 10])
def test_programs_tell_their_architecture(architecture: str, subsystem: int) -> None:
    assert pe_machine(phony.program(architecture, subsystem)) == architecture


def test_another_system_root(tmp_path: Path) -> None:
    guest = Guest("2019", system_root="Win2019", case=Case.UPPER)
    installation = opened(guest, tmp_path)
    assert installation.facts.system_root == "/WIN2019"
    assert installation.facts.generation.name == "2019"
    assert installation.windows("System32/drivers") == "/WIN2019/System32/drivers"


def test_the_windows_that_an_upgrade_left_is_not_looked_at(tmp_path: Path) -> None:
    old = {f"Windows.old/Windows/System32/config/{name}": b"regf" for name in ("SYSTEM", "SOFTWARE")}
    assert facts(Guest("2016", files=old), tmp_path).generation.name == "2016"


def test_two_installations_are_refused(tmp_path: Path) -> None:
    second = {f"Second/System32/config/{name}": b"regf" for name in ("SYSTEM", "SOFTWARE")}
    volume = Directory(plant(Guest(system_root="First", files=second), tmp_path).system)
    with pytest.raises(BaseError, match="more than one Windows: in /First, /Second"):
        find_system_root(volume)


def test_a_volume_without_windows(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    with pytest.raises(BaseError, match="no Windows was found"):
        open_installation(Directory(tmp_path), None, tmp_path / "scratch")


@pytest.mark.parametrize(
    ("guest", "expected"),
    [
        (Guest(hibernated=True), Hibernation.SAVED),
        (Guest(resumed=True), Hibernation.IDLE),
        (Guest(), Hibernation.NONE),
    ],
)
def test_hibernation(tmp_path: Path, guest: Guest, expected: Hibernation) -> None:
    assert facts(guest, tmp_path).hibernation is expected


def test_unfinished_hives_are_named(tmp_path: Path) -> None:
    found = facts(Guest(dirty=("SYSTEM", "DRIVERS")), tmp_path)
    assert found.unfinished_hives == (r"HKLM\SYSTEM", r"HKLM\DRIVERS")


def test_a_hive_that_is_cut_off_is_no_crash(tmp_path: Path) -> None:
    planted = plant(Guest(), tmp_path)
    planted.hive_file("SAM").write_bytes(b"regf")
    assert unfinished_hives(Directory(planted.system), "/Windows") == ()
    planted.hive_file("SYSTEM").write_bytes(b"regf" + bytes(5000))
    with pytest.raises(TargetError, match=r"HKLM\\SYSTEM is no registry hive"):
        open_installation(Directory(planted.system), None, tmp_path / "scratch")


@pytest.mark.parametrize(
    "values",
    [
        [],
        [Value.string("CurrentVersion", "6.1"), Value.string("CurrentBuildNumber", "many")],
        [Value.string("CurrentVersion", "six"), Value.string("CurrentBuildNumber", "7601")],
    ],
)
def test_a_registry_that_tells_no_version(tmp_path: Path, values: list[Value]) -> None:
    key = VERSION.partition("\\")[2]
    guest = Guest(without=(VERSION,), extra={"SOFTWARE": {f"{key}\\": values}})
    planted = plant(guest, tmp_path)
    hive = planted.hive("SOFTWARE")
    hive.set(key, values)
    hive.commit()
    with pytest.raises(BaseError, match="does not tell a version and a build number"):
        open_installation(Directory(planted.system), None, tmp_path / "scratch")


def test_a_windows_that_is_too_old(tmp_path: Path) -> None:
    planted = plant(Guest("7"), tmp_path)
    hive = planted.hive("SOFTWARE")
    hive.set(VERSION.partition("\\")[2], [Value.string("CurrentBuildNumber", "3790")])
    hive.commit()
    with pytest.raises(BaseError, match=r"version 6\.1\.3790, which is of no known generation"):
        open_installation(Directory(planted.system), None, tmp_path / "scratch")


@pytest.mark.parametrize(
    ("build", "kind", "name"),
    [
        (14393, "Server Core", "2016"),
        (17763, "Server", "2019"),
        (19041, "Server Core", "2019"),  # semi-annual channel
        (20348, "Nano Server", "2022"),
        (26100, "Server", "2025"),
        (19045, "Client", "10"),
        (22000, "Client", "11"),
        (26100, "Client", "11"),
        (9600, "Client", "8.1"),
        (7601, "Server", "2008 R2"),
    ],
)
def test_builds(build: int, kind: str, name: str) -> None:
    found = identify(build, kind)
    assert found is not None and found.name == name


def test_builds_of_no_generation() -> None:
    assert identify(2600, "Client") is None
    assert len({one.name for one in GENERATIONS}) == len(GENERATIONS)


def test_where_the_boot_configuration_is(tmp_path: Path) -> None:
    installation = opened(Guest(case=Case.UPPER), tmp_path)
    place = installation.boot_store()
    assert place is not None
    assert place[0] is installation.boot
    assert place[0].read(place[1], 4) == b"regf"
    planted = plant(Guest(uefi=False), tmp_path / "bios")
    for file in planted.boot.rglob("*"):
        if file.is_file():
            target = planted.system / file.relative_to(planted.boot)
            target.parent.mkdir(exist_ok=True)
            file.rename(target)
    alone = open_installation(Directory(planted.system), None, tmp_path / "bios-scratch")
    assert alone.facts.boot_mode is BootMode.BIOS
    assert alone.boot_store() == (alone.volume, "/Boot/BCD")


def test_looking_changes_nothing(tmp_path: Path) -> None:
    planted = plant(Guest(), tmp_path / "guest")
    before = {path: path.read_bytes() for path in planted.system.rglob("*") if path.is_file()}
    installation = open_installation(Directory(planted.system), Directory(planted.boot), tmp_path / "scratch")
    assert installation.commit() == []
    assert {path: path.read_bytes() for path in planted.system.rglob("*") if path.is_file()} == before
