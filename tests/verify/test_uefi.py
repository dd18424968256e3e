"""Images with an EFI system partition: booted by UEFI, and by BIOS the second time if they can be."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from dib_py.verify.checks import Need
from dib_py.verify.result import Stage
from tests.verify import bad_images
from tests.verify.test_verification import BOOTS, LIMITS, check, outcomes, verified

pytestmark = [pytest.mark.slow, pytest.mark.root]

# says by what it was booted, is there for a while, and switches itself off
INIT = """\
/bin/busybox mkdir -p /sys
/bin/busybox mount -t sysfs sys /sys
if [ -d /sys/firmware/efi ]; then echo "booted by UEFI"; else echo "booted by BIOS"; fi
echo -n "host login: "
/bin/busybox sleep 30
/bin/busybox poweroff -f
"""
GRUB_CONFIGURATION = f"""\
search --no-floppy --file --set=root /linux
linux /linux {bad_images.CONSOLE}
initrd /initrd
boot
"""
MODULES = "part_msdos fat search linux"  # what has to be there before it can look for more
LONGER = type(LIMITS)(**{**vars(LIMITS), "silence": 100})
_TYPE = 446 + 4  # of the first partition
_EFI_SYSTEM = 0xEF


def hybrid(path: Path, directory: Path) -> Path:
    """One EFI system partition with syslinux and with GRUB for UEFI."""
    bad_images.with_init(path, INIT)
    configuration, program = directory / "grub.cfg", directory / "BOOTX64.EFI"
    configuration.write_text(GRUB_CONFIGURATION)
    argv: list[str | Path] = ["grub-mkstandalone", "-O", "x86_64-efi", "-o", program, f"--modules={MODULES}"]
    subprocess.run([*argv, f"boot/grub/grub.cfg={configuration}"], check=True, capture_output=True)
    place = f"{path}@@{bad_images.START}"
    subprocess.run(["mmd", "-i", place, "::/EFI", "::/EFI/BOOT"], check=True)
    subprocess.run(["mcopy", "-i", place, program, "::/EFI/BOOT/BOOTX64.EFI"], check=True)
    with path.open("r+b") as disk:
        disk.seek(_TYPE)
        disk.write(bytes([_EFI_SYSTEM]))
    return path


def test_an_image_for_both_is_booted_by_both(tmp_path: Path) -> None:
    image = hybrid(tmp_path / "hybrid.raw", tmp_path)
    second = check("second", Need.LOGIN, boot=2)
    verdict = verified(tmp_path, image, BOOTS, second, limits=LONGER, memory=512)
    assert outcomes(verdict) == {"boots": "passed", "second": "passed"}, verdict.reason
    assert verdict.firmware == "UEFI, then BIOS" and verdict.stage is Stage.LOGIN
    said = ["\n".join(line.text for line in boot.console) for boot in verdict.boots]
    assert "booted by UEFI" in said[0] and "booted by BIOS" in said[1]
