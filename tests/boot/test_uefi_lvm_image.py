"""An image whose root is on LVM, on a disk for UEFI: it boots, and it is a base for further images."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from guest import Guest

from dib_py.verify.firmware import Firmware

pytestmark = [pytest.mark.slow, pytest.mark.root, pytest.mark.appliance]

# all that the layout's elements would install: done on this machine, it takes a tenth of the time
PACKAGES = "lvm2,xfsprogs,grub-efi,efibootmgr,grub-pc-bin"


def build(directory: Path, target: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "dib_py", "--target", target, *arguments]
    return subprocess.run(command, cwd=directory, capture_output=True, text=True, errors="replace", timeout=1800)


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Debian without a partition table, moved to LVM in the appliance: this machine's kernel need not have that."""
    directory = tmp_path_factory.mktemp("image")
    done = build(directory, "host", "-o", "base.qcow2", "-p", PACKAGES, "debian", "cloud-init", "growroot", "qga")
    assert done.returncode == 0, done.stderr
    moving = ("-o", "lvm.qcow2", "--base", "base.qcow2", "--trust-base", "debian", "vm", "block-device-efi-lvm")
    done = build(directory, "guestfs", *moving)
    assert done.returncode == 0, done.stderr
    return directory / "lvm.qcow2"


@pytest.fixture(scope="module")
def guest(image: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guest]:
    with Guest(image, tmp_path_factory.mktemp("guest"), gib=42, firmware=Firmware.UEFI) as guest:
        yield guest


def test_boots_by_uefi_from_a_logical_volume(guest: Guest) -> None:
    guest.login()
    assert guest.run(["cat", "/sys/firmware/efi/fw_platform_size"]) == "64\n"
    assert guest.run(["findmnt", "--noheadings", "--output", "SOURCE,FSTYPE", "/"]).split() == [
        "/dev/mapper/vg-lv_root",
        "xfs",
    ]


def test_every_filesystem_is_at_its_place(guest: Guest) -> None:
    mounted = guest.run(["findmnt", "--noheadings", "--real", "--list", "--output", "TARGET,FSTYPE"]).split("\n")
    assert {tuple(line.split()) for line in mounted} >= {
        ("/", "xfs"),
        ("/boot/efi", "vfat"),
        ("/home", "xfs"),
        ("/var", "xfs"),
    }
    guest.run(["findmnt", "--verify"])


def test_nothing_failed(guest: Guest) -> None:
    assert guest.failed_units() == ""


def test_it_is_a_base_for_the_appliance(image: Path) -> None:
    script = image.with_name("look")
    script.write_text("#!/bin/sh\nset -e\nfor at in / /var; do findmnt -n -o SOURCE $at; done\necho here > /var/here\n")
    arguments = ("-o", "next.qcow2", "--base", image.name, "--trust-base", "--run", script.name)
    done = build(image.parent, "guestfs", *arguments)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr
    assert (image.parent / "next.qcow2").exists()
    assert re.search(r"vg-lv_root|vg/lv_root", done.stdout) and re.search(r"vg-lv_var|vg/lv_var", done.stdout)


def test_the_host_target_says_that_it_is_none(image: Path) -> None:
    done = build(image.parent, "host", "-o", "none.qcow2", "--base", image.name, "--trust-base", "debian")
    assert done.returncode == 1
    assert "the base image has LVM on partition 3" in done.stderr and "--target guestfs" in done.stderr
    assert not (image.parent / "none.qcow2").exists()
