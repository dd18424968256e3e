"""Every build has a log; of our own the last twenty are kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from dib_py.errors import UsageError
from dib_py.render.logfile import KEPT, log_directory, open_default, open_named


def test_a_named_log_is_appended_to(tmp_path: Path) -> None:
    path = tmp_path / "log"
    for text in ("first\n", "second \udcff\n"):
        with open_named(path) as log:
            log.write(text)
    assert path.read_text() == "first\nsecond \\udcff\n"


def test_a_named_log_must_be_writable(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"--logfile: .*/none/log can't be written: No such file"):
        open_named(tmp_path / "none" / "log")


def test_our_own_logs_are_named_for_time_and_image_and_rotated(tmp_path: Path) -> None:
    directory = tmp_path / "state" / "log"
    directory.mkdir(parents=True)
    for number in range(30):
        (directory / f"20200101-0000{number:02}-1-old.log").write_text("")
    (directory / "notes.txt").write_text("not ours")
    with open_default("out/debian", directory) as log:
        assert Path(log.name).name.endswith("-debian.log")
    logs = sorted(path.name for path in directory.glob("*.log"))
    assert len(logs) == KEPT
    assert logs[0] == "20200101-000011-1-old.log"
    assert (directory / "notes.txt").exists()


def test_the_default_place_follows_xdg(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert log_directory() == tmp_path / "dib-py" / "log"


def test_a_long_name_is_cut(tmp_path: Path) -> None:
    with open_default("ü" * 250, tmp_path) as log:
        assert log.name.endswith("-" + "ü" * 100 + ".log")
