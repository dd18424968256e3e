from __future__ import annotations

import pytest

from dib_py.render.measures import amount, clock, count_of, duration, size


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (1536, "1.5 KiB"),
        (5 * 1024**3, "5.0 GiB"),
        (2 * 1024**5, "2048.0 TiB"),
    ],
)
def test_size(count: int, text: str) -> None:
    assert size(count) == text


def test_times() -> None:
    assert [duration(0.04), duration(59.94), duration(61), duration(3600)] == ["0.0 s", "59.9 s", "1:01", "1:00:00"]
    assert clock(5.9) == "0:05"


def test_numbers_of_things() -> None:
    assert [count_of(number, "layer") for number in (0, 1, 2)] == ["0 layers", "1 layer", "2 layers"]


def test_amount() -> None:
    assert amount(1024, 4096, "bytes") == "1.0 KiB of 4.0 KiB (25 %)"
    assert amount(3, 4, "steps") == "3 of 4 steps (75 %)"
    assert amount(3, None, "files") == "3 files"
