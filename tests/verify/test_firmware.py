"""Which firmware an image is booted by."""

from __future__ import annotations

import struct
import subprocess
from pathlib import Path

import pytest

from dib_py.verify.firmware import Firmware, boots, lacks_bootloader, ways

BIOS, UEFI = Firmware.BIOS, Firmware.UEFI
ESP, BIOS_BOOT, LINUX = "U", "21686148-6449-6E6F-744E-656564454649", "L"


def disk(tmp_path: Path, script: str, *, code: bytes = b"") -> Path:
    path = tmp_path / "disk.raw"
    with path.open("wb") as file:
        file.truncate(16 * 1024**2)
    subprocess.run(["sfdisk", "--quiet", path], input=script, text=True, check=True, stdout=subprocess.DEVNULL)
    with path.open("r+b") as file:
        file.write(code)
    return path


@pytest.mark.parametrize(
    ("types", "expected"),
    [
        ([LINUX], (BIOS, BIOS)),
        ([BIOS_BOOT, LINUX], (BIOS, BIOS)),
        ([ESP, LINUX], (UEFI, UEFI)),
        ([ESP, BIOS_BOOT, LINUX], (UEFI, BIOS)),
    ],
)
def test_gpt(tmp_path: Path, types: list[str], expected: tuple[Firmware, Firmware]) -> None:
    script = "label: gpt\n" + "".join(f"size=2MiB, type={kind}\n" for kind in types)
    image = disk(tmp_path, script)
    assert boots(image, "raw", tmp_path / "start") == expected
    start = image.read_bytes()[: 34 * 512]
    assert ways(bytes(4096) + start[512:1024].ljust(4096, b"\0") + start[1024:]) == expected  # sectors of 4096 bytes


@pytest.mark.parametrize(
    ("types", "code", "expected"),
    [
        (["83"], b"\xeb\x63", (BIOS, BIOS)),
        (["ef", "83"], b"", (UEFI, UEFI)),
        (["ef", "83"], b"\xeb\x63", (UEFI, BIOS)),
    ],
)
def test_mbr(tmp_path: Path, types: list[str], code: bytes, expected: tuple[Firmware, Firmware]) -> None:
    script = "label: dos\n" + "".join(f"size=2MiB, type={kind}\n" for kind in types)
    assert boots(disk(tmp_path, script, code=code), "raw", tmp_path / "start") == expected


def test_a_qcow2_is_read_as_one(tmp_path: Path) -> None:
    raw = disk(tmp_path, "label: gpt\nsize=2MiB, type=U\n")
    image = tmp_path / "disk.qcow2"
    subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", raw, image], check=True)
    assert boots(image, "qcow2", tmp_path / "start") == (UEFI, UEFI)


def test_a_disk_without_partitions_is_for_bios(tmp_path: Path) -> None:
    assert ways(bytes(24 * 1024)) == (BIOS, BIOS)
    assert ways(b"") == (BIOS, BIOS)


@pytest.mark.parametrize("size", [0, 1, 127, 2**31])
def test_a_gpt_that_lies_about_its_entries_is_no_reason_to_fail(size: int) -> None:
    header = b"EFI PART".ljust(72, b"\0") + struct.pack("<QII", 2**40, 2**32 - 1, size)
    assert ways(bytes(512) + header.ljust(23 * 1024, b"\xff")) == (BIOS, BIOS)


def test_a_first_sector_without_a_program() -> None:
    marked = b"\0" * 510 + b"\x55\xaa"
    assert lacks_bootloader(marked)
    assert not lacks_bootloader(b"\xeb" + marked[1:])
    assert not lacks_bootloader(b"\0" * 512)  # the firmware itself says that there is nothing to boot
    efi = marked[:446] + b"\0\0\0\0\xef".ljust(16, b"\0") + marked[462:]
    assert not lacks_bootloader(efi)  # UEFI asks for no such sector
