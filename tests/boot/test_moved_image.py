"""An image of one layout moved to another one: it boots from there, with all that it had."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from guest import Guest

pytestmark = [pytest.mark.slow, pytest.mark.root]

ELEMENTS = ("debian", "vm", "cloud-init", "growroot", "qga")


@pytest.fixture(scope="module")
def image(debian_image: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An image with an MBR, or the one named, on a GPT."""
    directory = tmp_path_factory.mktemp("image")
    moving = ["-o", "moved.qcow2", "--base", str(debian_image), "--trust-base", *ELEMENTS, "block-device-gpt"]
    program = [sys.executable, "-m", "dib_py", "--target", "host"]
    subprocess.run([*program, *moving], cwd=directory, check=True, timeout=1800)
    return directory / "moved.qcow2"


@pytest.fixture(scope="module")
def guest(image: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guest]:
    with Guest(image, tmp_path_factory.mktemp("guest"), gib=6) as guest:
        yield guest


def test_boots_from_the_new_disk(guest: Guest) -> None:
    guest.login()
    assert guest.run(["lsblk", "--noheadings", "--output", "PTTYPE", "/dev/vda"]).split()[0] == "gpt"


def test_fstab_is_the_new_layout_s(guest: Guest) -> None:
    assert guest.run(["cat", "/etc/fstab"]) == "LABEL=cloudimg-rootfs / ext4 defaults 0 1\n"
    guest.run(["findmnt", "--verify"])


def test_root_has_grown_to_the_disk(guest: Guest) -> None:
    root = guest.root_filesystem()
    assert root["total-bytes"] > 5.2 * 1024**3


def test_nothing_failed(guest: Guest) -> None:
    assert guest.failed_units() == ""
