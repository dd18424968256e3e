"""The disk on which the appliance has package caches, without an appliance: made by mke2fs, read by debugfs."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from dib_py.process import CommandFailed
from dib_py.target import CacheTree
from dib_py.target.guestfs_caches import ROOM, CacheDisk

pytestmark = pytest.mark.skipif(
    shutil.which("mke2fs") is None or shutil.which("debugfs") is None, reason="needs e2fsprogs"
)

APT = "/var/cache/apt"


@pytest.fixture
def disk(tmp_path: Path) -> CacheDisk:
    caches = CacheTree(tmp_path / "build", (APT, "/var/cache/empty"))
    for path in caches.paths:
        caches.source(path).mkdir(parents=True)
    (tmp_path / "kept").write_text("kept")
    os.link(tmp_path / "kept", caches.source(APT) / "had.deb")
    return CacheDisk(caches, tmp_path / "caches.ext4")


def debugfs(disk: CacheDisk, *commands: str) -> str:
    argv = ["debugfs", "-w", "-f", "-", disk.image]
    done = subprocess.run(argv, input="\n".join(commands), capture_output=True, text=True, check=True)
    return done.stdout


def write(disk: CacheDisk, path: str, text: str, directory: Path) -> None:
    source = directory / "source"
    source.write_text(text)
    debugfs(disk, f'write {source} "{path}"', f'set_inode_field "{path}" mtime @1000000000')


def test_it_holds_the_caches_and_has_room(disk: CacheDisk) -> None:
    assert disk.image.stat().st_size >= ROOM
    assert disk.image.stat().st_blocks * 512 < 64 * 1024**2
    assert "kept" in debugfs(disk, f"cat {APT}/had.deb")
    assert "Type: directory" in debugfs(disk, "stat /var/cache/empty")
    subprocess.run(["e2fsck", "-fn", disk.image], check=True, capture_output=True)


def test_what_is_new_comes_back_with_its_time(disk: CacheDisk, tmp_path: Path) -> None:
    name = "a_1%3a2+b~c.deb"
    write(disk, f"{APT}/{name}", "new", tmp_path)
    disk.unmounted(f"3 {APT[1:]}/{name}\0")
    disk.take_back()
    file = disk.caches.source(APT) / name
    assert (file.read_text(), file.stat().st_mtime) == ("new", 1e9)
    file.unlink()
    disk.take_back()
    assert not file.exists(), "once is enough"


def test_a_kept_file_is_replaced_not_written_over(disk: CacheDisk, tmp_path: Path) -> None:
    debugfs(disk, f"rm {APT}/had.deb")
    write(disk, f"{APT}/had.deb", "other", tmp_path)
    disk.unmounted(f"5 {APT[1:]}/had.deb\0")
    disk.take_back()
    assert (disk.caches.source(APT) / "had.deb").read_text() == "other"
    assert (tmp_path / "kept").read_text() == "kept"


@pytest.mark.parametrize(
    "printed",
    [
        "4 var/cache/apt/had.deb",  # of another size by now
        "3 var/cache/apt/gone.deb\0",
        "3 ../outside\0",
        "3 var/cache/apt/../../../outside\0",
        '3 var/cache/apt/a" /etc/passwd "\0',
        "3 var/cache/apt/a\nquit\0",
        "umount: /sysroot: not mounted",
        "",
    ],
)
def test_what_does_not_come_back(printed: str, disk: CacheDisk, tmp_path: Path) -> None:
    write(disk, f"{APT}/new.deb", "new", tmp_path)
    debugfs(disk, f"rm {APT}/had.deb")
    disk.unmounted(printed)
    disk.take_back()
    files = [path for path in disk.caches.root.rglob("*") if path.is_file()]
    assert [path.read_text() for path in files] == ["kept"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["build", "caches.ext4", "kept", "source"]


def test_nothing_is_read_from_what_nobody_vouches_for(disk: CacheDisk, tmp_path: Path) -> None:
    disk.caches = CacheTree(disk.caches.root, disk.caches.paths, kept=False)
    write(disk, f"{APT}/new.deb", "new", tmp_path)
    disk.unmounted(f"3 {APT[1:]}/new.deb\0")
    disk.image.unlink()  # it would fail
    disk.take_back()
    assert not (disk.caches.source(APT) / "new.deb").exists()


def test_no_room_for_it_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "build").mkdir()
    with pytest.raises(CommandFailed):
        CacheDisk(CacheTree(tmp_path / "build", ()), tmp_path / "no such directory" / "caches.ext4")
