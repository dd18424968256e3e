"""What may be replayed over files that are there by now."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from dib_py.artefacts import archive, conflicts
from dib_py.artefacts.conflicts import find


def _step(tmp_path: Path, name: str, content: str, before: str | None = None) -> Path:
    """The archive of a step that left ``content`` at x/f, where it found ``before``."""
    made = tmp_path / f"{name}.file"
    made.write_text(content)
    os.utime(made, ns=(1, 1))
    digests = {}
    if before is not None:
        (tmp_path / "before").write_text(before)
        digests["x/f"] = conflicts.digest(tmp_path / "before")
    path = tmp_path / f"{name}.tar"
    archive.write(path, archive.Content(present={"x/f": made}, before=digests))
    return path


@pytest.mark.parametrize(
    ("before", "result", "now", "allowed"),
    [
        (None, "kernel 2", None, True),  # as the step found it
        (None, "kernel 2", "kernel 2", True),  # as the build left it
        (None, "kernel 2", "kernel 1", True),  # the step makes it, whatever is there
        (None, "kernel 2", "kern", True),
        (None, "line\n", "line\nother\n", False),  # a log that others wrote to since
        (None, "", "x", True),
        ("old\n", "old\nline\n", "old\n", True),
        ("old\n", "old\nline\n", "old\nline\n", True),
        ("old\n", "old\nline\n", None, True),
        ("old\n", "old\nline\n", "old\nmine\n", False),
        ("old\n", "old\nline\n", "old\nline\nmine\n", False),
        ("", "x", "y", False),
    ],
)
def test_a_file_may_be_what_the_step_found_or_left(
    tmp_path: Path, before: str | None, result: str, now: str | None, allowed: bool
) -> None:
    (tmp_path / "x").mkdir()
    if now is not None:
        (tmp_path / "x/f").write_text(now)
    found = find([None, _step(tmp_path, "1", result, before)], {"x": tmp_path / "x"})
    assert (found is None) == allowed
    if found is not None:
        assert found.index == 1 and str(tmp_path / "x/f") in found.why


def test_what_a_later_step_left_is_what_the_chain_left(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    (tmp_path / "x/f").write_text("third")
    steps = [
        _step(tmp_path, name, content, "old" if name == "0" else None) for name, content in (("0", "a"), ("1", "b"))
    ]
    assert find(steps, {"x": tmp_path / "x"}) == conflicts.Conflict(0, f"{tmp_path}/x/f has changed since")
    assert find([*steps, _step(tmp_path, "2", "third")], {"x": tmp_path / "x"}) is None


def test_only_files_of_these_areas_count(tmp_path: Path) -> None:
    assert find([_step(tmp_path, "1", "a", "b")], {"y": tmp_path}) is None


def test_a_place_to_which_nothing_can_be_restored_is_a_conflict(tmp_path: Path) -> None:
    found = find([None, _step(tmp_path, "1", "a")], {"x": tmp_path / "x", "y": tmp_path}, ["x", "y"])
    assert found is not None and found.index == 1 and "can't be covered" in found.why
    assert find([None, _step(tmp_path, "1", "a")], {"x": tmp_path / "x", "y": tmp_path}, ["y"]) is None


def test_what_is_no_archive_is_told(tmp_path: Path) -> None:
    (tmp_path / "1.tar").write_text("x" * 600)
    with pytest.raises(ValueError):
        find([tmp_path / "1.tar"], {"x": tmp_path})
