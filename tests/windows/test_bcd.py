"""Boot configuration data: bytes typed from the published format, and edits of phony stores read by other programs."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dib_py import process
from dib_py.errors import BaseError, FileError, TargetError
from dib_py.windows import boot_configuration as bcd
from dib_py.windows import boot_elements, new_store
from dib_py.windows.bcd import parse
from dib_py.windows.hive import Hive, Value
from tests.windows import phony_hives
from tests.windows.applying import ELEMENTS, Subject, subject
from tests.windows.phony import Guest, torn

LOADER = phony_hives.LOADER
UEFI, BIOS = "EFI/Microsoft/Boot/BCD", "Boot/BCD"


def test_devices_are_as_real_stores_have_them() -> None:
    partition = uuid.UUID("00112233-4455-6677-8899-aabbccddeeff")
    disk = uuid.UUID("01234567-89ab-cdef-0123-456789abcdef")
    assert bcd.gpt_partition(partition, disk).data.hex() == (
        "00000000000000000000000000000000"
        "06000000000000004800000000000000"
        "3322110055447766" + "8899aabbccddeeff"
        "0000000000000000"
        "67452301ab89efcd" + "0123456789abcdef"
        "00000000000000000000000000000000"
    )
    assert bcd.mbr_partition(0x100000, 0x36234DA4).data.hex() == (
        "00000000000000000000000000000000"
        "06000000000000004800000000000000"
        "0000100000000000" + "0000000000000000"
        "00000000" + "01000000"
        "a44d2336" + "000000000000000000000000"
        "00000000000000000000000000000000"
    )
    boot = "00000000000000000000000000000000" + "05000000000000004800000000000000" + "00" * 56
    assert bcd.boot_device().data.hex() == boot
    assert bcd.locate(bcd.PATH).data.hex() == "00" * 16 + "08000000000000001e000000000000000000000002000012000000000000"
    assert bcd.locate(bcd.SYSTEM_ROOT).data[36:40] == b"\x02\0\0\x22"
    assert len(bcd.locate(bcd.PATH).data) == 46


@pytest.mark.parametrize(
    ("element", "value", "text"),
    [
        (bcd.DEVICE, bcd.boot_device(), "boot"),
        (bcd.DEVICE, bcd.locate(bcd.PATH), "locate=path"),
        (bcd.OS_DEVICE, bcd.locate(bcd.SYSTEM_ROOT), "locate=systemroot"),
        (bcd.DEVICE, bcd.mbr_partition(1 << 20, 0x36234DA4), "partition at 1048576 of 36234da4"),
        (
            bcd.DEVICE,
            bcd.gpt_partition(phony_hives.ESP, phony_hives.DISK),
            f"partition={phony_hives.ESP} of {phony_hives.DISK}",
        ),
        (bcd.DEVICE, Value.binary("Element", b"\1\2"), "0102"),
        (bcd.DEVICE, Value.binary("Element", bytes(range(40))), bytes(range(40)).hex()),
        (bcd.PATH, bcd.text(r"\bootmgr"), r"\bootmgr"),
        (bcd.DEFAULT_OBJECT, bcd.text(bcd.MEMORY_DIAGNOSTIC.upper()), "memdiag"),
        (bcd.INHERIT, bcd.texts([bcd.EMS_SETTINGS, LOADER]), f"emssettings, {LOADER}"),
        (bcd.TIMEOUT, bcd.integer(30), "30"),
        (bcd.BOOT_STATUS_POLICY, bcd.integer(1), "ignoreallfailures"),
        (bcd.BOOT_STATUS_POLICY, bcd.integer(77), "77"),
        (bcd.EMS_ENABLED, bcd.boolean(True), "yes"),
        (bcd.EMS_ENABLED, Value.binary("Element", b"\2"), "02"),
        (bcd.ALLOWED_IN_MEMORY_SETTINGS, bcd.integers([0x15000075]), "0x15000075"),
        (bcd.TIMEOUT, Value.binary("Element", b"abc"), "616263"),
    ],
)
def test_values_are_shown_as_people_read_them(element: int, value: Value, text: str) -> None:
    assert boot_elements.shown(element, value) == text


@given(st.integers(0, 0xFFFFFFFF), st.integers(0, 20), st.binary(max_size=100))
def test_any_value_can_be_shown(element: int, kind: int, data: bytes) -> None:
    assert isinstance(boot_elements.shown(element, Value("Element", kind, data)), str)


@pytest.mark.parametrize("uefi", [True, False])
def test_every_device_of_a_phony_store_is_understood(tmp_path: Path, uefi: bool) -> None:
    guest = subject(tmp_path, Guest(uefi=uefi))
    hive = store(guest, uefi)
    devices = {
        boot_elements.shown(bcd.DEVICE, values[0])
        for path, values in hive.walk("Objects")
        if path.lower().endswith(("11000001", "21000001"))
    }
    assert devices == (
        {
            f"partition={phony_hives.ESP} of {phony_hives.DISK}",
            f"partition={phony_hives.SYSTEM_PARTITION} of {phony_hives.DISK}",
        }
        if uefi
        else {"partition at 1048576 of 5eedd15c", "partition at 68157440 of 5eedd15c"}
    )


def store(guest: Subject, uefi: bool = True) -> Hive:
    return Hive(guest.planted.boot / (UEFI if uefi else BIOS))


def elements(guest: Subject, object: str, uefi: bool = True) -> dict[str, str]:
    """The elements of an object, as reged of chntpw reads them."""
    out = guest.scratch / "store.reg"
    path = guest.planted.boot / (UEFI if uefi else BIOS)
    process.run(["reged", "-x", path, "BCD", rf"\Objects\{object}\Elements", out])
    found = {}
    for block in out.read_text().replace("\\\n  ", "").split("\n\n"):
        lines = block.strip().splitlines()
        if len(lines) == 2 and lines[1].startswith('"Element"='):
            found[lines[0].rpartition("\\")[2].rstrip("]")] = lines[1].partition("=")[2]
    return found


@pytest.mark.parametrize("uefi", [True, False])
def test_ems_has_the_bytes_of_a_serial_console(tmp_path: Path, uefi: bool) -> None:
    guest = subject(tmp_path, Guest(uefi=uefi))
    guest.apply("ems", DIB_EMS_MENU_SECONDS="0")
    ems = elements(guest, phony_hives.EMS_SETTINGS, uefi)
    assert ems["16000020"] == "hex:01"
    assert ems["15000022"] == "hex:01,00,00,00,00,00,00,00"
    assert ems["15000023"] == "hex:00,c2,01,00,00,00,00,00"
    assert elements(guest, LOADER, uefi)["260000b0"] == "hex:01"
    manager = elements(guest, phony_hives.BOOTMGR, uefi)
    assert "16000020" not in manager and manager["25000004"] == "hex:1e,00,00,00,00,00,00,00"


def test_the_boot_menu_is_on_the_serial_console_if_asked_for(tmp_path: Path) -> None:
    guest = subject(tmp_path)
    guest.apply("ems", DIB_EMS_MENU_SECONDS="7", DIB_EMS_PORT="2")
    manager = elements(guest, phony_hives.BOOTMGR)
    assert (manager["16000020"], manager["26000020"]) == ("hex:01", "hex:01")
    assert manager["25000004"] == "hex:07,00,00,00,00,00,00,00"
    assert elements(guest, phony_hives.EMS_SETTINGS)["15000022"].startswith("hex:02,")


def test_unattended_boot_ignores_failures(tmp_path: Path) -> None:
    guest = subject(tmp_path)
    guest.apply("unattended-boot")
    loader = elements(guest, LOADER)
    assert loader["250000e0"] == "hex:01,00,00,00,00,00,00,00"
    assert loader["16000009"] == "hex:00"
    assert elements(guest, phony_hives.BOOTMGR)["25000004"] == "hex:00,00,00,00,00,00,00,00"


def mine(tmp_path: Path, text: str) -> Path:
    directory = tmp_path / "mine"
    directory.mkdir(exist_ok=True)
    (directory / "bcd.yaml").write_text(text)
    return directory


def test_an_element_is_removed_and_the_fallback_loader_is_added(tmp_path: Path) -> None:
    guest = subject(tmp_path)
    hive = store(guest)
    hive.set(bcd.element_key(LOADER, bcd.GRAPHICS_MODE_DISABLED), [bcd.boolean(True)])
    hive.commit()
    fallback = guest.planted.boot / "EFI/Boot/bootx64.efi"
    manager = fallback.read_bytes()
    fallback.unlink()
    guest.apply(mine(tmp_path, (ELEMENTS / "virtio/bcd.yaml").read_text()))
    assert "16000046" not in elements(guest, LOADER)
    assert fallback.read_bytes() == manager


@pytest.mark.parametrize("uefi", [True, False])
def test_the_same_again_changes_no_byte(tmp_path: Path, uefi: bool) -> None:
    guest = subject(tmp_path, Guest(uefi=uefi))
    both, menu = ["ems", "unattended-boot"], {"DIB_EMS_MENU_SECONDS": "5", "DIB_BOOT_MENU_SECONDS": "5"}
    guest.apply(*both, **menu)
    before = (guest.planted.boot / (UEFI if uefi else BIOS)).read_bytes()
    guest.apply(*both, **menu)
    assert (guest.planted.boot / (UEFI if uefi else BIOS)).read_bytes() == before


def test_all_forms_of_elements_can_be_written(tmp_path: Path) -> None:
    guest = subject(tmp_path)
    guest.apply(
        mine(
            tmp_path,
            """
