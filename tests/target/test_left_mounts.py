"""Mounts that hooks leave in the guest's tree, with real mounts in a namespace of their own."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from dib_py import mount_table, namespaces
from dib_py.errors import TargetError
from dib_py.layers.record import BindMount
from dib_py.mount_table import MountEntry
from dib_py.namespaces import MS_BIND, MS_RDONLY, MS_REMOUNT
from dib_py.target import left_mounts
from dib_py.target.guest_tree import GuestTree
from tests.artefacts.random_trees import in_own_mounts


def _entry(point: str, number: int = 0) -> MountEntry:
    return MountEntry(number, "8:1", "/", Path(point), False, "ext4")


def test_the_images_own_and_the_engines_mounts_are_left_out() -> None:
    points = [
        "/",
        "/t",
        "/t/boot",
        "/t/boot/efi",
        "/t/dev",
        "/t/dev/pts",
        "/t/tmp/yum",
        "/t/proc",
        "/tmp",
        "/t/a",
        "/t/a",
    ]
    found = left_mounts.foreign(
        [_entry(point) for point in reversed(points)],
        Path("/t"),
        {Path("/t"), Path("/t/boot"), Path("/t/boot/efi")},
        {Path("/t/dev"), Path("/t/proc")},
    )
    assert found == [Path("/t/a"), Path("/t/tmp/yum")]


def _tree(tmp_path: Path) -> Path:
    """A tree that is mounted, as a guest's is."""
    root = tmp_path / "tree"
    root.mkdir()
    namespaces.mount("guest", root, "tmpfs")
    for name in ("tmp/yum", "boot", "mnt/x", "dev"):
        (root / name).mkdir(parents=True)
    namespaces.mount("boot", root / "boot", "tmpfs")
    return root


@pytest.mark.root
def test_binds_are_found_and_made_again(tmp_path: Path) -> None:
    cache = tmp_path / "cache dir" / "yum"
    cache.mkdir(parents=True)
    (tmp_path / "file").write_text("content")

    def work() -> None:
        root = _tree(tmp_path)
        (root / "mnt/file").touch()
        (root / "mnt/own").mkdir()
        script = """mount --bind "$1" tmp/yum; mount --bind "$2" mnt/file; mount --bind tmp mnt/own
            mount -t sysfs s dev; mount -t proc p mnt/x"""
        argv = ["unshare", "--mount", "--propagation", "unchanged", "bash", "-euc", script, "hook"]
        subprocess.run([*argv, cache, tmp_path / "file"], check=True, cwd=root, timeout=60)
        found = left_mounts.find(root, filesystems={root, root / "boot"})
        assert found == left_mounts.LeftMounts(
            (
                BindMount(str(cache), "/tmp/yum"),
                BindMount(str(tmp_path / "file"), "/mnt/file"),
                BindMount(str(root / "tmp"), "/mnt/own"),
                BindMount("/sys", "/dev"),
                BindMount("/proc", "/mnt/x"),
            )
        )
        for mount in reversed(found.kept):
            namespaces.umount(root / mount.path[1:])
        assert left_mounts.find(root, filesystems={root, root / "boot"}) == left_mounts.LeftMounts()
        cache.rmdir()
        (root / "tmp/yum").rmdir()
        left_mounts.mount_again(GuestTree(root), found.kept)
        assert left_mounts.find(root, filesystems={root, root / "boot"}) == found
        (root / "tmp/yum/rpm").touch()
        assert (cache / "rpm").exists()
        assert (root / "mnt/file").read_text() == "content"

    in_own_mounts(work)


@pytest.mark.root
def test_what_cannot_be_made_again_is_told(tmp_path: Path) -> None:
    def work() -> None:
        root = _tree(tmp_path)
        (tmp_path / "cache").mkdir()
        namespaces.mount("none", root / "tmp/yum", "tmpfs")
        namespaces.mount(tmp_path / "cache", root / "mnt/x", flags=MS_BIND)
        namespaces.mount("none", root / "mnt/x", flags=MS_BIND | MS_REMOUNT | MS_RDONLY)
        found = left_mounts.find(root, filesystems={root, root / "boot"})
        assert found.kept == ()
        assert [(one.path, "read-only" in one.why) for one in found.unkept] == [("/tmp/yum", False), ("/mnt/x", True)]
        assert "tmpfs" in found.unkept[0].why

    in_own_mounts(work)


@pytest.mark.root
def test_what_is_hidden_by_another_mount_does_not_count(tmp_path: Path) -> None:
    (tmp_path / "cache/inner").mkdir(parents=True)

    def work() -> None:
        root = _tree(tmp_path)
        namespaces.mount("none", root / "tmp/yum", "tmpfs")
        namespaces.mount("none", root / "tmp", "tmpfs")
        namespaces.mount(tmp_path / "cache", root / "tmp", flags=MS_BIND)
        found = left_mounts.find(root, filesystems={root, root / "boot"})
        assert found == left_mounts.LeftMounts((BindMount(str(tmp_path / "cache"), "/tmp"),))
        assert len([one for one in mount_table.read() if root / "tmp" == one.point]) == 2

    in_own_mounts(work)


@pytest.mark.root
def test_links_of_the_guest_lead_nowhere_outside(tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir()
    (tmp_path / "outside").mkdir()

    def work() -> None:
        root = _tree(tmp_path)
        (root / "link").symlink_to(tmp_path / "outside")
        with pytest.raises(TargetError):
            left_mounts.mount_again(GuestTree(root), [BindMount(str(tmp_path / "cache"), "/link")])
        assert tmp_path / "outside" not in mount_table.points()

    in_own_mounts(work)


@pytest.mark.root
def test_a_file_that_is_gone_is_told(tmp_path: Path) -> None:
    def work() -> None:
        root = _tree(tmp_path)
        (root / "f").touch()
        with pytest.raises(TargetError, match="mounted again"):
            left_mounts.mount_again(GuestTree(root), [BindMount(str(tmp_path / "gone"), "/f")])

    in_own_mounts(work)
