"""Windows volumes, a directory and one in the appliance: names in any case, never two that differ by case only."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dib_py.errors import TargetError
from dib_py.windows import refusals
from dib_py.windows.appliance_volume import ApplianceVolume
from dib_py.windows.volume import Access, Directory, Volume, segments
from tests.windows.directory_appliance import DirectoryAppliance


@pytest.fixture(params=["directory", "appliance"])
def volume(tmp_path: Path, request: pytest.FixtureRequest) -> Volume:
    (tmp_path / "WINDOWS/System32").mkdir(parents=True)
    (tmp_path / "WINDOWS/System32/Cmd.exe").write_bytes(b"MZ stub")
    return Directory(tmp_path) if request.param == "directory" else in_appliance(tmp_path)


def in_appliance(top: Path) -> ApplianceVolume:
    appliance: Any = DirectoryAppliance()
    return ApplianceVolume(appliance, str(top))


def settled(volume: Volume) -> None:
    """What was written is there for others."""
    if isinstance(volume, ApplianceVolume):
        volume.flush()


@pytest.mark.parametrize(
    "path", [r"C:\windows\SYSTEM32\cmd.exe", "/Windows/System32/CMD.EXE", r"\Windows/system32\cmd.exe"]
)
def test_all_spellings_are_one_file(volume: Volume, path: str) -> None:
    assert volume.exists(path)
    assert volume.resolve(path) == "/WINDOWS/System32/Cmd.exe"
    assert volume.read(path, 2) == b"MZ"
    assert volume.size(path) == 7


def test_what_is_new_goes_below_what_is_there(volume: Volume, tmp_path: Path) -> None:
    volume.write(r"c:\windows\Setup\Scripts\SetupComplete.cmd", b"rem", Access.PRIVATE)
    assert volume.names("/") == ["WINDOWS"]
    settled(volume)
    made = tmp_path / "WINDOWS/Setup"
    assert (made / "Scripts/SetupComplete.cmd").read_bytes() == b"rem"
    assert [path.stat().st_mode & 0o777 for path in (made, made / "Scripts/SetupComplete.cmd")] == [0o700, 0o700]


def test_a_file_that_is_there_keeps_name_and_access(volume: Volume, tmp_path: Path) -> None:
    there = tmp_path / "WINDOWS/System32/Cmd.exe"
    there.chmod(0o640)
    volume.write("/windows/system32/CMD.EXE", b"new")
    assert there.read_bytes() == b"new"
    assert there.stat().st_mode & 0o777 == 0o640
    assert volume.names("/Windows/System32") == ["Cmd.exe"]


def test_a_tree_is_stored_into_folders_of_another_spelling(volume: Volume, tmp_path: Path) -> None:
    source = tmp_path.parent / f"{tmp_path.name}-source"
    (source / "system32/drivers").mkdir(parents=True)
    (source / "system32/drivers/x.sys").write_bytes(b"x")
    volume.store(source, r"C:\Windows")
    assert volume.resolve("/windows/system32/DRIVERS/X.SYS") == "/WINDOWS/System32/drivers/x.sys"


def test_removing_is_of_files_and_trees_and_of_nothing(volume: Volume) -> None:
    volume.remove("/windows/nothing")
    volume.remove("/windows/system32/cmd.EXE")
    assert volume.names("/windows/system32") == []
    volume.remove("/WINDOWS")
    assert not volume.exists("/Windows")


def test_a_file_is_no_directory(volume: Volume) -> None:
    with pytest.raises(TargetError, match="a file of that name"):
        volume.make_directory("/windows/system32/cmd.exe")
    with pytest.raises(TargetError, match="a directory of that name"):
        volume.write("/windows/system32", b"")
    with pytest.raises(TargetError, match="no such file"):
        volume.read("/windows/system32")


@pytest.mark.parametrize("path", ["/a/../b", "/a:b", "/what?", "/nul", "/COM1.txt", "/dot.", "/space "])
def test_names_that_windows_does_not_allow_are_refused(path: str) -> None:
    with pytest.raises(TargetError, match="Windows does not allow"):
        segments(path)


def test_the_drive_and_empty_names_do_not_count() -> None:
    assert segments(r"C:\\a//.\b/") == ["a", "b"]


def test_what_was_written_can_be_read_at_once(volume: Volume, tmp_path: Path) -> None:
    volume.write("/new/one.txt", b"one")
    assert volume.is_directory("/NEW")
    assert volume.names("/new") == ["one.txt"]
    assert (volume.size("/new/ONE.txt"), volume.read("/new/one.TXT")) == (3, b"one")
    volume.write("/new/ONE.txt", b"another")
    volume.fetch("/new/one.txt", tmp_path.parent / f"{tmp_path.name}-copy")
    assert (tmp_path.parent / f"{tmp_path.name}-copy").read_bytes() == b"another"
    assert volume.names("/new") == ["one.txt"]
    volume.remove("/new")
    assert not volume.exists("/new/one.txt")
    volume.make_directory("/new")
    assert volume.names("/new") == []
    assert volume.free() > 0


def test_small_new_files_go_in_together(tmp_path: Path) -> None:
    appliance: Any = DirectoryAppliance()
    volume = ApplianceVolume(appliance, str(tmp_path))
    (tmp_path / "there.txt").write_bytes(b"old")
    volume.write("/there.txt", b"new")
    for number in range(20):
        volume.write(f"/drivers/{number}.sys", bytes([number]))
    volume.write("/drivers/0.sys", b"again")
    assert not (tmp_path / "drivers").exists()
    volume.flush()
    assert (tmp_path / "drivers/0.sys").read_bytes() == b"again"
    assert (tmp_path / "drivers/19.sys").read_bytes() == b"\x13"
    assert (tmp_path / "drivers/19.sys").stat().st_mode & 0o777 == 0o755
    assert [call for call in appliance.calls if call != "readdir"] == ["upload", "tar_in"]
    volume.flush()
    assert appliance.calls.count("tar_in") == 1


def test_large_files_do_not_wait(tmp_path: Path) -> None:
    volume = in_appliance(tmp_path)
    volume.write("/one/large.bin", bytes(9 * 1024**2), Access.PRIVATE)
    assert (tmp_path / "one/large.bin").stat().st_size == 9 * 1024**2
    assert (tmp_path / "one/large.bin").stat().st_mode & 0o777 == 0o700


def test_where_access_is_not_kept_all_may_read(tmp_path: Path) -> None:
    appliance: Any = DirectoryAppliance()
    volume = ApplianceVolume(appliance, str(tmp_path), keeps_access=False)
    volume.write("/EFI/x", b"", Access.PRIVATE)
    volume.flush()
    assert (tmp_path / "EFI").stat().st_mode & 0o777 == 0o755


def test_a_junction_leads_on_within_the_volume_only(tmp_path: Path) -> None:
    volume = in_appliance(tmp_path)
    (tmp_path / "Users").mkdir()
    (tmp_path / "Documents and Settings").symlink_to("Users")
    (tmp_path / "out").symlink_to("/usr")
    volume.write("/documents and settings/x.txt", b"x")
    volume.flush()
    assert (tmp_path / "Users/x.txt").read_bytes() == b"x"
    with pytest.raises(TargetError, match="/out leads out of its volume"):
        volume.exists("/out/bin")


def closed(tmp_path: Path, tag: str) -> ApplianceVolume:
    """A file as ntfs-3g shows those whose kind it does not know."""
    (tmp_path / "Windows").mkdir()
    (tmp_path / "Windows" / "Driver.sys").symlink_to(f"unsupported reparse tag {tag}")
    return in_appliance(tmp_path)


def test_a_file_that_compact_os_compressed_is_there_and_cannot_be_read(tmp_path: Path) -> None:
    volume = closed(tmp_path, "0x80000017")
    assert volume.exists("/windows/driver.sys") and not volume.is_directory("/windows/driver.sys")
    for look in (volume.read, volume.size, lambda path: volume.fetch(path, tmp_path / "copy")):
        with pytest.raises(TargetError, match="can't be read: it is compressed by CompactOS") as caught:
            look("/windows/driver.sys")
        assert "compact /compactos:never" in caught.value.hint
    found = list(refusals.compressed(volume, "/Windows/Driver.sys"))
    assert [one.remedy for one in found] == [refusals.DECOMPRESS]


@pytest.mark.parametrize("size", [10, 9 * 1024**2])
def test_a_file_that_cannot_be_read_is_replaced(tmp_path: Path, size: int) -> None:
    volume = closed(tmp_path, "0x80000017")
    volume.write("/windows/DRIVER.SYS", bytes(size))
    volume.flush()
    assert [one.name for one in (tmp_path / "Windows").iterdir()] == ["DRIVER.SYS"]
    assert (tmp_path / "Windows" / "DRIVER.SYS").stat().st_size == size


def test_a_file_that_cannot_be_read_can_be_removed(tmp_path: Path) -> None:
    volume = closed(tmp_path, "0x9000001a")
    with pytest.raises(TargetError, match="it is a link: unsupported reparse tag 0x9000001a"):
        volume.read("/Windows/Driver.sys")
    volume.remove("/Windows/Driver.sys")
    assert not volume.exists("/Windows/Driver.sys")
    assert list((tmp_path / "Windows").iterdir()) == []


BLOCK = 64 * 1024


@pytest.mark.parametrize(
    ("changes", "added", "ranges"),
    [
        ({}, 0, 0),
        ({5: b"x"}, 0, 1),
        ({5: b"x", BLOCK: b"y", 3 * BLOCK + 1: b"z"}, 0, 2),
        ({}, 4096, 1),
        ({0: b"x", 4 * BLOCK - 1: b"y"}, 2 * BLOCK, 2),
    ],
)
def test_only_what_differs_is_written(
    volume: Volume, tmp_path: Path, changes: dict[int, bytes], added: int, ranges: int
) -> None:
    before, after = tmp_path / "before", tmp_path / "after"
    content = bytearray(bytes(range(256)) * (4 * BLOCK // 256))
    before.write_bytes(content)
    volume.write("/hive", bytes(content))
    settled(volume)
    (tmp_path / "hive").chmod(0o640)
    for place, data in changes.items():
        content[place : place + 1] = data
    after.write_bytes(content + bytes(added))
    volume.update("/HIVE", before, after)
    assert (tmp_path / "hive").read_bytes() == after.read_bytes()
    assert (tmp_path / "hive").stat().st_mode & 0o777 == 0o640
    if isinstance(volume, ApplianceVolume):
        appliance: Any = volume._appliance
        assert appliance.calls.count("upload_offset") == ranges
