"""What supermin leaves when it is killed is in the build's own directory, or gone at the next launch."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from unittest.mock import MagicMock

import pytest

from dib_py.errors import TargetError
from dib_py.target import guestfs_appliance
from dib_py.target.guestfs_appliance import Appliance, Machine
from dib_py.target.supermin import forget_unfinished, temporary_files_in

HOLD = (
    "import fcntl, sys; f = open(sys.argv[1], 'r+b'); fcntl.lockf(f, fcntl.LOCK_EX); print('held', flush=True); input()"
)


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """Where libguestfs has its appliance, with a whole one and one that was never finished."""
    directory = tmp_path / f".guestfs-{os.geteuid()}"
    for name in ("appliance.d", "appliance.d.jytuo535"):
        (directory / name).mkdir(parents=True)
        (directory / name / "root").write_bytes(b"x")
    (directory / "lock").touch()
    return directory


def test_an_unfinished_appliance_is_removed(made: Path, tmp_path: Path) -> None:
    forget_unfinished(tmp_path)
    assert sorted(path.name for path in made.iterdir()) == ["appliance.d", "lock"]
    forget_unfinished(tmp_path / "nowhere")


def test_one_that_somebody_makes_is_left_alone(made: Path, tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, made / "lock"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout and holder.stdout.readline() == b"held\n"
        forget_unfinished(tmp_path)
        assert (made / "appliance.d.jytuo535").is_dir()
        holder.communicate(b"\n")
    with (made / "lock").open("r+b") as lock:
        fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)


@pytest.mark.parametrize("ours", ["", "/var/tmp"])
def test_children_have_temporary_files_there_and_we_where_we_had_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ours: str
) -> None:
    monkeypatch.delenv("TMPDIR", raising=False)
    if ours:
        monkeypatch.setenv("TMPDIR", ours)
    before = tempfile.gettempdir()
    with temporary_files_in(tmp_path):
        assert subprocess.check_output(["sh", "-c", 'printf %s "$TMPDIR"'], text=True) == str(tmp_path)
        assert tempfile.gettempdir() == before
    assert os.environ.get("TMPDIR", "") == ours


def test_an_appliance_is_launched_with_them_in_its_own_directory(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bindings = MagicMock()
    handle = bindings.GuestFS.return_value
    handle.get_cachedir.return_value = str(tmp_path)
    seen: list[str] = []

    def launch() -> None:
        seen.append(os.environ["TMPDIR"])
        raise RuntimeError("not here")

    handle.launch.side_effect = launch
    monkeypatch.setattr(guestfs_appliance, "load_bindings", lambda: bindings)
    (tmp_path / "build").mkdir()
    appliance = Appliance(tmp_path / "nbd", tmp_path / "build", Machine())
    try:
        with pytest.raises(TargetError, match="did not start: not here"):
            appliance.launch()
    finally:
        appliance.close()
    assert seen == [str(tmp_path / "build/guestfs")]
    assert not (made / "appliance.d.jytuo535").exists()
