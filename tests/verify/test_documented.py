"""The page on verify names every check, with its profiles and what it proves."""

from __future__ import annotations

import re
from pathlib import Path

from dib_py.verify import choice

PAGE = Path(__file__).parents[2] / "docs" / "verify.rst"


def table() -> dict[str, tuple[str, str]]:
    """Profile and sentence of each check, by its name."""
    rows: list[list[str]] = []
    inside = False
    for line in PAGE.read_text().splitlines():
        if line.startswith("====") and " " in line:
            widths = [match.span() for match in re.finditer("=+", line)]
            inside = True
        elif inside and not line:
            break
        elif inside:
            cells = [line[start:end].strip() for start, end in [*widths[:-1], (widths[-1][0], len(line))]]
            if cells[0]:
                rows.append(cells)
            else:
                rows[-1][2] += f" {cells[2]}"
    return {name.strip("`"): (profile, proves) for name, profile, proves in rows if name.startswith("`")}


def test_the_table_is_of_the_checks_that_there_are() -> None:
    said = {}
    for check in choice.known():
        profiles = check.profiles & {"openstack", "minimal"}
        said[check.name] = ("both" if len(profiles) == 2 else "".join(profiles), check.proves)
    assert table() == said
