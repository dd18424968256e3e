"""A disk made of installation media: its table, its filesystems and what is on them, as other programs read it."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from dib_py.base import BaseSpec, obtain
from dib_py.base.known import known_digest
from dib_py.base.spec import Media
from dib_py.cli.plan import lines
from dib_py.errors import BaseError
from dib_py.events import Events
from dib_py.prospect import look
from dib_py.settings import Settings
from dib_py.units import GIB, MIB
from dib_py.windows import new_store
from dib_py.windows.hive import Hive
from dib_py.windows.new_disk import Geometry
from dib_py.windows.partitions import BASIC_DATA, EFI_SYSTEM, MICROSOFT_RESERVED
from tests.windows import phony_media
from tests.windows.phony import Guest

SIZE = 4 * GIB
STANDARD = "Windows Server 2022 Standard"
CORE = "Windows Server 2022 Core"


@pytest.fixture(scope="module")
def media(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("media")
    wim = phony_media.capture(directory, {STANDARD: Guest("2022"), CORE: Guest("2022", files={"core.txt": b"core"})})
    return phony_media.iso(wim, directory / "server.iso")


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


def made(media: Path, cache: Path, edition: str = STANDARD, size: int = SIZE) -> Path:
    spec = BaseSpec(str(media), "", "a test", media=Media(edition, size))
    return obtain(spec, Settings(cache_dir=cache), Events()).path


@pytest.fixture(scope="module")
def raw(media: Path, cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The disk's content, with holes."""
    file = tmp_path_factory.mktemp("raw") / "disk.raw"
    subprocess.run(["qemu-img", "convert", "-f", "qcow2", "-O", "raw", made(media, cache), file], check=True)
    yield file
    file.unlink()


def partition(raw: Path, number: int, file: Path) -> Path:
    """A partition's content as a file of its own."""
    table = json.loads(subprocess.check_output(["sfdisk", "--json", raw]))["partitiontable"]
    found = table["partitions"][number - 1]
    place = {"driver": "raw", "offset": found["start"] * 512, "size": found["size"] * 512}
    place["file"] = {"driver": "file", "filename": str(raw)}
    subprocess.run(["qemu-img", "convert", "-O", "raw", f"json:{json.dumps(place)}", file], check=True)
    return file


def test_the_table_is_sound_and_c_is_the_last(raw: Path) -> None:
    verdict = subprocess.check_output(["sgdisk", "--verify", raw], text=True)
    assert "No problems found" in verdict
    table = json.loads(subprocess.check_output(["sfdisk", "--json", raw]))["partitiontable"]
    assert [one["type"] for one in table["partitions"]] == [EFI_SYSTEM, MICROSOFT_RESERVED, BASIC_DATA]
    last = table["partitions"][-1]
    assert (last["start"] + last["size"]) * 512 == SIZE - MIB
    assert all(one["start"] % 2048 == 0 for one in table["partitions"])


def test_the_esp_has_what_starts_windows(raw: Path, tmp_path: Path) -> None:
    esp = partition(raw, 1, tmp_path / "esp")
    listed = subprocess.check_output(["mdir", "-/", "-b", "-i", esp, "::/"], text=True).split()
    assert {
        "::/EFI/Boot/bootx64.efi",
        "::/EFI/Microsoft/Boot/BCD",
        "::/EFI/Microsoft/Boot/bootmgfw.efi",
        "::/EFI/Microsoft/Boot/memtest.efi",
        "::/EFI/Microsoft/Boot/Fonts/segmono_boot.ttf",
    } <= set(listed)
    manager = subprocess.check_output(["mtype", "-i", esp, "::/EFI/Boot/bootx64.efi"])
    assert manager == phony_media.boot_manager()
    assert int.from_bytes(esp.read_bytes()[0x1C:0x20], "little") == 2048  # hidden sectors


