"""Where a verdict is kept, for those that only move or remove it."""

from __future__ import annotations

from pathlib import Path

KINDS = ("verdict.json", "verdict.html")  # suffixes after the image's whole name, like those of checksum files


def verdict_path(image: Path) -> Path:
    return image.with_name(f"{image.name}.{KINDS[0]}")


def page_path(image: Path) -> Path:
    return image.with_name(f"{image.name}.{KINDS[1]}")
