r"""Phony Windows guests, made from nothing: hives, files and the state of every generation, in a plain directory.

Nothing of them is Windows' own: programs are stubs with a valid header, and only those keys and files are there that
the engine looks at. :mod:`tests.windows.phony_disk` makes disks of them.

>>> planted = plant(Guest("2022"), tmp_path)         # an image that was generalized, with an ESP
>>> planted = plant(Guest("7", uefi=False, image_state=COMPLETE, hibernated=True), tmp_path)
"""

from __future__ import annotations

import enum
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from dib_py.windows.hive import Hive, Value
from dib_py.windows.new_hive import checksum, hive
from tests.windows import phony_hives
from tests.windows.phony_hives import GENERATIONS, Generation

GENERALIZED = "IMAGE_STATE_GENERALIZE_RESEAL_TO_OOBE"
COMPLETE = "IMAGE_STATE_COMPLETE"
UNDEPLOYABLE = "IMAGE_STATE_UNDEPLOYABLE"
SPECIALIZED = "IMAGE_STATE_SPECIALIZE_RESEAL_TO_OOBE"
AUDIT = ("IMAGE_STATE_GENERALIZE_RESEAL_TO_AUDIT", "IMAGE_STATE_SPECIALIZE_RESEAL_TO_AUDIT")
IMAGE_STATES = (COMPLETE, UNDEPLOYABLE, GENERALIZED, SPECIALIZED, *AUDIT)

MACHINES = {"amd64": 0x8664, "x86": 0x14C, "arm64": 0xAA64}
_DIRECTORIES = (  # "%" is the system root
    "%/Boot/EFI",
    "%/INF",
    "%/Panther",
    "%/Setup/State",
    "%/System32/DriverStore/FileRepository",
    "%/System32/Sysprep",
    "%/System32/drivers",
    "%/Temp",
    "Program Files",
    "ProgramData",
    "Users/Public/Desktop",
    "Users/Default/AppData/Local/Microsoft/Windows",
)
_PROGRAMS = (
    "%/explorer.exe",
    "%/Boot/EFI/bootmgfw.efi",
    "%/Boot/EFI/memtest.efi",
    "%/System32/cmd.exe",
    "%/System32/ntoskrnl.exe",
    "%/System32/svchost.exe",
    "%/System32/winload.efi",
    "%/System32/winload.exe",
    "%/System32/drivers/ntfs.sys",
)


class Case(enum.Enum):
    """How names are spelled on the volume."""

    USUAL = enum.auto()
    LOWER = enum.auto()
    UPPER = enum.auto()
    MIXED = enum.auto()  # wINdOWs: no two guests of the world agree with it

    def of(self, path: str) -> str:
        spellings: dict[Case, Callable[[str], str]] = {
            Case.USUAL: str,
            Case.LOWER: str.lower,
            Case.UPPER: str.upper,
            Case.MIXED: lambda text: "".join(
                letter.upper() if number % 3 else letter.lower() for number, letter in enumerate(text)
            ),
        }
        return spellings[self](path)


@dataclass(frozen=True)
class Guest:
    """A guest's generation (a key of ``GENERATIONS``) and its state."""

    generation: str = "2022"
    architecture: str = "amd64"
    uefi: bool = True
    image_state: str | None = GENERALIZED  # None: the registry does not say
    control_set: int = 1
    default_control_set: int | None = None  # None: the current one
    system_root: str = "Windows"
    case: Case = Case.USUAL
    hibernated: bool = False
    resumed: bool = False  # there is a hibernation file, but of a session that was gone on with
    page_file: bool = True
    dirty: tuple[str, ...] = ()  # hives that Windows did not finish writing
    without: tuple[str, ...] = ()  # keys ("SYSTEM\\Select"), whole hives ("DRIVERS") or files ("/Windows/...")
    extra: dict[str, dict[str, list[Value]]] = field(default_factory=dict)  # by hive, by key
    files: dict[str, bytes] = field(default_factory=dict)  # "Users/alice/letter.txt"

    @property
    def facts(self) -> Generation:
        return GENERATIONS[self.generation]


@dataclass(frozen=True)
class Planted:
    """Where a guest's volumes are: C:, and the one that it starts from (ESP, or "System Reserved")."""

    guest: Guest
    system: Path
    boot: Path

    def file(self, path: str) -> Path:
        """The place of a file of C: that the guest has, by its usual spelling."""
        return self.system / self.guest.case.of(path)

    def hive_file(self, name: str) -> Path:
        return self.file(f"{self.guest.system_root}/System32/config/{name}")

    def hive(self, name: str) -> Hive:
        """A second look at a hive, apart from the code under test."""
        return Hive(self.hive_file(name))


def plant(guest: Guest, directory: Path) -> Planted:
    """Make the guest's volumes below ``directory``; takes some milliseconds."""
    planted = Planted(guest, directory / "C", directory / "boot")
    files = _files(guest)
    for name in guest.without:
        files.pop(name.lstrip("/"), None)
    for path, content in files.items():
        _write(planted.file(path), content)
    for path in _DIRECTORIES:
        planted.file(path.replace("%", guest.system_root)).mkdir(parents=True, exist_ok=True)
    for path, content in _boot_files(guest).items():
        _write(planted.boot / guest.case.of(path), content)
    return planted


