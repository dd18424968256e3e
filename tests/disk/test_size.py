from __future__ import annotations

from pathlib import Path

import pytest

from dib_py.disk.size import beside_partitions, check_space, dib_size_kib, parse_percent, parse_size, shown
from dib_py.errors import DiskError
from dib_py.units import KIB, MIB


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("1TiB", 1024**4),
        ("2GiB", 2 * 1024**3),
        ("550MiB", 550 * 1024**2),
        ("1.5KiB", 1536),
        ("1TB", 1000**4),
        ("40G", 40 * 1000**3),
        ("1800M", 1800 * 1000**2),
        ("1 K", 1000),
        ("512B", 512),
        ("4096", 4096),
        (".5KB", 500),
        ("MiB", 1024**2),
    ],
)
def test_sizes(text: str, size: int) -> None:
    assert parse_size(text) == size


def test_sizes_mean_what_diskimage_builder_takes_them_for() -> None:
    theirs = pytest.importorskip("diskimage_builder.block_device.utils")
    for unit in ["TiB", "GiB", "MiB", "KiB", "TB", "GB", "MB", "KB", "T", "G", "M", "K", "B", ""]:
        for number in ["1", "2.5", "17"]:
            assert parse_size(number + unit) == theirs.parse_abs_size_spec(number + unit)


@pytest.mark.parametrize("text", ["", "  ", "ten", "10 gib", "10GiBs", "-1G", "1,5G", "1..5G", "10%"])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(ValueError, match="is no size; write a number and one of TiB, GiB"):
        parse_size(text)


def test_percentages() -> None:
    assert parse_percent("100%") == 100
    assert parse_percent("33.3 %") == 33.3
    assert parse_percent("100") is None
    for wrong in ("0%", "101%"):
        with pytest.raises(ValueError, match="not between"):
            parse_percent(wrong)


@pytest.mark.parametrize(
    ("kib", "arguments"),
    [
        (1000 * KIB, {"size_kib": 1000 * KIB}),
        (1525 * KIB, {"size_kib": 1000 * KIB, "efi": True}),
        (1000 * KIB + 64, {"size_kib": 1000 * KIB + 1}),  # rounded up
        (1518976, {"journal_mib": None}),  # int(911361 / 0.6) = 1518935, up to 64
        (1584512, {"journal_mib": 64}),
        (911361 + 100 * 1024 + 64 * 1024 + 63, {"extra_mib": 100, "journal_mib": 64}),
    ],
)
def test_the_size_of_a_finished_image(kib: int, arguments: dict[str, int]) -> None:
    assert dib_size_kib(911361, **arguments) == kib // 64 * 64


def test_shown() -> None:
    assert [shown(size) for size in (0, 512, 1536, 1024**3, 3 * 512 * MIB)] == [
        "0 bytes",
        "512 bytes",
        "1.5 KiB",
        "1 GiB",
        "1.5 GiB",
    ]


def test_space_on_the_host(tmp_path: Path) -> None:
    check_space(tmp_path, 1)
    with pytest.raises(DiskError, match=r"free, and the build needs about 1024 TiB") as caught:
        check_space(tmp_path, 1024**5)
    assert "TMPDIR" in caught.value.hint


def test_other_partitions_count_where_diskimage_builders_size_forgets_them() -> None:
    assert beside_partitions(300 * MIB, 3 * MIB) == 300 * MIB
    assert beside_partitions(300 * MIB, 30 * MIB) == 300 * MIB
    assert beside_partitions(300 * MIB, 67 * MIB) == 367 * MIB
