"""What the next run removes, and what it must never touch."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from dib_py import sweep
from dib_py.errors import HostError
from dib_py.sweep import Record


@pytest.fixture(autouse=True)
def _own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweep, "state_path", lambda: tmp_path / "state")
    monkeypatch.setattr(sweep, "_SOCKETS_IN", tmp_path)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    path = tmp_path / "root"
    path.mkdir()
    return path


def _killed(record: Record) -> None:
    """As after SIGKILL: the record stays, and nobody locks it."""
    record.unlock()


def test_a_living_build_is_left_alone(root: Path) -> None:
    record = Record.create()
    directory = sweep.make_build_directory(record, root)
    assert directory.stat().st_mode & 0o777 == 0o700
    assert sweep.sweep() == []
    assert directory.is_dir()
    assert record.path.exists()


def test_a_living_build_of_another_process_is_left_alone(root: Path) -> None:
    text = (
        "import sys; from pathlib import Path; from dib_py import sweep; sweep.state_path = lambda: Path(sys.argv[1]);"
        "r = sweep.Record.create(); print(sweep.make_build_directory(r, Path(sys.argv[2])), flush=True); input()"
    )
    argv = [sys.executable, "-c", text, str(sweep.state_path()), str(root)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        directory = Path(other.stdout.readline().strip())
        assert sweep.sweep() == []
        assert directory.is_dir()
        other.kill()
        other.wait()
    assert sweep.sweep() == [str(directory)]
    assert not directory.exists()


def test_a_killed_build_is_removed(root: Path) -> None:
    record = Record.create()
    directory = sweep.make_build_directory(record, root)
    (directory / "deep" / "er").mkdir(parents=True)
    partial = sweep.partial_path(record, root / "image.qcow2")
    partial.write_text("half")
    (root / "image.qcow2").write_text("an earlier one")
    _killed(record)
    assert sweep.sweep() == [str(partial), str(directory)]
    assert [path.name for path in root.iterdir()] == ["image.qcow2"]
    assert not record.path.exists()
    assert sweep.sweep() == []


def test_two_partial_files_of_one_name_differ(root: Path) -> None:
    record = Record.create()
    assert sweep.partial_path(record, root / "a") != sweep.partial_path(record, root / "a")


def test_noted_before_it_was_made(root: Path) -> None:
    record = Record.create()
    record.note(sweep.DIRECTORY, str(root / "dib_build.never"))
    with record.path.open("ab") as file:
        file.write(b'["directory", "/ho')  # the kill came within the line
    _killed(record)
    assert sweep.sweep() == []
    assert not record.path.exists()


def test_an_empty_record_is_removed() -> None:
    record = Record.create()
    _killed(record)
    assert sweep.sweep() == []
    assert not record.path.exists()


@pytest.mark.parametrize("name", ["home", "dib_build", "my-dib_build.abc"])
def test_only_build_directories_are_removed(name: str, root: Path) -> None:
    record = Record.create()
    (root / name).mkdir()
    record.note(sweep.DIRECTORY, str(root / name))
    _killed(record)
    assert sweep.sweep() == []
    assert (root / name).is_dir()


def test_a_link_in_the_place_of_a_build_directory_is_not_followed(root: Path, tmp_path: Path) -> None:
    record = Record.create()
    directory = sweep.make_build_directory(record, root)
    directory.rmdir()
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "file").touch()
    directory.symlink_to(tmp_path / "precious")
    _killed(record)
    sweep.sweep()
    assert (tmp_path / "precious" / "file").exists()


def test_build_directories_of_diskimage_builder_are_not_ours(root: Path) -> None:
    (root / "dib_build.Ab12Cd34").mkdir()
    sweep.sweep()
    assert (root / "dib_build.Ab12Cd34").is_dir()


def test_state_directory_of_somebody_else(tmp_path: Path) -> None:
    path = sweep.state_directory()
    path.chmod(0o777)
    with pytest.raises(HostError, match="others may write"):
        sweep.state_directory()
    assert sweep.sweep() == []  # which is no reason not to start


def test_state_directory_that_is_a_link(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "state").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(HostError):
        sweep.state_directory()


def test_unwritable_root(tmp_path: Path) -> None:
    with pytest.raises(HostError, match="no build directory"):
        sweep.make_build_directory(Record.create(), tmp_path / "missing")


@pytest.mark.root
def test_what_is_mounted_in_a_stale_directory_is_not_removed(root: Path, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "file").touch()
    record = Record.create()
    directory = sweep.make_build_directory(record, root)
    (directory / "mnt").mkdir()
    subprocess.run(["mount", "--bind", precious, directory / "mnt"], check=True)
    try:
        _killed(record)
        assert sweep.sweep() == []
        assert (precious / "file").exists()
        assert record.path.exists()
    finally:
        subprocess.run(["umount", directory / "mnt"], check=True)
    assert sweep.sweep() == [str(directory)]


@pytest.mark.root
def test_a_connection_in_use_by_somebody_else_is_not_aborted(monkeypatch: pytest.MonkeyPatch) -> None:
    """A number is reused: what a dead build noted may be another's export by now."""
    aborted: list[int] = []
    monkeypatch.setattr(sweep, "abort_connection", aborted.append)
    monkeypatch.setattr(sweep, "_dying_daemons", lambda: [1])
    alive, dead = Record.create(), Record.create()
    for number in ("77777", "88888"):
        dead.note(sweep.FUSE, number)
    alive.note(sweep.FUSE, "77777")
    _killed(dead)
    sweep.sweep()
    assert aborted == [88888]
    alive.unlock()


def test_socket_directories_that_nobody_has_open_are_swept(tmp_path: Path) -> None:
    for name in ("libguestfsAAAAAA", "libguestfsBBBBBB", "libguestfsCCCCCC", "libguestfsDDDDDD", "other"):
        (tmp_path / name).mkdir()
    for name in ("libguestfsAAAAAA", "libguestfsBBBBBB", "libguestfsDDDDDD", "other"):
        with socket.socket(socket.AF_UNIX) as one:
            one.bind(str(tmp_path / name / "guestfsd.sock"))
    with socket.socket(socket.AF_UNIX) as live:
        live.bind(str(tmp_path / "libguestfsBBBBBB" / "live.sock"))
        live.listen()
        for name in ("libguestfsAAAAAA", "libguestfsBBBBBB", "libguestfsCCCCCC", "other"):
            os.utime(tmp_path / name, (1e9, 1e9))  # that of D may be about to be used
        assert sweep.sweep() == [str(tmp_path / "libguestfsAAAAAA")]
    left = sorted(path.name for path in tmp_path.glob("[lo]*"))
    assert left == ["libguestfsBBBBBB", "libguestfsCCCCCC", "libguestfsDDDDDD", "other"]
