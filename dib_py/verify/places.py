"""Where a verdict is kept, for those that only move or remove it."""

from __future__ import annotations

from pathlib import Path

from dib_py.extensions import VERDICTS


def verdict_path(image: Path) -> Path:
    return image.with_name(f"{image.name}.{VERDICTS[0]}")


def page_path(image: Path) -> Path:
    return image.with_name(f"{image.name}.{VERDICTS[1]}")
