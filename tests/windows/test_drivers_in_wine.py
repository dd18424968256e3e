"""Drivers in Wine: its setupapi reads INF files apart from us, its cmd.exe runs what is left for the first boot."""

from __future__ import annotations

import re
import struct
from pathlib import Path

import pytest

from dib_py.windows.hive import DWORD, Hive
from tests.windows import virtio_media
from tests.windows.applying import ELEMENTS, subject
from tests.windows.phony import program
from tests.windows.wine import Wine

pytestmark = pytest.mark.slow

SERVICES = r"HKLM\System\CurrentControlSet\Services"
DATABASE = r"HKLM\SYSTEM\DriverDatabase"
_ONLY_WINE = {"ObjectName", "PreshutdownTimeout"}
_ONLY_OURS = {"Owners", "Tag"}
SYSTEM_DRIVERS = [driver for driver in virtio_media.DRIVERS if driver.inf in ("viostor", "viorng")]


def values(wine: Wine, key: str) -> dict[str, dict[str, str]]:
    """All below a key as reg.exe tells it: values by name, by what follows the key's path in small letters."""
    found: dict[str, dict[str, str]] = {}
    current: dict[str, str] = {}
    for line in wine.run("reg", "query", key, "/s").replace("\r", "").splitlines():
        if line.startswith("HKEY_LOCAL_MACHINE"):
            path = line.casefold().partition(key.casefold().removeprefix("hklm"))[2].lstrip("\\")
            current = found.setdefault(path, {})
        elif match := re.fullmatch(r"    (.*?)    REG_\w+    (.*)", line):
            current[match[1]] = match[2]
    return {path: named for path, named in found.items() if named}


def ours(hive: Hive, key: str) -> dict[str, dict[str, str]]:
    """The same of a hive of ours."""
    return {
        path[len(key) :].lstrip("\\").casefold(): {
            value.name: f"{value.number:#x}" if value.type == DWORD else value.text for value in named
        }
        for path, named in hive.walk(key)
        if named
    }


@pytest.mark.parametrize("driver", SYSTEM_DRIVERS, ids=lambda driver: driver.inf)
def test_setupapi_makes_the_same_service(wine: Wine, tmp_path: Path, driver: virtio_media.Driver) -> None:
    medium = virtio_media.write_iso(virtio_media.media(["w10"]), tmp_path / "virtio-win.iso")
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "drivers.yaml").write_text(f"source: {medium}\ndrivers: [{driver.directory}]\n")
    guest = subject(tmp_path)
    guest.apply(mine)
    place = wine.prefix / "drive_c" / "media" / driver.inf
    virtio_media.write_directory(virtio_media.package(driver, "w10", "amd64"), place)
    section = "scsi_inst" if driver.kind == "storage" else "Device_Install"
    inf = rf"C:\media\{driver.inf}\{driver.inf}.inf"
    wine.run("rundll32", "setupapi.dll,InstallHinfSection", section, "128", inf)
    theirs = values(wine, rf"{SERVICES}\{driver.service}")
    mine_now = ours(guest.planted.hive("SYSTEM"), rf"ControlSet001\Services\{driver.service}")
    image, their_image = mine_now[""].pop("ImagePath"), theirs[""].pop("ImagePath")
    assert image.casefold().removeprefix("\\systemroot\\") == their_image.casefold().removeprefix("c:\\windows\\")
    shown, their_shown = mine_now[""].pop("DisplayName", ""), theirs[""].pop("DisplayName", "")
    assert shown.rpartition(";")[2] == their_shown
    framework = mine_now.pop(r"parameters\wdf", {})  # which is no matter of setupapi's
    assert framework == ({"KmdfLibraryVersion": "1.15"} if driver.kind == "framework" else {})
    for name in _ONLY_WINE:
        theirs[""].pop(name, None)
    for name in _ONLY_OURS:
        mine_now[""].pop(name, None)
    assert mine_now == theirs
    copied = wine.windows / "system32" / "drivers" / f"{driver.inf}.sys"
    assert copied.read_bytes() == guest.planted.file(f"Windows/System32/drivers/{driver.inf}.sys").read_bytes()


