"""Paths in a guest's tree, also in trees that somebody made to lead out of it. No root needed."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path

import pytest

from dib_py.errors import DibError, TargetError
from dib_py.target.guest_tree import GuestTree


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    path = tmp_path / "outside"
    path.mkdir()
    (path / "secret").write_text("of this machine")
    return path


@pytest.fixture
def tree(tmp_path: Path, outside: Path) -> GuestTree:
    root = tmp_path / "root"
    (root / "etc").mkdir(parents=True)
    (root / "etc" / "file").write_text("of the guest")
    links = {
        "absolute": str(outside),
        "up": "../../../../../../../../../../.." + str(outside),
        "etc/up": "../../outside",
        "chain": "up",
        "to-etc": "/etc",
        "loop": "loop",
        "ping": "pong",
        "pong": "ping",
        "self-root": "/",
        "dot": ".",
        "file-link": str(outside / "secret"),
        "proc-self-root": "/proc/self/root" + str(outside),
    }
    for name, target in links.items():
        (root / name).symlink_to(target)
    return GuestTree(root)


ESCAPES = ["absolute", "up", "etc/up", "chain", "proc-self-root", "self-root/up", "dot/dot/absolute"]


@pytest.mark.parametrize("link", ESCAPES)
def test_reading_never_leads_out(link: str, tree: GuestTree) -> None:
    assert not tree.exists(f"/{link}/secret")
    with pytest.raises(TargetError):
        tree.read(f"/{link}/secret")
    with pytest.raises(TargetError):
        tree.listdir(f"/{link}")


@pytest.mark.parametrize("link", ESCAPES)
def test_writing_never_leads_out(link: str, tree: GuestTree, outside: Path) -> None:
    for work in (
        lambda: tree.write(f"/{link}/new", b""),
        lambda: tree.make_directory(f"/{link}/directory"),
        lambda: tree.rename("/etc/file", f"/{link}/file"),
        lambda: tree.copy_in(tree.root / "etc" / "file", f"/{link}"),
    ):
        with pytest.raises(TargetError):
            work()
    tree.remove(f"/{link}/secret")
    assert [path.name for path in outside.iterdir()] == ["secret"]


def test_dots_stop_at_the_root(tree: GuestTree) -> None:
    assert tree.read("/../../../etc/file") == b"of the guest"
    assert tree.read("/etc/../../../../etc/file") == b"of the guest"
    tree.write("/../../written", b"inside")
    assert (tree.root / "written").read_bytes() == b"inside"


def test_a_link_to_a_file_is_followed_inside(tree: GuestTree, outside: Path) -> None:
    with pytest.raises(TargetError):
        tree.read("/file-link")
    (tree.root / str(outside).lstrip("/")).mkdir(parents=True)
    tree.write("/file-link", b"new")
    assert (outside / "secret").read_text() == "of this machine"
    assert tree.read(str(outside / "secret")) == b"new"


def test_absolute_links_mean_the_guest(tree: GuestTree) -> None:
    assert tree.read("/to-etc/file") == b"of the guest"
    assert tree.listdir("/self-root/self-root/etc") == tree.listdir("/etc")
    assert tree.resolved("/to-etc/file") == tree.root / "etc" / "file"


@pytest.mark.parametrize("name", ["loop", "ping"])
def test_loops_are_errors(name: str, tree: GuestTree) -> None:
    with pytest.raises(TargetError) as raised:
        tree.read(f"/{name}")
    assert raised.value.where == f"/{name}"
    assert tree.is_symlink(f"/{name}")
    assert not tree.exists(f"/{name}")
    tree.remove(f"/{name}")
    assert not tree.is_symlink(f"/{name}")


def test_removing_a_link_leaves_its_target(tree: GuestTree, outside: Path) -> None:
    tree.remove("/absolute")
    tree.remove("/to-etc")
    assert (outside / "secret").exists()
    assert tree.exists("/etc/file")


def test_removing_a_directory_does_not_follow_links_in_it(tree: GuestTree, outside: Path) -> None:
    tree.make_directory("/doomed/deep")
    (tree.root / "doomed" / "deep" / "link").symlink_to(outside)
    tree.remove("/doomed")
    assert not tree.exists("/doomed")
    assert (outside / "secret").exists()


def test_the_root_itself_is_not_removed(tree: GuestTree) -> None:
    for path in ("/", "/etc/.."):
        with pytest.raises(TargetError, match="name of its own"):
            tree.remove(path)


def test_make_directory_keeps_modes_of_what_is_there(tree: GuestTree) -> None:
    (tree.root / "etc").chmod(0o711)
    tree.make_directory("/etc/a/b", 0o700)
    modes = [(tree.root / path).stat().st_mode & 0o777 for path in ("etc", "etc/a/b")]
    assert modes == [0o711, 0o700]
    with pytest.raises(TargetError):
        tree.make_directory("/etc/file")


def test_odd_names(tree: GuestTree) -> None:
    for name in ("with space", "new\nline", "-dash", "ünï", "*"):
        tree.write(f"/{name}", name.encode())
        assert tree.read(f"/{name}") == name.encode()
        tree.rename(f"/{name}", f"/etc/{name}")
        assert name in tree.listdir("/etc")


def _archive(path: Path, members: dict[str, str]) -> Path:
    """A tar archive of files, and of links for values that begin with ``->``."""
    with tarfile.open(path, "w") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.uid, info.gid = os.getuid(), os.getgid()
            if content.startswith("->"):
                info.type, info.linkname = tarfile.SYMTYPE, content[2:]
                tar.addfile(info)
            else:
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content.encode()))
    return path


@pytest.mark.parametrize("link", ["absolute", "up", "etc/up", "chain"])
def test_an_archive_behind_a_link_that_leads_out_is_refused(link: str, tree: GuestTree, tmp_path: Path) -> None:
    archive = _archive(tmp_path / "in.tar", {f"{link}/file": "x"})
    with pytest.raises(TargetError, match="leads out"):
        tree.tar_in(archive, "/")
    assert not (tmp_path / "outside" / "file").exists()


def test_an_archive_that_brings_its_own_link_out(tree: GuestTree, tmp_path: Path, outside: Path) -> None:
    archive = _archive(tmp_path / "in.tar", {"bad": f"->{outside}", "bad/file": "x"})
    with pytest.raises(DibError):
        tree.tar_in(archive, "/etc")
    assert not (outside / "file").exists()


def test_archive_names_that_climb(tree: GuestTree, tmp_path: Path) -> None:
    archive = _archive(tmp_path / "in.tar", {"../../climbed": "x", "/rooted": "y"})
    with pytest.raises(DibError):
        tree.tar_in(archive, "/etc")
    assert not (tmp_path / "climbed").exists()
    assert not Path("/rooted").exists()


def test_tar_out_and_in_again(tree: GuestTree, tmp_path: Path) -> None:
    tree.make_directory("/etc/sub")
    tree.write("/etc/sub/left-out", b"")
    archive = tmp_path / "out.tar"
    tree.tar_out("/etc", archive, exclude=["./sub/left-out"])
    tree.make_directory("/copy")
    tree.tar_in(archive, "/copy")
    assert sorted(tree.listdir("/copy")) == ["file", "sub", "up"]
    assert tree.listdir("/copy/sub") == []
    assert tree.is_symlink("/copy/up")
