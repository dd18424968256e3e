r"""What a Windows installation is: read from its hives and files, nothing of it is taken from names or sizes of disks.

Sources: ``SOFTWARE\Microsoft\Windows NT\CurrentVersion`` for version and edition, the PE header of ``cmd.exe`` for the
architecture, ``SYSTEM\Select`` and ``MountedDevices``, ``Setup\State`` for how far sysprep or Setup got.
"""

from __future__ import annotations

import enum
import struct
import uuid
from dataclasses import dataclass

from dib_py.errors import BaseError, DibError
from dib_py.windows.generations import Generation, identify
from dib_py.windows.hive import Hive
from dib_py.windows.registry import Registry, standard_hives
from dib_py.windows.volume import Volume

# How far Setup or sysprep has got, as Microsoft's "Windows Setup States" has it.
COMPLETE = "IMAGE_STATE_COMPLETE"  # Setup is through, and will read no answer file any more
GENERALIZED = "IMAGE_STATE_GENERALIZE_RESEAL_TO_OOBE"  # all of Setup is still to come
SPECIALIZED = "IMAGE_STATE_SPECIALIZE_RESEAL_TO_OOBE"  # only its last pass is
UNDEPLOYABLE = "IMAGE_STATE_UNDEPLOYABLE"  # a pass did not end
AUDIT = ("IMAGE_STATE_GENERALIZE_RESEAL_TO_AUDIT", "IMAGE_STATE_SPECIALIZE_RESEAL_TO_AUDIT")
HIBERNATION_FILE = "/hiberfil.sys"
PAGE_FILES = ("/pagefile.sys", "/swapfile.sys")
UEFI_STORE, BIOS_STORE = "/EFI/Microsoft/Boot/BCD", "/Boot/BCD"
_USUAL_ROOTS = ("Windows", "WINNT")
_VERSION = r"HKLM\SOFTWARE\Microsoft\Windows NT\CurrentVersion"
STATE = r"HKLM\SOFTWARE\Microsoft\Windows\CurrentVersion\Setup\State"
IMAGE_STATE = "ImageState"  # the value there
_ENVIRONMENT = r"HKLM\SYSTEM\CurrentControlSet\Control\Session Manager\Environment"
_HOSTNAME = r"HKLM\SYSTEM\CurrentControlSet\Services\Tcpip\Parameters"
_DRIVE = "\\DosDevices\\"
_MACHINES = {0x8664: "amd64", 0x14C: "x86", 0xAA64: "arm64"}  # of the COFF header
_HEADER_BYTES = 4096
_HIVE_SEQUENCES = slice(4, 12)


class BootMode(str, enum.Enum):
    """How the image starts; the value is what people read."""

    UEFI = "UEFI"
    BIOS = "BIOS"
    UNKNOWN = "unknown"


class Hibernation(str, enum.Enum):
    """What the hibernation file holds."""

    NONE = "none"  # there is no such file
    IDLE = "idle"  # a file whose session was gone on with, or that never held one
    SAVED = "saved"  # a session, of hibernation or of fast startup: the volume must not be written


@dataclass(frozen=True)
class Drive:
    r"""A letter and what it stands for: a partition's GUID (GPT), or a disk's signature and a byte offset (MBR)."""

    letter: str
    partition: str = ""
    disk_signature: str = ""
    offset: int = 0


@dataclass(frozen=True)
class Inspection:
    """The facts of one installation.

    ``system_root`` is spelled as on the volume (``/Windows``). ``control_sets`` are those that CurrentControlSet stands
    for, the current one first; empty where ``Select`` does not say. ``image_state`` is empty where the registry does
    not say. ``free`` and ``paging`` are bytes. ``unfinished_hives`` are those whose last changes are in their logs.
    """

    generation: Generation
    product: str
    edition: str
    installation_type: str
    version: tuple[int, int, int, int]  # major, minor, build, revision
    architecture: str  # amd64, x86, arm64
    system_root: str
    control_sets: tuple[str, ...]
    drives: tuple[Drive, ...]
    boot_mode: BootMode
    image_state: str
    hostname: str
    free: int
    paging: int
    hibernation: Hibernation
    unfinished_hives: tuple[str, ...]

    @property
    def is_generalized(self) -> bool:
        return is_generalized(self.image_state)

    @property
    def full_version(self) -> str:
        return ".".join(map(str, self.version))


def is_generalized(image_state: str) -> bool:
    """Whether sysprep took the machine's identity away, so that Setup gives each copy its own at the first start."""
    return image_state == GENERALIZED


def inspect(volume: Volume, boot: Volume | None, registry: Registry, system_root: str) -> Inspection:
    """Look at the installation in ``system_root`` of ``volume``; ``boot`` is the volume that it starts from, if known.

    BaseError for what is no Windows from Vista on.
    """
    version = _version(registry)
    installation_type = _text(registry, _VERSION, "InstallationType")
    product = _text(registry, _VERSION, "ProductName")
    if not installation_type:
        installation_type = "Server" if "server" in product.casefold() else "Client"
    generation = identify(version[2], installation_type)
    if generation is None:
        shown = ".".join(map(str, version[:3]))
        raise BaseError(
            f"the image has {product or 'a Windows'} of version {shown}, which is of no known generation",
            hint="images from Windows Vista and Server 2008 on can be worked on",
        )
    return Inspection(
        generation=generation,
        product=product,
        edition=_text(registry, _VERSION, "EditionID"),
        installation_type=installation_type,
        version=version,
        architecture=_architecture(volume, registry, system_root),
        system_root=volume.resolve(system_root),
        control_sets=_control_sets(registry),
        drives=_drives(registry),
        boot_mode=boot_mode(volume, boot),
        image_state=_text(registry, STATE, IMAGE_STATE),
        hostname=_text(registry, _HOSTNAME, "Hostname"),
        free=volume.free(),
        paging=sum(volume.size(path) for path in PAGE_FILES if volume.exists(path)),
        hibernation=hibernation(volume),
        unfinished_hives=unfinished_hives(volume, system_root),
    )


