"""Phony installation media: a WIM captured from a phony guest's tree, in an ISO such as Microsoft's are.

The boot manager in it is an EFI program of our own, which says that it was started and switches the machine off.
"""

from __future__ import annotations

import io
import struct
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pycdlib

from tests.windows.phony import Guest, plant, program

STARTED = "dib-py: the boot manager was started"
EXIT_PORT = 0x501  # of isa-debug-exit


def boot_manager(text: str = STARTED) -> bytes:
    """An EFI program for x86-64 that prints ``text`` and writes 0 to the port at which qemu ends with code 1.

    The offsets are those of EFI_SYSTEM_TABLE.ConOut and EFI_SIMPLE_TEXT_OUTPUT_PROTOCOL.OutputString (UEFI 2.10).
    """
    message = f"\r\n{text}\r\n\0".encode("utf-16-le")
    end = b"\x66\xba" + struct.pack("<H", EXIT_PORT) + b"\x30\xc0\xee"  # mov dx, port; xor al, al; out dx, al
    call = b"\xff\x51\x08" + end + b"\xf4\xeb\xfd"  # call [rcx+8]; ...; hlt; jmp back
    lea = b"\x48\x8d\x15" + struct.pack("<i", len(call))  # lea rdx, [rip+message]
    code = b"\x48\x83\xec\x28" + b"\x48\x8b\x4a\x40" + lea + call  # sub rsp, 40; mov rcx, [rdx+64]
    return program("amd64", subsystem=10, code=code + message)


def capture(directory: Path, editions: Mapping[str, Guest]) -> Path:
    """A WIM with a guest for each name."""
    wim = directory / "install.wim"
    for number, (name, guest) in enumerate(editions.items()):
        planted = plant(guest, directory / str(number))
        (planted.system / "Windows/Boot/EFI/bootmgfw.efi").write_bytes(boot_manager())
        (planted.system / "Windows/Boot/Fonts").mkdir()
        (planted.system / "Windows/Boot/Fonts/segmono_boot.ttf").write_bytes(b"a font")
        verb = ["append"] if number else ["capture"]
        subprocess.run(["wimlib-imagex", *verb, planted.system, wim, name], check=True, stdout=subprocess.DEVNULL)
    return wim


def iso(wim: Path, file: Path, name: str = "install.wim") -> Path:
    """An ISO whose files are in UDF only, but for a note, as on Microsoft's."""
    made = pycdlib.PyCdlib()
    made.new(udf="2.60", interchange_level=3)
    note = b"This disc contains a UDF file system.\r\n"
    made.add_fp(io.BytesIO(note), len(note), "/README.TXT;1", udf_path="/README.TXT")
    made.add_directory(udf_path="/sources")
    made.add_file(str(wim), udf_path=f"/sources/{name}")
    made.write(str(file))
    made.close()
    return file
