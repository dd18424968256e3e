"""States of directories and what differs between them."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import pytest

from dib_py.artefacts.trees import compare, scan


def test_nothing_changed_means_no_difference(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d/f").write_text("x")
    before = scan(tmp_path)
    (tmp_path / "d/f").read_text()
    assert not compare(before, scan(tmp_path))


def test_a_change_in_the_same_tick_of_the_clock_is_seen(tmp_path: Path) -> None:
    for number in range(20):
        (tmp_path / "f").write_text(f"{number:09}")
        before = scan(tmp_path)
        with (tmp_path / "f").open("r+") as file:
            file.write(f"{number + 1:09}")
        assert compare(before, scan(tmp_path)).present == ["f"]


def test_a_time_that_was_set_back_hides_nothing(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("one")
    status = (tmp_path / "f").stat()
    before = scan(tmp_path)
    (tmp_path / "f").write_text("two")
    os.utime(tmp_path / "f", ns=(status.st_atime_ns, status.st_mtime_ns))
    assert compare(before, scan(tmp_path)).present == ["f"]


def test_what_is_left_out_at_the_top_counts_further_down(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "disk/f").touch()
    (tmp_path / "d/disk").mkdir(parents=True)
    assert set(scan(tmp_path, ["disk"])) == {"", "d", "d/disk"}


def test_a_file_that_comes_and_goes_is_no_difference(tmp_path: Path) -> None:
    before = scan(tmp_path)
    (tmp_path / "f").touch()
    (tmp_path / "f").unlink()
    difference = compare(before, scan(tmp_path))
    assert not difference and list(difference.touched) == [""]


def test_only_the_topmost_of_what_is_removed_is_named(tmp_path: Path) -> None:
    for name in ("a/b/c", "a-b", "a.d"):
        (tmp_path / name).mkdir(parents=True)
    before = scan(tmp_path)
    (tmp_path / "a/b/c").rmdir()
    (tmp_path / "a/b").rmdir()
    (tmp_path / "a").rmdir()
    (tmp_path / "a").symlink_to("a-b")
    (tmp_path / "a.d").rmdir()
    difference = compare(before, scan(tmp_path))
    assert difference.removed == ["a", "a.d"] and difference.present == ["a"]


def test_a_scan_of_the_hooks_of_sixty_elements_is_quick(tmp_path: Path) -> None:
    for phase in ("root.d", "extra-data.d", "pre-install.d", "install.d", "post-install.d", "finalise.d", "bin"):
        (tmp_path / phase).mkdir()
        for number in range(60):
            (tmp_path / phase / f"{number}-hook").touch()
    scan(tmp_path)
    before, best = scan(tmp_path), 1.0
    for _ in range(20):
        started = time.perf_counter()
        compare(before, scan(tmp_path))
        best = min(best, time.perf_counter() - started)
    assert best < 0.01


@pytest.mark.root
def test_what_is_mounted_is_not_looked_at_whatever_it_is(tmp_path: Path) -> None:
    for name in ("top/d/point", "elsewhere"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "elsewhere/f").touch()
    subprocess.run(["mount", "--bind", tmp_path / "elsewhere", tmp_path / "top/d/point"], check=True)
    try:
        assert set(scan(tmp_path / "top")) == {"", "d"}
    finally:
        subprocess.run(["umount", tmp_path / "top/d/point"], check=True)