def find_system_root(volume: Volume) -> str:
    """The directory of the one installation on the volume; "" where there is none, BaseError for several."""
    names = volume.names("/")
    usual = [name for name in names if name.casefold() in map(str.casefold, _USUAL_ROOTS)]
    found = [f"/{name}" for name in usual if _is_system_root(volume, f"/{name}")]
    found = found or [f"/{name}" for name in names if _is_system_root(volume, f"/{name}")]
    if len(found) > 1:
        raise BaseError(f"the image holds more than one Windows: in {', '.join(found)}")
    return found[0] if found else ""


def boot_mode(volume: Volume, boot: Volume | None) -> BootMode:
    """By the boot configuration data that are there; an ESP's count first."""
    places = [volume] if boot is None else [boot, volume]
    if any(place.exists(UEFI_STORE) for place in places):
        return BootMode.UEFI
    return BootMode.BIOS if any(place.exists(BIOS_STORE) for place in places) else BootMode.UNKNOWN


def hibernation(volume: Volume) -> Hibernation:
    """As ntfs-3g sees it: only this mark at its beginning means that the file holds a session."""
    if not volume.exists(HIBERNATION_FILE):
        return Hibernation.NONE
    return Hibernation.SAVED if volume.read(HIBERNATION_FILE, 4).upper() == b"HIBR" else Hibernation.IDLE


def unfinished_hives(volume: Volume, system_root: str) -> tuple[str, ...]:
    r"""Hives (``HKLM\SYSTEM``) with two sequence numbers that differ: Windows stopped while it wrote them."""
    found = []
    for file in standard_hives(system_root):
        if volume.exists(file.path):
            first, second = struct.unpack("<II", volume.read(file.path, 12)[_HIVE_SEQUENCES].ljust(8, b"\0"))
            if first != second:
                found.append(file.mounted)
    return tuple(found)


def _is_system_root(volume: Volume, path: str) -> bool:
    return all(volume.exists(f"{path}/System32/config/{name}") for name in ("SYSTEM", "SOFTWARE"))


def _version(registry: Registry) -> tuple[int, int, int, int]:
    """NT's own version number; Windows 10 and later say in CurrentVersion what 8.1 was."""
    major, minor = (
        registry.value(_VERSION, name) for name in ("CurrentMajorVersionNumber", "CurrentMinorVersionNumber")
    )
    build = _text(registry, _VERSION, "CurrentBuildNumber") or _text(registry, _VERSION, "CurrentBuild")
    revision = registry.value(_VERSION, "UBR")
    try:
        if major is not None and minor is not None:
            numbers = (major.number, minor.number)
        else:
            first, second = _text(registry, _VERSION, "CurrentVersion").split(".")[:2]
            numbers = (int(first), int(second))
        return (*numbers, int(build), 0 if revision is None else revision.number)
    except ValueError as error:
        raise BaseError(f"{_VERSION} of the image does not tell a version and a build number") from error


def _architecture(volume: Volume, registry: Registry, system_root: str) -> str:
    """Of cmd.exe; where that can't be read (it may be compressed by CompactOS), as the registry has it."""
    try:
        header = volume.read(f"{system_root}/System32/cmd.exe", _HEADER_BYTES)
        machine = pe_machine(header)
    except DibError:
        machine = ""
    return machine or _text(registry, _ENVIRONMENT, "PROCESSOR_ARCHITECTURE").casefold()


def pe_machine(header: bytes) -> str:
    """The architecture that a portable executable is for; "" for what is none."""
    if header[:2] != b"MZ" or len(header) < 64:
        return ""
    at = int.from_bytes(header[60:64], "little")
    if header[at : at + 4] != b"PE\0\0":
        return ""
    return _MACHINES.get(int.from_bytes(header[at + 4 : at + 6], "little"), "")


def _control_sets(registry: Registry) -> tuple[str, ...]:
    hive: Hive = registry.hive(r"HKLM\SYSTEM")
    return registry.control_sets() if hive.value("Select", "Current") is not None else ()


def _drives(registry: Registry) -> tuple[Drive, ...]:
    found = []
    for name, value in sorted(registry.values(r"HKLM\SYSTEM\MountedDevices").items()):
        if name.startswith(_DRIVE):
            drive = _drive(name.removeprefix(_DRIVE), value.data)
            if drive is not None:
                found.append(drive)
    return tuple(found)


def _drive(letter: str, data: bytes) -> Drive | None:
    """None for what is no partition: optical drives and other removable ones are stored by their device's name."""
    if len(data) == 24 and data.startswith(b"DMIO:ID:"):
        return Drive(letter, partition=str(uuid.UUID(bytes_le=data[8:])))
    if len(data) == 12:
        signature, offset = struct.unpack("<IQ", data)
        return Drive(letter, disk_signature=f"{signature:08x}", offset=offset)
    return None


def _text(registry: Registry, key: str, name: str) -> str:
    """A string's text; "" where it is missing, or the control set that it is in is."""
    try:
        value = registry.value(key, name)
    except DibError:
        return ""
    return "" if value is None else value.text
