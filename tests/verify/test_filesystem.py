"""Clean or not, told from the first bytes of filesystems that the real tools made."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from dib_py.verify.filesystem import HEAD, state, xfs_state

MAKERS = {
    "ext2": ["mkfs.ext2", "-q"],
    "ext4": ["mkfs.ext4", "-q"],
    "vfat": ["mkfs.vfat"],
    "fat32": ["mkfs.vfat", "-F", "32", "-s", "1"],
    "btrfs": ["mkfs.btrfs", "-q"],
}
# offsets of what the kernel sets while a filesystem is mounted, or leaves when it was not unmounted
DIRT = {
    "ext2": [(0x400 + 0x3A, b"\x00\x00", "it was not unmounted")],
    "ext4": [
        (0x400 + 0x60, b"\xc6\x02\x00\x00", "its journal must be replayed (needs_recovery)"),
        (0x400 + 0x3A, b"\x03\x00", "errors were found in it (0 counted)"),
        (0x400 + 0x194, b"\x05\x00\x00\x00", "errors were found in it (5 counted)"),
        (0x400 + 0xE8, b"\x0d\x00\x00\x00", "deleted files are still to be freed (first inode 13)"),
        (0x400 + 0x38, b"\x00\x00", "its superblock is gone: its magic is 0x0000, not 0xef53"),
    ],
    "vfat": [(0x25, b"\x01", "its boot sector says dirty")],
    "fat32": [(0x41, b"\x01", "its boot sector says dirty")],
    "btrfs": [
        (0x10060, b"\x00\x00\x40\x01\x00\x00\x00\x00", "its log tree must be replayed"),
        (0x10040, b"x", "its superblock is gone"),
    ],
}


@pytest.fixture(scope="module")
def heads(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    directory = tmp_path_factory.mktemp("filesystems")
    return {name: _head(directory / name, argv, 128 if name == "btrfs" else 40) for name, argv in MAKERS.items()}


def _head(path: Path, argv: list[str], size: int) -> bytes:
    with path.open("wb") as file:
        file.truncate(size * 1024**2)
    subprocess.run([*argv, path], check=True, capture_output=True)
    with path.open("rb") as file:
        return file.read(HEAD)


@pytest.mark.parametrize("name", MAKERS)
def test_a_new_one_is_clean(heads: dict[str, bytes], name: str) -> None:
    assert state("vfat" if name == "fat32" else name, heads[name]).clean is True


@pytest.mark.parametrize(("name", "dirt"), [(name, dirt) for name, all in DIRT.items() for dirt in all])
def test_one_that_was_left_open_is_not(heads: dict[str, bytes], name: str, dirt: tuple[int, bytes, str]) -> None:
    offset, data, why = dirt
    head = heads[name][:offset] + data + heads[name][offset + len(data) :]
    found = state("vfat" if name == "fat32" else name, head)
    assert (found.clean, found.why) == (False, why)


@pytest.mark.parametrize("name", ["ext4", "vfat", "btrfs"])
def test_what_is_cut_off_is_not_clean(heads: dict[str, bytes], name: str) -> None:
    assert state(name, heads[name][:30]).clean is False


def test_a_kind_that_says_nothing() -> None:
    assert state("zfs", b"").clean is None


@pytest.mark.parametrize(
    ("printed", "clean"),
    [
        ("    log device: 0xfd00 daddr: 524320 length: 20480\n\n    log tail: 2 head: 2 state: <CLEAN>\n", True),
        ("    log tail: 7 head: 31 state: <DIRTY>\n", False),
        ("xfs_logprint: unexpected log file size\n", False),
        ("", False),
        ("sh: line 1: xfs_logprint: command not found\n", None),
        ("sh: 1: xfs_logprint: not found\n", None),
    ],
)
def test_xfs_says_it_in_its_log(printed: str, clean: bool | None) -> None:
    assert xfs_state(printed).clean is clean
