"""Guests of one sector: they write to the serial console, then do one thing for good. They boot in half a second."""

from __future__ import annotations

from pathlib import Path

MIB = 1024**2

# 16-bit code, loaded at 0x7c00
_SAY = bytes(
    [
        *(0x31, 0xC0, 0x8E, 0xD8),  # xor ax, ax; mov ds, ax
        *(0xBE, 0x00, 0x7D),  # mov si, 0x7d00
        *(0xBA, 0xF8, 0x03),  # mov dx, 0x3f8: COM1
        0xFC,  # cld
        0xAC,  # next: lodsb
        *(0x84, 0xC0),  # test al, al
        *(0x74, 0x03),  # jz over
        0xEE,  # out dx, al
        *(0xEB, 0xF8),  # jmp next
    ]
)
HANG = bytes([0xFA, 0xF4, 0xEB, 0xFD])  # cli; hlt; jmp to hlt
SWITCH_OFF = bytes([0xBA, 0x04, 0x06, 0xB8, 0x00, 0x20, 0xEF])  # out 0x604, 0x2000: ACPI's S5 on qemu's pc
RESTART = bytes([0xB0, 0xFE, 0xE6, 0x64])  # the keyboard controller's reset line
REPEAT = bytes([0xEB, 0x100 - len(_SAY) - 2])  # jmp to the first instruction
WAIT_FOR_KEY = bytes(  # until something is typed at the console
    [
        *(0xBA, 0xFD, 0x03),  # mov dx, 0x3fd: line status
        0xEC,  # again: in al, dx
        *(0xA8, 0x01),  # test al, 1
        *(0x74, 0xFB),  # jz again
    ]
)
WAIT_FOR_BUTTON = bytes(  # until the power button is pressed: bit 8 of ACPI's PM1 status, once it is enabled
    [
        *(0xBA, 0x02, 0x06),  # mov dx, 0x602
        *(0xB8, 0x00, 0x01),  # mov ax, 0x100
        0xEF,  # out dx, ax
        *(0xBA, 0x00, 0x06),  # mov dx, 0x600
        0xED,  # again: in ax, dx
        *(0xF6, 0xC4, 0x01),  # test ah, 1
        *(0x74, 0xFA),  # jz again
    ]
)


def guest(path: Path, says: str, *does: bytes) -> Path:
    """A raw disk whose boot sector says something on the console and then does what follows."""
    code = _SAY + b"".join(does) + HANG
    text = says.encode("ascii").replace(b"\n", b"\r\n") + b"\0"
    assert len(code) <= 256 and len(text) <= 254
    sector = code.ljust(256, b"\0") + text.ljust(254, b"\0") + b"\x55\xaa"
    with path.open("wb") as disk:
        disk.write(sector)
        disk.truncate(MIB)
    return path
