"""Listings of files as the appliance makes them, made here of real directories with odd names in them."""

from __future__ import annotations

import hashlib
import os
import shutil
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest

from dib_py.errors import TargetError
from dib_py.inside import trees
from dib_py.target import Output
from dib_py.target.guestfs_runner import Runner, Script
from tests.inside.here import HereRunner
from tests.inside.here import runner as here

NTFS = ("mkntfs", "ntfs-3g")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "tree"
    for name in ("a", "a.b", "a b", "a/deep"):
        (root / name).mkdir(parents=True)
    (root / "a" / "file").write_bytes(b"content")
    (root / "a.b" / "new\nline").write_bytes(b"1")
    (root / "a b" / "-rf").write_bytes(b"22")
    (root / "a b" / " trailing ").write_bytes(b"")
    Path(os.fsdecode(os.fsencode(root) + b"/\xff\xfe")).write_bytes(b"333")
    (root / "link").symlink_to("a b//with//slashes and spaces")
    (root / "loop").symlink_to("loop")
    (root / "a" / "file").chmod(0o640)
    return root


def entries(root: Path, scratch: Path) -> list[trees.Entry]:
    return list(trees.read(trees.listed(here(root), "/", scratch)))


def test_every_file_is_listed_once_and_in_order(tree: Path, tmp_path: Path) -> None:
    found = entries(tree, tmp_path)
    assert [one.path for one in found] == sorted(
        (one.path for one in found), key=lambda path: os.fsencode(path) + b"//"
    )
    assert {one.path for one in found} == {str(path.relative_to(tree)) for path in tree.rglob("*")}


def test_what_is_known_of_each(tree: Path, tmp_path: Path) -> None:
    found = {one.path: one for one in entries(tree, tmp_path)}
    file = found["a/file"]
    assert (file.kind, file.mode, file.size, file.link) == ("f", "640", 7, "")
    assert file.owner == f"{os.getuid()}:{os.getgid()}"
    assert float(file.changed) == pytest.approx((tree / "a" / "file").stat().st_mtime)
    assert found["link"].kind == "l"
    assert found["link"].link == "a b//with//slashes and spaces"
    assert found["a/deep"].kind == "d"
    assert found["a.b/new\nline"].size == 1


def test_a_listing_of_many_chunks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tree").mkdir()
    for number in range(200):
        (tmp_path / "tree" / f"file{number}").touch()
    monkeypatch.setattr(trees, "_CHUNK", 7)
    assert len(entries(tmp_path / "tree", tmp_path)) == 200


def test_digests_of_odd_names(tree: Path) -> None:
    wanted = ["a/file", "a.b/new\nline", "a b/-rf", "a b/ trailing ", os.fsdecode(b"\xff\xfe")]
    found = trees.digests(here(tree), "/", wanted)
    assert found == {path: hashlib.sha256((tree / path).read_bytes()).hexdigest() for path in wanted}


def test_what_cannot_be_read_has_no_digest(tree: Path) -> None:
    assert list(trees.digests(here(tree), "/", ["a/gone", "a/file"])) == ["a/file"]
    assert trees.digests(here(tree), "/", []) == {}


@pytest.mark.parametrize("content", [b"a//f 644 0 0", b"no fields\0", b"path//f 644 0 0 1\0"])
def test_a_broken_listing_is_an_error(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "listing").write_bytes(content)
    with pytest.raises(TargetError, match="list of the image's files"):
        list(trees.read(trees.Listing(tmp_path / "listing")))


def test_what_cannot_be_listed_is_counted(tree: Path, tmp_path: Path) -> None:
    class Failing(HereRunner):
        def run(self, program: Script, output: Output, timeout: float | None = None) -> int:
            return super().run(replace(program, text=program.text.replace("find .", "find . ./gone")), output, timeout)

    assert trees.listed(cast(Runner, Failing(tree)), "/", tmp_path).unseen == 1
    assert trees.listed(here(tree), "/", tmp_path).unseen == 0


def test_a_point_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(TargetError, match="can't be listed"):
        trees.listed(here(tmp_path), "/nowhere", tmp_path)


@contextmanager
def mounted(disk: Path, point: Path) -> Iterator[None]:
    subprocess.run(["ntfs-3g", "-o", "permissions,windows_names", disk, point], check=True, capture_output=True)
    try:
        yield
    finally:
        subprocess.run(["umount", point], check=True)


@pytest.mark.skipif(not all(map(shutil.which, NTFS)), reason=f"needs {', '.join(NTFS)}")
@pytest.mark.root
def test_files_that_ntfs_3g_cannot_read_are_known(tmp_path: Path) -> None:
    """CompactOS's own mark on a file of a real NTFS, as it is in the appliance."""
    disk, point = tmp_path / "disk", tmp_path / "mounted"
    point.mkdir()
    with disk.open("wb") as file:
        file.truncate(16 * 1024**2)
    subprocess.run(["mkntfs", "-q", "-F", "-Q", disk], check=True, capture_output=True)
    with mounted(disk, point):
        for name in ("compressed.exe", "plain.txt"):
            (point / name).write_bytes(b"MZ content")
        mark = struct.pack("<IHH4I", 0x80000017, 16, 0, 1, 2, 1, 0)  # of a file, by XPRESS4K
        os.setxattr(point / "compressed.exe", "system.ntfs_reparse_data", mark, follow_symlinks=False)
    with mounted(disk, point):  # anew, since the kernel still knows it as a file
        found = {one.path: one.is_closed for one in entries(point, tmp_path)}
        assert found == {"compressed.exe": True, "plain.txt": False}
        assert list(trees.digests(here(point), "/", ["compressed.exe", "plain.txt"])) == ["plain.txt"]
