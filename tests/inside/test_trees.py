"""Listings of files as the appliance makes them, made here of real directories with odd names in them."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from dib_py.errors import TargetError
from dib_py.inside import trees
from tests.inside.here import runner as here


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
        list(trees.read(tmp_path / "listing"))


def test_a_point_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(TargetError, match="can't be listed"):
        trees.listed(here(tmp_path), "/nowhere", tmp_path)