def test_the_boot_entry_finds_c_by_its_guid(raw: Path, tmp_path: Path) -> None:
    esp = partition(raw, 1, tmp_path / "esp")
    store = tmp_path / "BCD"
    store.write_bytes(subprocess.check_output(["mtype", "-i", esp, "::/EFI/Microsoft/Boot/BCD"]))
    exported = subprocess.check_output(["hivexregedit", "--export", store, "\\"], text=True)
    table = json.loads(subprocess.check_output(["sfdisk", "--json", raw]))["partitiontable"]
    import uuid

    loader = Hive(store).value(r"Objects\{9dea862c-5cdd-4e70-acc1-f32b344d4795}\Elements\23000003", "Element")
    assert loader is not None
    assert f"Objects\\{loader.text}\\Elements\\21000001".lower() in exported.lower()
    device = Hive(store).value(rf"Objects\{loader.text}\Elements\21000001", "Element")
    assert device is not None
    c = uuid.UUID(table["partitions"][2]["uuid"])
    # options' object, type 6, flags, size 0x48, then GUIDs of the partition and the disk, as in bcdboot's stores
    assert device.data == (
        bytes(16)
        + bytes.fromhex("06000000 00000000 48000000 00000000")
        + c.bytes_le
        + bytes(8)
        + uuid.UUID(table["id"]).bytes_le
        + bytes(16)
    )


def test_c_is_ntfs_that_knows_its_place(raw: Path, tmp_path: Path) -> None:
    c = partition(raw, 3, tmp_path / "c")
    try:
        with c.open("rb") as file:
            head = file.read(512)
        assert head[3:7] == b"NTFS"
        assert int.from_bytes(head[0x1C:0x20], "little") == (1 + 260 + 16) * 2048
        listed = subprocess.check_output(["ntfsls", "-p", "/Windows/System32/config", c], text=True).split()
        assert {"SYSTEM", "SOFTWARE", "SAM"} <= set(listed)
        assert subprocess.run(["ntfsfix", "--no-action", c], capture_output=True, check=False).returncode == 0
    finally:
        c.unlink()


def test_a_disk_is_made_once_for_an_edition_and_a_size(media: Path, cache: Path) -> None:
    first = made(media, cache)
    assert made(media, cache) == first
    other = made(media, cache, CORE)
    assert other != first
    assert made(media, cache) == first
    spec = BaseSpec(str(media), "", "a test", media=Media(STANDARD, SIZE))
    assert known_digest(spec, Settings(cache_dir=cache)) == obtain(spec, Settings(cache_dir=cache), Events()).digest
    assert known_digest(BaseSpec(str(media), "", "", media=Media("1", SIZE)), Settings(cache_dir=cache)) == ""
    assert not list(cache.rglob("*.parts")) + list(cache.rglob("media.*"))


def test_what_a_killed_one_left_is_removed_by_the_next(media: Path, tmp_path: Path) -> None:
    entry = made(media.with_name("install.wim"), tmp_path, "2").parents[1]
    (entry / "current.json").unlink()
    (entry / "media.killed").mkdir()
    (entry / "media.killed" / "install.wim").write_bytes(b"MSWIM")
    assert made(media.with_name("install.wim"), tmp_path, "2").is_file()
    assert not list(tmp_path.rglob("media.*"))


def test_a_wim_is_taken_by_itself(media: Path, cache: Path, tmp_path: Path) -> None:
    assert made(media.with_name("install.wim"), tmp_path, "2").is_file()


@pytest.mark.parametrize(
    ("edition", "size", "told"),
    [
        ("", SIZE, "several editions"),
        ("Home", SIZE, "no edition 'Home'"),
        (STANDARD, GIB, "no room on a disk of 1 GiB"),
    ],
)
def test_what_can_not_be_made_is_said_and_leaves_nothing(
    media: Path, tmp_path: Path, edition: str, size: int, told: str
) -> None:
    with pytest.raises(BaseError, match=told) as caught:
        made(media, tmp_path, edition, size)
    assert caught.value.where in (str(media), f"{media}/install.wim")  # and not the copy, which is gone
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and path.stat().st_size > 4096]


@pytest.mark.parametrize(
    ("file", "edition", "size", "told"),
    [
        ("nothing.iso", STANDARD, SIZE, "does not exist"),
        ("text.iso", STANDARD, SIZE, "is no disk image"),
        ("drivers.iso", STANDARD, SIZE, r"no sources/install\.wim"),
        ("install.wim", "Home", SIZE, "no edition 'Home'"),
        ("install.wim", "", SIZE, "several editions"),
        ("install.wim", STANDARD, 2 * GIB + 278 * MIB, "has no room on a disk"),
    ],
)
def test_a_plan_tells_of_media_that_are_none(
    media: Path, tmp_path: Path, file: str, edition: str, size: int, told: str
) -> None:
    (media.parent / "text.iso").write_text("a note about the media\n")
    phony_media.iso(media.with_name("install.wim"), media.parent / "drivers.iso", name="drivers.wim")
    prospect = look(asked(media.parent / file, tmp_path, edition, size))
    (hindrance,) = prospect.hindrances
    assert re.search(told, hindrance)


