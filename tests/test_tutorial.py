"""What the tutorial tells people to type works: its commands run in their order, its files are written as it has them.

Commands that would build run as ``dib-py plan`` with the same words, and what boots an image is left out.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from dib_py.cli import SUBCOMMANDS
from dib_py.phases import PHASES, Phase

PAGE = Path(__file__).parents[1] / "docs" / "tutorial.rst"
FILE = re.compile(r"``(elements/[\w./-]+)``::$")


def blocks() -> Iterator[tuple[str, str]]:
    """The literal blocks of the page, each with the paragraph that announces it in one line."""
    for found in re.finditer(r"((?:^\S.*\n)*^\S.*::\n)\n((?:^    .*\n|^\n)+)", PAGE.read_text(), re.MULTILINE):
        yield " ".join(found[1].split()), textwrap.dedent(found[2]).strip("\n") + "\n"


def commands(block: str) -> Iterator[list[str]]:
    for line in block.replace("\\\n", " ").splitlines():
        if re.match(r"(\w+=\S+ |\w+=\"[^\"]*\" )*dib-py ", line):
            yield shlex.split(line, comments=True)


def can_run(words: list[str]) -> list[str]:
    """The command as it can run here: on this interpreter, and planned where it would build."""
    at = words.index("dib-py")
    rest = words[at + 1 :]
    if rest[:1] == ["..."]:
        return []
    if rest[0] not in SUBCOMMANDS:
        rest = ["plan", *rest]
    return [*words[:at], sys.executable, "-m", "dib_py", *rest]


def test_all_that_it_tells_people_to_type(tmp_path: Path) -> None:
    environ = {**os.environ, "XDG_STATE_HOME": str(tmp_path / "state"), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    for name in ("site.conf", "tune.sh"):
        (tmp_path / name).write_text("#!/bin/sh\n")
        (tmp_path / name).chmod(0o755)
    ran: list[str] = []
    for announced, block in blocks():
        if file := FILE.search(announced):
            path = tmp_path / file[1]
            path.parent.mkdir(exist_ok=True)
            path.write_text(block)
            continue
        for words in commands(block):
            if runnable := can_run(words):
                done = subprocess.run(["env", *runnable], cwd=tmp_path, env=environ, capture_output=True, text=True)
                assert done.returncode == 0, f"{shlex.join(words)}\n{done.stdout}{done.stderr}"
                ran.append(shlex.join(words))
    assert len(ran) >= 12
    hook = tmp_path / "elements/web/post-install.d/50-web"
    assert os.access(hook, os.X_OK), "the command that begins it has made it executable"
    assert "DIB_WEB_TITLE" in hook.read_text()


def test_what_new_is_said_to_write(tmp_path: Path) -> None:
    words = next(words for _, block in blocks() for words in commands(block) if "new" in words)
    subprocess.run(can_run(words), cwd=tmp_path, check=True, capture_output=True)
    tree = next(block for announced, block in blocks() if announced.startswith("It has written"))
    said = [line.split()[0].rstrip("/") for line in tree.splitlines()]
    made = tmp_path / "elements"
    assert set(said) == {path.name for path in made.rglob("*")} | {"elements"}
    said_of_package = next(block for announced, block in blocks() if "package-installs.yaml`` has" in announced)
    assert (made / "web/package-installs.yaml").read_text() == said_of_package


@pytest.mark.parametrize("phase", PHASES, ids=lambda phase: phase.name)
def test_phases_are_told(phase: Phase) -> None:
    table = PAGE.read_text().partition(f"* - ``{phase.directory}``\n     - ")[2]
    assert table.startswith(phase.side.value)
