"""A directory as a Windows volume: names in any case, and never two that differ by case only."""

from __future__ import annotations

from pathlib import Path

import pytest

from dib_py.errors import TargetError
from dib_py.windows.volume import Access, Directory, segments


@pytest.fixture
def volume(tmp_path: Path) -> Directory:
    (tmp_path / "WINDOWS/System32").mkdir(parents=True)
    (tmp_path / "WINDOWS/System32/Cmd.exe").write_bytes(b"MZ stub")
    return Directory(tmp_path)


@pytest.mark.parametrize(
    "path", [r"C:\windows\SYSTEM32\cmd.exe", "/Windows/System32/CMD.EXE", r"\Windows/system32\cmd.exe"]
)
def test_all_spellings_are_one_file(volume: Directory, path: str) -> None:
    assert volume.exists(path)
    assert volume.resolve(path) == "/WINDOWS/System32/Cmd.exe"
    assert volume.read(path, 2) == b"MZ"
    assert volume.size(path) == 7


def test_what_is_new_goes_below_what_is_there(volume: Directory, tmp_path: Path) -> None:
    volume.write(r"c:\windows\Setup\Scripts\SetupComplete.cmd", b"rem", Access.PRIVATE)
    assert volume.names("/") == ["WINDOWS"]
    made = tmp_path / "WINDOWS/Setup"
    assert (made / "Scripts/SetupComplete.cmd").read_bytes() == b"rem"
    assert [path.stat().st_mode & 0o777 for path in (made, made / "Scripts/SetupComplete.cmd")] == [0o700, 0o700]


def test_a_file_that_is_there_keeps_name_and_access(volume: Directory, tmp_path: Path) -> None:
    there = tmp_path / "WINDOWS/System32/Cmd.exe"
    there.chmod(0o640)
    volume.write("/windows/system32/CMD.EXE", b"new")
    assert there.read_bytes() == b"new"
    assert there.stat().st_mode & 0o777 == 0o640
    assert volume.names("/Windows/System32") == ["Cmd.exe"]


def test_a_tree_is_stored_into_folders_of_another_spelling(volume: Directory, tmp_path: Path) -> None:
    source = tmp_path.parent / f"{tmp_path.name}-source"
    (source / "system32/drivers").mkdir(parents=True)
    (source / "system32/drivers/x.sys").write_bytes(b"x")
    volume.store(source, r"C:\Windows")
    assert volume.resolve("/windows/system32/DRIVERS/X.SYS") == "/WINDOWS/System32/drivers/x.sys"


def test_removing_is_of_files_and_trees_and_of_nothing(volume: Directory) -> None:
    volume.remove("/windows/nothing")
    volume.remove("/windows/system32/cmd.EXE")
    assert volume.names("/windows/system32") == []
    volume.remove("/WINDOWS")
    assert not volume.exists("/Windows")


def test_a_file_is_no_directory(volume: Directory) -> None:
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
