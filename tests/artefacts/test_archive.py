"""Archives of changes: what is collected and applied to a copy of the start gives the same tree."""

from __future__ import annotations

import io
import json
import os
import tarfile
import tempfile
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings

from dib_py.artefacts import archive, trees
from tests.artefacts.random_trees import OPERATIONS, Operation, carry_out, copy, snapshot


def _collect(root: Path, before: trees.State, path: Path) -> trees.State:
    after = trees.scan(root)
    difference = trees.compare(before, after)
    archive.write(
        path,
        archive.Content(
            ["/".join(filter(None, ("x", one))) for one in difference.removed],
            {"/".join(filter(None, ("x", one))): root / one for one in difference.present},
            {"/".join(filter(None, ("x", one))): time for one, time in difference.touched.items()},
        ),
    )
    return after


@settings(max_examples=80)
@given(OPERATIONS, OPERATIONS, OPERATIONS)
def test_what_is_collected_makes_the_start_what_the_end_was(
    start: list[Operation], first: list[Operation], second: list[Operation]
) -> None:
    with tempfile.TemporaryDirectory() as directory:
        root, other = Path(directory, "root"), Path(directory, "other")
        root.mkdir()
        carry_out(root, start)
        copy(root, other)
        state = trees.scan(root)
        for number, operations in enumerate((first, second)):
            carry_out(root, operations)
            state = _collect(root, state, Path(directory, f"{number}.tar"))
        for number in range(2):
            archive.apply(Path(directory, f"{number}.tar"), {"x": other})
        assert snapshot(other) == snapshot(root)


def test_the_same_content_gives_the_same_bytes(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("content")
    content = archive.Content(["x/b", "x/a"], {"x/f": tmp_path / "f", "x/g": tmp_path / "f"}, {"x": 5, "w": 6})
    archive.write(tmp_path / "1", content)
    content = archive.Content(["x/a", "x/b"], {"x/g": tmp_path / "f", "x/f": tmp_path / "f"}, {"w": 6, "x": 5})
    archive.write(tmp_path / "2", content)
    assert (tmp_path / "1").read_bytes() == (tmp_path / "2").read_bytes()


def test_other_areas_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("content")
    (tmp_path / "here").mkdir()
    archive.write(tmp_path / "a.tar", archive.Content([], {"x/f": tmp_path / "f", "y/g": tmp_path / "f"}))
    assert archive.areas(tmp_path / "a.tar") == {"x", "y"}
    archive.apply(tmp_path / "a.tar", {"x": tmp_path / "here"})
    assert [path.name for path in (tmp_path / "here").iterdir()] == ["f"]


def test_directories_that_the_place_lacks_are_made(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("content")
    (tmp_path / "here").mkdir()
    archive.write(tmp_path / "a.tar", archive.Content([], {"x/some/where/f": tmp_path / "f"}))
    archive.apply(tmp_path / "a.tar", {"x": tmp_path / "here"})
    assert (tmp_path / "here/some/where/f").read_text() == "content"


# -- archives that nobody should trust
def _crafted(path: Path, *members: tarfile.TarInfo, removed: list[str] | None = None) -> Path:
    with tarfile.open(path, "w") as tar:
        data = json.dumps({"format": archive.FORMAT, "removed": removed or [], "touched": {}, "before": {}}).encode()
        head = tarfile.TarInfo(archive.CHANGES)
        head.size = len(data)
        tar.addfile(head, io.BytesIO(data))
        for member in members:
            tar.addfile(member, io.BytesIO(b"!" * member.size))
    return path


def _file(name: str) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.size = 1
    return member


def _link(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    return member


@pytest.mark.parametrize("name", ["x/../out", "x//out", "/x/out", "x/./out", "..", "x/a/../../out"])
def test_a_name_that_could_lead_out_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "x").mkdir()
    (tmp_path / "out").write_text("kept")
    with pytest.raises(ValueError, match="called"):
        archive.apply(_crafted(tmp_path / "a.tar", _file(name)), {"x": tmp_path / "x"})
    with pytest.raises(ValueError, match="called"):
        archive.apply(_crafted(tmp_path / "a.tar", removed=[name]), {"x": tmp_path / "x"})
    assert (tmp_path / "out").read_text() == "kept"


@pytest.mark.parametrize("target", ["..", "absolute"])
def test_links_of_the_archive_lead_nowhere_outside(tmp_path: Path, target: str) -> None:
    (tmp_path / "x").mkdir()
    (tmp_path / "out").write_text("kept")
    leading_out = str(tmp_path) if target == "absolute" else target
    crafted = _crafted(tmp_path / "a.tar", _link("x/l", leading_out), _file("x/l/out"))
    with suppress(OSError):
        archive.apply(crafted, {"x": tmp_path / "x"})
    assert (tmp_path / "out").read_text() == "kept"
    assert (tmp_path / "x/l").is_symlink()


def test_links_that_are_there_already_lead_nowhere_outside(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "out/f").write_text("kept")
    (tmp_path / "x/l").symlink_to(tmp_path / "out")
    archive.apply(_crafted(tmp_path / "a.tar", removed=["x/l/f"]), {"x": tmp_path / "x"})
    with suppress(OSError):
        archive.apply(_crafted(tmp_path / "a.tar", _file("x/l/f")), {"x": tmp_path / "x"})
    assert (tmp_path / "out/f").read_text() == "kept"


def test_a_hard_link_to_a_file_outside_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    (tmp_path / "out").write_text("kept")
    for target in ("../out", str(tmp_path / "out"), "y/out"):
        crafted = _crafted(tmp_path / "a.tar", _link("x/l", target, tarfile.LNKTYPE))
        with pytest.raises(ValueError):
            archive.apply(crafted, {"x": tmp_path / "x"})
        assert not (tmp_path / "x/l").exists()


def test_an_area_itself_is_neither_removed_nor_replaced(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    (tmp_path / "x/f").touch()
    archive.apply(_crafted(tmp_path / "a.tar", removed=["x"]), {"x": tmp_path / "x"})
    with pytest.raises(ValueError, match="no directory"):
        archive.apply(_crafted(tmp_path / "a.tar", _file("x")), {"x": tmp_path / "x"})
    assert (tmp_path / "x/f").exists()


@pytest.mark.parametrize("data", [b"", b"no archive", b"\0" * 10240])
def test_what_is_no_archive_is_told(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a.tar").write_bytes(data)
    with pytest.raises(ValueError):
        archive.apply(tmp_path / "a.tar", {"x": tmp_path})


def test_another_format_is_told(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        data = json.dumps({"format": archive.FORMAT + 1, "removed": [], "touched": {}, "before": {}}).encode()
        head = tarfile.TarInfo(archive.CHANGES)
        head.size = len(data)
        tar.addfile(head, io.BytesIO(data))
    with pytest.raises(ValueError, match="another format"):
        archive.areas(tmp_path / "a.tar")


def test_a_cut_archive_is_told(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(os.urandom(100_000))
    (tmp_path / "x").mkdir()
    archive.write(tmp_path / "a.tar", archive.Content([], {"x/f": tmp_path / "f"}))
    os.truncate(tmp_path / "a.tar", 50_000)
    with pytest.raises((ValueError, OSError)):
        archive.apply(tmp_path / "a.tar", {"x": tmp_path / "x"})
