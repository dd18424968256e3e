"""An image is booted once: the same question about the same content has its answer beside the image."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from dib_py.verify.kept import page_path, verdict_path
from dib_py.verify.verdict_json import from_json
from tests.verify.sectors import guest

pytestmark = [pytest.mark.slow, pytest.mark.root]

BOOTED, KNOWN = "boot 1: tcg, BIOS", "Known since"


def verify(directory: Path, *words: str) -> str:
    environment = {**os.environ, "DIB_PY_KVM": "no", "DIB_IMAGE_CACHE": str(directory / "cache")}
    command = [sys.executable, "-m", "dib_py", "verify", "--check", "boots", *words]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert not done.stderr
    return done.stdout


def test_what_is_known_is_not_asked_again_until_something_counts(tmp_path: Path) -> None:
    image = guest(tmp_path / "image.raw", "Linux version 6\nverify login: ")
    first = verify(tmp_path, str(image))
    assert BOOTED in first and "passed   boots" in first
    assert str(page_path(image)) in first and page_path(image).exists()
    began = from_json(verdict_path(image).read_text()).started

    again = verify(tmp_path, str(image))
    assert BOOTED not in again and KNOWN in again and "passed   boots" in again
    assert from_json(verdict_path(image).read_text()).started == began

    compressed = tmp_path / "image.qcow2"
    subprocess.run(["qemu-img", "convert", "-c", "-O", "qcow2", "-f", "raw", image, compressed], check=True)
    verdict_path(image).rename(verdict_path(compressed))
    converted = verify(tmp_path, str(compressed))
    assert BOOTED not in converted and KNOWN in converted

    verdict_path(compressed).rename(verdict_path(image))
    assert BOOTED in verify(tmp_path, "--again", str(image))
    with image.open("r+b") as file:
        file.seek(500_000)
        file.write(b"x")
    changed = verify(tmp_path, str(image))
    assert BOOTED in changed and KNOWN not in changed