def test_a_plan_has_nothing_against_good_media_and_claims_nothing_of_them(media: Path, tmp_path: Path) -> None:
    for file in (media, media.with_name("install.wim")):
        assert look(asked(file, tmp_path, STANDARD, SIZE)).hindrances == ()
    told = " ".join("\n".join(lines(look(asked(media, tmp_path, "", SIZE)).plan)).split())
    assert "a disk of 4 GiB is made with the only edition that the media may have" in told


def test_a_disk_on_which_no_windows_has_room_is_refused_by_the_plan(tmp_path: Path) -> None:
    with pytest.raises(BaseError, match=r"Windows has no room on a disk of 2 GiB: it needs 2\.271 GiB and what"):
        look(asked(Path("http://localhost/server.iso"), tmp_path, "", 2 * GIB))


def asked(media: Path, cache: Path, edition: str, size: int) -> Settings:
    """What somebody asks for who names windows-iso."""
    environ = {"PATH": os.environ["PATH"], "HOME": str(cache), "DIB_WINDOWS_ISO": str(media)}
    environ |= {"DIB_WINDOWS_EDITION": edition, "DIB_WINDOWS_DISK_SIZE": f"{size // MIB} MiB"}
    return Settings(elements=("windows-iso",), image_name=str(cache / "image"), cache_dir=cache, environ=environ)


def test_media_without_an_installation_are_no_media(media: Path, tmp_path: Path) -> None:
    iso = phony_media.iso(media.with_name("install.wim"), tmp_path / "drivers.iso", name="drivers.wim")
    with pytest.raises(BaseError, match=r"no sources/install\.wim"):
        made(iso, tmp_path / "cache")


def test_media_are_no_base_image_of_other_elements(media: Path, tmp_path: Path) -> None:
    with pytest.raises(BaseError, match=r"no disk image but a .* image") as caught:
        obtain(BaseSpec(str(media), "", "a test"), Settings(cache_dir=tmp_path), Events())
    assert "windows-iso" in caught.value.hint


def test_a_generation_without_a_boot_manager_for_uefi_is_refused(tmp_path: Path) -> None:
    wim = phony_media.capture(tmp_path, {"Windows 7": Guest("7")})
    subprocess.run(["wimlib-imagex", "update", wim, "--command", r"delete /Windows/Boot/EFI/bootmgfw.efi"], check=True)
    with pytest.raises(BaseError, match=r"bootmgfw\.efi"):
        made(wim, tmp_path / "cache", "")


def test_geometry_leaves_room_for_the_second_table() -> None:
    geometry = Geometry.of(SIZE + 12345)
    assert geometry.system.start + geometry.system.size <= SIZE - MIB
    stores = {new_store.make("Windows", geometry.id, geometry.esp.id, geometry.system.id) for _ in range(2)}
    assert len(stores) == 2  # each disk has entries of its own


@pytest.mark.slow
def test_firmware_starts_the_boot_manager(media: Path, cache: Path, tmp_path: Path) -> None:
    """OVMF finds the ESP and, with nothing in its memory yet, the program of the editions in its place there."""
    code, variables = (Path("/usr/share/OVMF") / name for name in ("OVMF_CODE_4M.fd", "OVMF_VARS_4M.fd"))
    if not code.exists():
        pytest.skip("there is no OVMF")
    overlay, memory = tmp_path / "overlay.qcow2", tmp_path / "vars.fd"
    memory.write_bytes(variables.read_bytes())
    disk = made(media, cache)
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-b", disk, "-F", "qcow2", overlay], check=True)
    argv = [
        *("qemu-system-x86_64", "-accel", "tcg", "-machine", "q35", "-m", "256", "-display", "none", "-nodefaults"),
        *("-drive", f"if=pflash,format=raw,readonly=on,file={code}"),
        *("-drive", f"if=pflash,format=raw,file={memory}"),
        *("-drive", f"file={overlay},format=qcow2,if=virtio"),
        *("-serial", "stdio", "-device", f"isa-debug-exit,iobase={phony_media.EXIT_PORT:#x}"),
    ]
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=300, check=False)
    assert phony_media.STARTED in done.stdout.decode(errors="replace")
    assert done.returncode == 1, done.stderr