def program(architecture: str, subsystem: int = 3, code: bytes = b"\xc3") -> bytes:
    """A portable executable with ``code`` at its entry; ``subsystem`` 3 is a console's, 1 a driver's, 10 UEFI's."""
    wide = architecture != "x86"
    dos = b"MZ" + bytes(58) + struct.pack("<I", 64)
    characteristics = 0x0022 if wide else 0x0102  # executable, and of large or 32-bit addresses
    optional_size = 240 if wide else 224
    coff = struct.pack("<4sHHIIIHH", b"PE\0\0", MACHINES[architecture], 1, 0, 0, 0, optional_size, characteristics)
    rounded = -(-len(code) // 512) * 512
    head = struct.pack("<HBBIIIII", 0x20B if wide else 0x10B, 14, 0, rounded, 0, 0, 0x1000, 0x1000)
    base = struct.pack("<Q", 0x140000000) if wide else struct.pack("<II", 0x2000, 0x400000)
    image = struct.pack("<II6HIIIIHH", 0x1000, 512, 6, 0, 0, 0, 6, 0, 0, 0x2000, 512, 0, subsystem, 0x8160)
    reserves = struct.pack("<4Q" if wide else "<4I", 0x100000, 0x1000, 0x100000, 0x1000)
    directories = struct.pack("<II", 0, 16) + bytes(16 * 8)
    section = struct.pack("<8s6IHHI", b".text", len(code), 0x1000, rounded, 512, 0, 0, 0, 0, 0x60000020)
    headers = dos + coff + head + base + image + reserves + directories + section
    return headers.ljust(512, b"\0") + code.ljust(rounded, b"\0")


def _files(guest: Guest) -> dict[str, bytes]:
    """All files of C:, by their usual spelling."""
    root = guest.system_root
    files = {f"{root}/System32/config/{name}": content for name, content in _hives(guest).items()}
    files |= {path.replace("%", root): program(guest.architecture) for path in _PROGRAMS}
    files[f"{root}/System32/config/BCD-Template"] = hive(phony_hives.boot_store(guest.uefi), name="BCD")
    files["Users/Default/NTUSER.DAT"] = hive({r"Control Panel\Desktop": [Value.string("Wallpaper", "")]})
    files["Users/desktop.ini"] = b"[.ShellClassInfo]\r\n"
    if guest.image_state is not None:
        state = f"[State]\r\nImageState={guest.image_state}\r\n"
        files[f"{root}/Setup/State/State.ini"] = state.encode("utf-16")
    if guest.page_file:
        files["pagefile.sys"] = bytes(4096)
    if guest.hibernated or guest.resumed:
        files["hiberfil.sys"] = (b"HIBR" if guest.hibernated else b"wake").ljust(4096, b"\0")
    return files | guest.files


def _hives(guest: Guest) -> dict[str, bytes]:
    facts = guest.facts
    default = guest.control_set if guest.default_control_set is None else guest.default_control_set
    contents: dict[str, phony_hives.Keys] = {
        "SYSTEM": phony_hives.system(
            facts,
            current=guest.control_set,
            default=default,
            uefi=guest.uefi,
            architecture=guest.architecture,
            image_state=guest.image_state,
        ),
        "SOFTWARE": phony_hives.software(facts, guest.image_state, guest.system_root),
        "SAM": {"SAM": []},
        "SECURITY": {"Policy": []},
        "DEFAULT": {r"Control Panel\Desktop": []},
        "COMPONENTS": {},
    }
    if facts.numbers >= (6, 3):
        contents["DRIVERS"] = phony_hives.drivers()
    for name, keys in guest.extra.items():
        for path, values in keys.items():
            contents[name].setdefault(path, []).extend(values)
    made = {}
    for name, keys in contents.items():
        if name not in guest.without:
            kept = {path: values for path, values in keys.items() if not _is_without(guest, f"{name}\\{path}")}
            made[name] = torn(hive(kept, name=name)) if name in guest.dirty else hive(kept, name=name)
    return made


def _is_without(guest: Guest, key: str) -> bool:
    return any(f"{key}\\".startswith(f"{name}\\") for name in guest.without)


def torn(content: bytes) -> bytes:
    """The hive with a first sequence number that went ahead of the second: what is missing is in its logs."""
    page = content[:4] + struct.pack("<II", 7, 6) + content[12:508]
    return page + struct.pack("<I", checksum(page)) + content[512:]


def _boot_files(guest: Guest) -> dict[str, bytes]:
    store = hive(phony_hives.boot_store(guest.uefi), name="BCD")
    if not guest.uefi:
        return {"Boot/BCD": store, "bootmgr": b"phony", "Boot/memtest.exe": program(guest.architecture)}
    loader = program(guest.architecture, subsystem=10)
    return {"EFI/Microsoft/Boot/BCD": store, "EFI/Microsoft/Boot/bootmgfw.efi": loader, "EFI/Boot/bootx64.efi": loader}


def _write(place: Path, content: bytes) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(content)
