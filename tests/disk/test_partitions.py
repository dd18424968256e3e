"""Partition tables: computed here, made by the real sfdisk on sparse files, and read back from there."""

from __future__ import annotations

import itertools
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dib_py.disk.layout import Filesystem, Layout, Partition, PartitionTable
from dib_py.disk.partitions import GPT_TYPES, DoesNotFit, gpt_type, mbr_type, place, sfdisk_script, smallest_disk
from dib_py.errors import DiskError

MIB = 1024**2
GIB = 1024**3

ROOT = Filesystem("mkfs_root", "root", "ext4", "root", "", mount_point="/")

needs_sfdisk = pytest.mark.skipif(shutil.which("sfdisk") is None, reason="needs sfdisk")


def layout(label: str, *partitions: Partition, align: int = MIB, sector_size: int = 512) -> Layout:
    table = PartitionTable(label, align, partitions)
    return Layout("image0", None, sector_size, table, filesystems=(ROOT,), source="test.yaml")


def made_by_sfdisk(tmp_path: Path, what: Layout, size: int, *, device_size: int | None = None) -> Any:
    """The table as sfdisk reads it back."""
    image = tmp_path / "disk.img"
    with image.open("wb") as file:
        file.truncate(device_size or size)
    argv = ["sfdisk", "--quiet", "--wipe", "always", "--wipe-partitions", "always", "--no-reread", image]
    subprocess.run(argv, input=sfdisk_script(what, size), text=True, check=True, capture_output=True)
    subprocess.run(["sfdisk", "--verify", image], check=True, capture_output=True)
    return json.loads(subprocess.run(["sfdisk", "-J", image], check=True, capture_output=True).stdout)["partitiontable"]


def read_back(table: Any) -> list[tuple[int, int, int]]:
    """Number, start and length in bytes."""
    return [
        (int(one["node"].rpartition("img")[2]), one["start"] * 512, one["size"] * 512) for one in table["partitions"]
    ]


EFI = (
    Partition("ESP", 1, 550 * MIB, "EF00"),
    Partition("BSP", 2, 8 * MIB, "EF02"),
    Partition("root", 3, None, "8300"),
)


@needs_sfdisk
@pytest.mark.parametrize("device_size", [None, 1024 * GIB])
def test_gpt(tmp_path: Path, device_size: int | None) -> None:
    what = layout("gpt", *EFI)
    table = made_by_sfdisk(tmp_path, what, 3 * GIB, device_size=device_size)
    assert table["label"] == "gpt"
    assert [one["name"] for one in table["partitions"]] == ["ESP", "BSP", "root"]
    assert [one["type"] for one in table["partitions"]] == [gpt_type("EF00"), gpt_type("EF02"), gpt_type("8300")]
    assert read_back(table) == [
        (1, MIB, 550 * MIB),
        (2, 551 * MIB, 8 * MIB),
        (3, 559 * MIB, 3 * GIB - 560 * MIB),
    ]
    assert read_back(table) == [(one.number, one.start, one.length) for one in place(what, 3 * GIB)]


@needs_sfdisk
def test_mbr(tmp_path: Path) -> None:
    what = layout("mbr", Partition("root", 1, None, "0x83", bootable=True))
    table = made_by_sfdisk(tmp_path, what, 2 * GIB)
    assert table["label"] == "dos"
    assert table["partitions"][0]["bootable"] is True
    assert table["partitions"][0]["type"] == "83"
    assert read_back(table) == [(1, MIB, 2 * GIB - 2 * MIB)]


@needs_sfdisk
def test_mbr_with_logical_partitions(tmp_path: Path) -> None:
    what = layout(
        "mbr",
        Partition("boot", 1, 100 * MIB, "0x83", bootable=True),
        Partition("data", 5, 200 * MIB, "0x83", logical=True),
        Partition("swap", 6, 300 * MIB, "0x82", logical=True),
        Partition("root", 7, None, "0x83", logical=True),
    )
    table = made_by_sfdisk(tmp_path, what, 2 * GIB)
    assert read_back(table) == [
        (1, MIB, 100 * MIB),
        (2, 101 * MIB, 2 * GIB - 102 * MIB),  # the extended one
        (5, 102 * MIB, 200 * MIB),
        (6, 303 * MIB, 300 * MIB),
        (7, 604 * MIB, 2 * GIB - 605 * MIB),
    ]
    assert [one["type"] for one in table["partitions"]] == ["83", "f", "83", "82", "83"]