objects:
  default:
    device: locate
    osdevice: locate
    description: Windows of ours
    nx: alwayson
    inherit: [bootloadersettings]
    "0x17000077": [0x15000075, 3]
  bootmgr: {device: boot, default: memdiag, displayorder: ["{5eed5eed-0001-11ee-8000-00000000000a}", memdiag]}
  hypervisorsettings: {0x250000f3: 1}
""",
        )
    )
    shown = {
        boot_elements.name_of_element(int(path[-8:], 16)): boot_elements.shown(int(path[-8:], 16), values[0])
        for path, values in store(guest).walk(rf"Objects\{LOADER}\Elements")
        if values
    }
    assert shown["device"] == "locate=path" and shown["osdevice"] == "locate=systemroot"
    assert shown["description"] == "Windows of ours" and shown["nx"] == "alwayson"
    assert shown["inherit"] == "bootloadersettings" and shown["allowedinmemorysettings"] == "0x15000075, 0x3"
    manager = elements(guest, phony_hives.BOOTMGR)
    assert manager["23000003"] == f'"{phony_hives.MEMDIAG}"'
    assert store(guest).value(rf"Objects\{bcd.HYPERVISOR_SETTINGS}\Description", "Type").number == 0x20200003


def test_settings_without_effect_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    guest = subject(tmp_path)
    hive = store(guest)
    hive.delete_key(bcd.element_key(phony_hives.GLOBAL_SETTINGS, bcd.INHERIT))
    hive.commit()
    guest.apply("ems", DIB_EMS_MENU_SECONDS="0")
    said = capsys.readouterr().out
    assert said == "warning: no boot entry of the image inherits emssettings, so it has no effect\n"


def test_loaders_are_all_of_the_store(tmp_path: Path) -> None:
    guest = subject(tmp_path)
    second = "{5eed5eed-0002-11ee-8000-00000000000a}"
    hive = store(guest)
    hive.set(rf"Objects\{second}\Description", [Value.dword("Type", 0x10200003)])
    hive.commit()
    guest.apply(mine(tmp_path, "objects:\n  loaders: {testsigning: true}\n  default: {ems: true}\n"))
    assert elements(guest, LOADER)["16000049"] == elements(guest, second)["16000049"] == "hex:01"
    assert "260000b0" not in elements(guest, second)


def test_a_store_that_names_no_windows_is_told(tmp_path: Path) -> None:
    guest = subject(tmp_path)
    hive = store(guest)
    hive.delete_key(rf"Objects\{LOADER}")
    hive.commit()
    with pytest.raises(TargetError, match="don't say which Windows is started"):
        guest.apply("unattended-boot")


def test_an_image_without_a_store_is_refused(tmp_path: Path) -> None:
    guest = subject(tmp_path)
    (guest.planted.boot / UEFI).unlink()
    with pytest.raises(BaseError, match="it has no boot configuration data"):
        guest.apply("unattended-boot")


def test_a_store_that_is_not_written_to_its_end_is_refused_unless_asked_for(tmp_path: Path) -> None:
    guest = subject(tmp_path)
    path = guest.planted.boot / UEFI
    path.write_bytes(torn(path.read_bytes()))
    with pytest.raises(BaseError, match="did not finish writing its boot configuration data"):
        guest.apply("unattended-boot")
    guest.apply("unattended-boot", DIB_WINDOWS_DISCARD_HIVE_LOGS="1")
    assert elements(guest, LOADER)["16000009"] == "hex:00"


@pytest.mark.parametrize(
    ("yaml", "message"),
    [
        ("objects:\n  bootmanager: {timeout: 1}\n", "bcd.yaml:2: there is no object bootmanager"),
        ("objects:\n  bootmgr: {timout: 1}\n", "bcd.yaml:2: there is no element timout"),
        ("objects:\n  bootmgr: {0x9: 1}\n", "bcd.yaml:2: there is no element 0x9"),
        ("objects:\n  bootmgr: {timeout: soon}\n", "bcd.yaml:2: must be a number, not 'soon'"),
        ("objects:\n  default:\n    nx: sometimes\n", "bcd.yaml:3: nx can't be sometimes"),
        ("objects:\n  default: {ems: perhaps}\n", "bcd.yaml:2: must be true or false, not 'perhaps'"),
        ("objects:\n  default: {device: C}\n", "bcd.yaml:2: a device is boot or locate, not C"),
        ("objects:\n  bootmgr: {default: '{1}'}\n", "bcd.yaml:2: {1} is no object"),
        ("object: {}\n", "bcd.yaml:1: unknown key object"),
    ],
)
def test_what_is_wrong_with_a_file_is_told_with_its_line(tmp_path: Path, yaml: str, message: str) -> None:
    with pytest.raises(FileError) as failure:
        parse(mine(tmp_path, yaml) / "bcd.yaml", {})
    assert str(failure.value).endswith(message)


def test_a_new_store_can_be_edited_like_one_of_windows(tmp_path: Path) -> None:
    made = new_store.make("Windows Server 2022", phony_hives.DISK, phony_hives.ESP, phony_hives.SYSTEM_PARTITION)
    guest = subject(tmp_path)
    (guest.planted.boot / UEFI).write_bytes(made)
    guest.apply("ems", "unattended-boot", DIB_EMS_MENU_SECONDS="0")
    hive = store(guest)
    default = hive.value(bcd.element_key(bcd.BOOT_MANAGER, bcd.DEFAULT_OBJECT), "Element")
    assert default is not None
    loader = elements(guest, default.text)
    assert (loader["260000b0"], loader["16000009"]) == ("hex:01", "hex:00")
    ids = [path[-8:] for path, values in hive.walk("Objects") if values and r"}\Elements" in path]
    assert [id for id in ids if boot_elements.name_of_element(int(id, 16)) == id] == []
