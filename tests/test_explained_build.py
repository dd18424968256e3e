"""What ``dib-py explain`` says before a build is what the build does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.building import add_hook, build, start

pytestmark = pytest.mark.root

WORDS = ("-t", "raw", "tiny", "probe", "late")


def explained(directory: Path, tree: Path, **environ: str) -> tuple[list[str], str]:
    """The steps that will run, and the whole of what was said."""
    words = ("explain", "-n", "--target", "host", "-o", "out", *WORDS)
    process = start(directory, tree, command=words, **environ)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0, output
    phase, found = "", []
    for line in output.splitlines():
        if heading := re.match(r"(\S+\.d) \(", line):
            phase = heading[1]
        elif step := re.match(r" +\d* +run +(\S+)", line):
            found.append(f"{phase}/{step[1]}")
    return found, output


def ran(directory: Path, tree: Path, **environ: str) -> list[str]:
    code, output = build(directory, tree, *WORDS, **environ)
    assert code == 0, output[-3000:]
    return re.findall(r"dib-run-parts Running \S*/([\w-]+\.d/\S+)", output)


def test_what_is_explained_is_what_happens(tmp_path: Path, debian_tree: Path) -> None:
    seen = {"DIB_PASSWORD": "swordfish", "NAMED": "one"}
    add_hook(tmp_path, "late", "install.d/40-work", 'cp "$(dirname "$0")/../data/x" /x; echo apt-get > /dev/null')
    add_hook(tmp_path, "late", "finalise.d/50-one", 'echo "$NAMED" > /one')
    (tmp_path / "elements" / "late" / "data").mkdir()
    (tmp_path / "elements" / "late" / "data" / "x").write_text("1\n")
    before, _ = explained(tmp_path, debian_tree, **seen)
    cold = ran(tmp_path, debian_tree, **seen)
    assert set(before) - {"cleanup.d/close"} < set(cold)  # hooks add hooks, which nobody knows before
    assert explained(tmp_path, debian_tree, **seen)[0] == []

    def check(reason: str, *, steps: int, **environ: str) -> None:
        will, said = explained(tmp_path, debian_tree, **{**seen, **environ})
        assert reason in said
        assert "fish" not in said
        foreseen = [step for step in cold[-steps:] if steps < len(cold) or step in before]
        assert will == [*foreseen, "cleanup.d/close"]
        assert ran(tmp_path, debian_tree, **{**seen, **environ}) == cold[-steps:]
        assert explained(tmp_path, debian_tree, **{**seen, **environ})[0] == []

    one = len(cold) - cold.index("finalise.d/50-one")
    check("variable NAMED 'one' -> 'two'", steps=one, NAMED="two")
    (tmp_path / "elements" / "late" / "data" / "x").write_text("2\n")
    work = len(cold) - cold.index("install.d/40-work")
    check("file data/x changed", steps=work)
    check("variable DIB_PASSWORD changed", steps=len(cold), DIB_PASSWORD="sailfish")