OURS, LABEL, CLASS = "oem-viostor.inf", "viostor.inf_amd64_00000000000000aa", r"SYSTEM\CurrentControlSet\Control\Class"
IDS = ("VEN_1AF4&DEV_1001", "VEN_1AF4&DEV_1001&SUBSYS_00021AF4&REV_00")


def prepare(wine: Wine, *, numbered: bool, used: bool) -> None:
    """A Windows with a package of ours, and perhaps one that pnputil has given a number, and a device with ours."""
    keys = {
        rf"-{DATABASE}": "",
        rf"-HKLM\{CLASS}\{{dib}}": "",
        rf"{DATABASE}\DriverInfFiles\{OURS}": f'"Active"="{LABEL}"',
        rf"{DATABASE}\DriverPackages\{LABEL}": '"InfName"="viostor.inf"',
        rf"{DATABASE}\DriverPackages\vioscsi.inf_amd64_00000000000000bb": '"InfName"="vioscsi.inf"',
        **{rf"{DATABASE}\DeviceIds\PCI\{id}": f'"{OURS}"=hex:01,ff,00,00\r\n"oem0.inf"=hex:01,ff,00,00' for id in IDS},
    }
    if numbered:
        keys[rf"{DATABASE}\DriverPackages\viostor.inf_amd64_00000000000000cc"] = '"InfName"="viostor.inf"'
    if used:
        keys[rf"HKLM\{CLASS}\{{dib}}\0000"] = f'"InfPath"="{OURS}"'
    blocks = [f"[{key}]\r\n{text}\r\n" for key, text in keys.items()]
    text = "\r\n".join(["Windows Registry Editor Version 5.00\r\n", *blocks])
    file = wine.prefix / "drive_c" / "prepared.reg"
    file.write_bytes(text.replace("HKLM", "HKEY_LOCAL_MACHINE").encode("utf-16"))
    wine.run("reg", "import", r"C:\prepared.reg")
    directory = wine.windows / "inf"
    directory.mkdir(exist_ok=True)
    (directory / OURS).write_bytes(b"[Version]\r\n")


def first_boot(wine: Wine, answer: int) -> int:
    """The exit code of the element's script where pnputil answers that; a program is two instructions long."""
    code = b"\xb8" + struct.pack("<I", answer) + b"\xc3"  # mov eax, answer; ret
    (wine.windows / "system32" / "pnputil.exe").write_bytes(program("amd64", code=code))
    stage = wine.prefix / "drive_c" / "Program Files" / "Virtio-Win" / "viostor"
    stage.mkdir(parents=True, exist_ok=True)
    (stage / "viostor.inf").write_bytes(b"[Version]\r\n")
    text = (ELEMENTS / "virtio/firstboot.d/10-virtio.cmd").read_text()
    (wine.prefix / "drive_c" / "virtio.cmd").write_bytes(text.replace("\n", "\r\n").encode())
    return wine.script(r"C:\virtio.cmd")


@pytest.mark.parametrize(
    ("answer", "code"), [(259, 0), (3010, 3010 & 0xFF), (5, 5)], ids=["none", "restart", "refused"]
)
def test_the_script_answers_what_pnputil_answers(wine: Wine, answer: int, code: int) -> None:
    prepare(wine, numbered=False, used=False)
    assert first_boot(wine, answer) == code


@pytest.mark.parametrize(("numbered", "used"), [(True, False), (True, True), (False, False)])
def test_entries_of_ours_go_when_windows_has_its_own_and_no_device_needs_them(
    wine: Wine, numbered: bool, used: bool
) -> None:
    prepare(wine, numbered=numbered, used=used)
    assert first_boot(wine, 0) == 0
    stays = used or not numbered
    left = values(wine, DATABASE)
    assert (rf"driverinffiles\{OURS}" in left) is stays
    assert (rf"driverpackages\{LABEL}" in left) is stays
    assert r"driverpackages\vioscsi.inf_amd64_00000000000000bb" in left
    for id in IDS:
        assert set(left[rf"deviceids\pci\{id.casefold()}"]) == ({OURS, "oem0.inf"} if stays else {"oem0.inf"})
    assert (wine.windows / "inf" / OURS).exists() is stays