@needs_sfdisk
def test_all_logical(tmp_path: Path) -> None:
    what = layout("mbr", Partition("root", 5, None, "0x83", bootable=True, logical=True))
    table = made_by_sfdisk(tmp_path, what, GIB)
    assert [number for number, _, _ in read_back(table)] == [1, 5]
    assert table["partitions"][1]["bootable"] is True


def test_percentages_are_of_what_is_left() -> None:
    what = layout(
        "gpt",
        Partition("a", 1, None, "8300", percent=50),
        Partition("b", 2, None, "8300", percent=50),
        Partition("root", 3, None, "8300"),
    )
    lengths = [one.length for one in place(what, 8 * GIB + 2 * MIB)]
    assert lengths == [4 * GIB, 2 * GIB, 2 * GIB]


def test_a_grown_disk_moves_only_the_end_of_the_last_partition() -> None:
    what = layout("gpt", *EFI)
    small, large = place(what, 2 * GIB), place(what, 5 * GIB)
    assert small[:2] == large[:2]
    assert large[2].start == small[2].start
    assert large[2].length - small[2].length == 3 * GIB


def test_4k_sectors() -> None:
    script = sfdisk_script(layout("gpt", *EFI, sector_size=4096), 2 * GIB)
    assert "1 : start=256, size=140800, type=C12A7328-F81F-11D2-BA4B-00A0C93EC93B" in script


@given(
    st.sampled_from(["gpt", "mbr"]),
    st.lists(st.integers(min_value=1, max_value=300 * MIB), min_size=0, max_size=5),
    st.integers(min_value=0, max_value=63),
    st.sampled_from([4096, MIB, 4 * MIB]),
)
def test_partitions_never_overlap_nor_leave_the_disk(label: str, sizes: list[int], odd: int, align: int) -> None:
    logical = label == "mbr"
    parts = [
        Partition(f"p{n}", n + (5 if logical else 1), max(size, 512), "83" if logical else "8300", logical=logical)
        for n, size in enumerate(sizes)
    ]
    root = Partition("root", len(parts) + (5 if logical else 1), None, "83" if logical else "8300", logical=logical)
    what = layout(label, *parts, root, align=align if logical else MIB)
    size = 2 * GIB + odd * 65536
    places = [one for one in place(what, size) if not one.extended]
    for before, after in itertools.pairwise(places):
        assert before.start + before.length <= after.start
    for one in places:
        assert one.start % what.table.align == 0
        assert one.length > 0
    end = places[-1].start + places[-1].length
    assert size - 3 * MIB < end <= size - MIB
    assert smallest_disk(what) <= size


@pytest.mark.parametrize("size", [2 * GIB, 550 * MIB])
def test_what_does_not_fit_is_named(size: int) -> None:
    what = layout("gpt", *EFI[:2], Partition("root", 3, 40 * GIB, "8300"))
    with pytest.raises(DoesNotFit) as caught:
        place(what, size)
    assert caught.value.partition == ("root" if size == 2 * GIB else "ESP")
    assert "--image-size" in caught.value.hint


def test_the_smallest_disk_is_enough() -> None:
    what = layout("gpt", *EFI)
    place(what, smallest_disk(what))
    with pytest.raises(DoesNotFit):
        place(what, smallest_disk(what) - MIB)


def test_an_mbr_ends_at_2_tib() -> None:
    with pytest.raises(DiskError, match="mbr can't describe"):
        place(layout("mbr", Partition("root", 1, None, "0x83")), 3 * 1024 * GIB)


def test_mbr_types() -> None:
    assert mbr_type("0x83") == "83"
    assert mbr_type("EF") == "ef"
    assert mbr_type("0x4100") is None
    assert mbr_type("linux") is None


@pytest.mark.skipif(shutil.which("sgdisk") is None or shutil.which("sfdisk") is None, reason="needs sgdisk and sfdisk")
def test_gpt_codes_mean_what_they_mean_to_sgdisk(tmp_path: Path) -> None:
    image = tmp_path / "disk.img"
    with image.open("wb") as file:
        file.truncate(64 * MIB)
    argv: list[Any] = ["sgdisk", image]
    for number, code in enumerate(GPT_TYPES, 1):
        argv += ["-n", f"{number}:0:+1M", "-t", f"{number}:{code}"]
    subprocess.run(argv, check=True, capture_output=True)
    read = json.loads(subprocess.run(["sfdisk", "-J", image], check=True, capture_output=True).stdout)
    types = [one["type"] for one in read["partitiontable"]["partitions"]]
    assert types == [gpt_type(code.lower()) for code in GPT_TYPES]
    assert types == [gpt_type(guid) for guid in types]
