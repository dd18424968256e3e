"""Builds with ``--verify`` of an image that has no bootloader: it does not pass."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.building import build

pytestmark = [pytest.mark.slow, pytest.mark.root, pytest.mark.appliance]

WRONG = "the firmware finds nothing to boot"


def test_an_image_that_fails_does_not_take_its_name(tmp_path: Path, debian_tree: Path) -> None:
    (tmp_path / "out.qcow2").write_text("the old one")
    code, output = build(tmp_path, debian_tree, "--verify", "-u", "tiny")
    assert code == 1, output
    assert f"the image does not pass: {WRONG}" in output and "out.rejected.qcow2.verdict.html" in output
    assert (tmp_path / "out.qcow2").read_text() == "the old one"
    assert (tmp_path / "out.rejected.qcow2").stat().st_size > 1024**2
    verdict = json.loads((tmp_path / "out.rejected.qcow2.verdict.json").read_text())
    assert verdict["outcome"] == "failed" and WRONG in verdict["reason"]
    assert verdict["image"] == "out.rejected.qcow2"
    assert not list(tmp_path.glob(".*.partial"))

    # built once more without the option it takes its name, and is asked all the same where nothing is left to build
    code, output = build(tmp_path, debian_tree, "-u", "tiny")
    assert code == 0, output
    before = (tmp_path / "out.qcow2").stat()
    code, output = build(tmp_path, debian_tree, "--verify", "-u", "tiny")
    assert code == 1 and f"the image does not pass: {WRONG}" in output, output
    assert (tmp_path / "out.qcow2").stat().st_ino == before.st_ino
    assert (tmp_path / "out.qcow2.verdict.html").exists()
