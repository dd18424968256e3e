"""Sizes, times and numbers of things as people read them."""

from __future__ import annotations


def size(count: int) -> str:
    """Bytes in the largest binary unit that keeps the number above one."""
    value, unit = float(count), "B"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if value < 1024:
            break
        value, unit = value / 1024, larger
    return f"{value:.1f} {unit}" if unit != "B" else f"{count} B"


def duration(seconds: float) -> str:
    """Seconds with a decimal below a minute, then minutes and hours."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    return clock(seconds)


def clock(seconds: float) -> str:
    """Seconds as a running clock, ``m:ss`` or ``h:mm:ss``."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def count_of(number: int, thing: str) -> str:
    """So many of a thing, which is named in the singular."""
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def amount(done: int, total: int | None, unit: str) -> str:
    """How far a piece of work has come."""
    show = size if unit == "bytes" else str
    word = "" if unit == "bytes" else f" {unit}"
    if not total:
        return f"{show(done)}{word}"
    return f"{show(done)} of {show(total)}{word} ({done * 100 // total} %)"
