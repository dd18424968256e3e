"""Install the element library under share/dib-py/elements; everything else is in setup.cfg."""

from __future__ import annotations

from pathlib import Path

from setuptools import setup

HERE = Path(__file__).parent


def element_files() -> list[tuple[str, list[str]]]:
    by_directory: dict[str, list[str]] = {}
    for path in sorted((HERE / "elements").rglob("*")):
        if path.is_file() and path.suffix != ".pyc":
            relative = path.relative_to(HERE)
            by_directory.setdefault(f"share/dib-py/{relative.parent}", []).append(str(relative))
    return sorted(by_directory.items())


setup(data_files=element_files())
