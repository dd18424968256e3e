"""What elements take back when a build fails."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.building import add_hook, build

pytestmark = pytest.mark.root


@pytest.fixture
def place(tmp_path: Path) -> Path:
    add_hook(tmp_path, "registers", "pre-install.d/10-register", "touch /etc/registered")
    add_hook(tmp_path, "registers", "finalise.d/60-unregister", "rm /etc/registered")
    add_hook(tmp_path, "registers", "undo.d/50-fails", "exit 3")
    add_hook(tmp_path, "registers", "undo.d/60-unregister", 'rm /etc/registered && echo "taken back: ${REG_METHOD:-}"')
    return tmp_path


def test_a_build_that_fails_takes_back(place: Path, debian_tree: Path) -> None:
    add_hook(place, "fails", "install.d/50-fail", "test -e /etc/registered; exit 9")
    code, output = build(place, debian_tree, "tiny", "registers", "fails", REG_METHOD="portal")
    assert code == 9, output[-3000:]
    assert "taken back: portal" in output
    assert "undo.d/50-fails failed with exit code 3" in output


def test_a_build_that_fails_late_takes_back(place: Path, debian_tree: Path) -> None:
    add_hook(place, "fails", "pre-finalise.d/50-fail", "exit 9")
    code, output = build(place, debian_tree, "tiny", "registers", "fails")
    assert code == 9, output[-3000:]
    assert "taken back: " in output


def test_others_do_not(place: Path, debian_tree: Path) -> None:
    code, output = build(place, debian_tree, "tiny", "registers")
    assert code == 0, output[-3000:]
    add_hook(place, "fails", "root.d/01-fail", "exit 9")
    code, failed = build(place, debian_tree, "tiny", "registers", "fails")
    assert code == 9
    assert "taken back" not in output + failed
