r"""A driver package as its INF file describes it for one system: devices, configurations, services, files, settings.

What Windows finds in an INF ("INF File Sections and Directives"): ``[Manufacturer]`` names sections of models, these
name hardware and the install section for it, and that one has companions: ``.HW`` (settings of the device),
``.Services``, ``.Wdf``.
"""

from __future__ import annotations

import datetime
import re
import struct
import uuid
from collections.abc import Iterator
from dataclasses import dataclass

from dib_py.windows.inf import Entry, Inf
from dib_py.windows.inf_registry import Setting, settings
from dib_py.windows.inf_target import System, install_section, models_section

BOOT_START = 0
ASSOCIATED = 0x2  # SPSVCINST_ASSOCSERVICE: the service that drives the device
DIRECTORIES = {
    10: "%SystemRoot%",
    11: r"%SystemRoot%\System32",
    12: r"%SystemRoot%\System32\drivers",
    17: r"%SystemRoot%\INF",
    16425: r"%SystemRoot%\SysWOW64",
}
IN_STORE = 13  # number of the directory of a file that is used where the package is
_DATE = re.compile(r"(\d{1,2})[/-](\d{1,2})[/-](\d{4})")
LONE_STRING = re.compile(r"%([^%]+)%")


@dataclass(frozen=True)
class Device:
    """A hardware id with what to do for it; ``rank`` is its place in its line, the best match first."""

    id: str
    rank: int
    configuration: str
    description: str  # as written, with %strings%
    manufacturer: str


@dataclass(frozen=True)
class Service:
    """A service that a configuration adds; ``binary`` is the path as written, with directory numbers as ``%12%``."""

    name: str
    display_name: str
    type: int
    start: int
    error_control: int
    binary: str
    group: str
    dependencies: tuple[str, ...]
    associated: bool
    settings: tuple[Setting, ...]
    events: tuple[Setting, ...]  # of its key below EventLog\System
    framework: str  # KmdfLibraryVersion, or empty


@dataclass(frozen=True)
class Copy:
    """A file that is copied out of the package.

    ``directory`` begins with ``%SystemRoot%``; it is empty for one that stays in the package, None for one of which
    only a running Windows knows the place.
    """

    source: str
    directory: str | None
    name: str

    @property
    def place(self) -> str:
        """The path; empty where there is nothing to copy."""
        return f"{self.directory}\\{self.name}" if self.directory else ""


@dataclass(frozen=True)
class Configuration:
    """An install section with its companions."""

    name: str
    services: tuple[Service, ...]
    device_settings: tuple[Setting, ...]
    copies: tuple[Copy, ...]
    feature_score: int
    scope: int

    @property
    def service(self) -> Service | None:
        """The one that drives the device."""
        return next((service for service in self.services if service.associated), None)


@dataclass(frozen=True)
class DriverPackage:
    """An INF file for one system; without ``devices`` it has nothing for that system."""

    inf: Inf
    class_guid: uuid.UUID
    class_name: str
    provider: str
    catalog: str
    date: int  # FILETIME: 100 ns since 1601
    version: tuple[int, int, int, int]
    locked_down: bool  # PnpLockdown: only PnP may replace the files
    devices: tuple[Device, ...]
    configurations: tuple[Configuration, ...]
    sources: tuple[
        str, ...
    ]  # all files that the INF says its medium has, relative to it, with "/" and in small letters

    @property
    def name(self) -> str:
        return self.inf.path.name.lower()

    @property
    def starts_at_boot(self) -> bool:
        """Whether a device of it is needed before there is a disk to read drivers from."""
        services = (service for configuration in self.configurations for service in configuration.services)
        return any(service.start == BOOT_START for service in services)

    @property
    def strings(self) -> dict[str, str]:
        """The strings that the devices' texts are made of, by name."""
        texts = (text for device in self.devices for text in (device.manufacturer, device.description))
        names = (match[1].lower() for match in map(LONE_STRING.fullmatch, texts) if match)
        return {name: self.inf.strings[name] for name in names if name in self.inf.strings}

    def version_blob(self) -> bytes:
        """The Version value of a package in the driver database: 48 bytes."""
        numbers = struct.pack("<4H", *reversed(self.version))
        class_and_date = self.class_guid.bytes_le + struct.pack("<Q", self.date)
        return bytes.fromhex("00ff090000000000") + class_and_date + numbers + bytes(8)


def read(inf: Inf, system: System) -> DriverPackage:
    """What an INF file has for ``system``; FileError for what is malformed in it."""
    devices = tuple(_devices(inf, system))
    names = dict.fromkeys(device.configuration for device in devices)
    date, version = _driver_version(inf)
    return DriverPackage(
        inf,
        _class_guid(inf),
        inf.value("Version", "Class"),
        inf.value("Version", "Provider"),
        _catalog(inf, system),
        date,
        version,
        inf.value("Version", "PnpLockdown").strip() == "1",
        devices,
        tuple(_configuration(inf, system, name) for name in names),
        tuple(dict.fromkeys(_sources(inf, system))),
    )


def _devices(inf: Inf, system: System) -> Iterator[Device]:
    for manufacturer in inf.section("Manufacturer"):
        models = models_section(inf, system, manufacturer)
        for model in inf.section(models) if models else ():
            section = install_section(inf, system, inf.expand(model.value(0)))
            if section is None:
                raise inf.error(f"there is no install section {model.value(0)}", model)
            ids = [id for id in map(inf.expand, model.values[1:]) if id.strip("\\")]
            for rank, id in enumerate(ids, 1):
                yield Device(id, rank, section, model.key, manufacturer.key or manufacturer.value(0))


def _configuration(inf: Inf, system: System, name: str) -> Configuration:
    sections = [name, *_needed(inf, name)]
    hardware = [entry for part in sections for entry in inf.listed(f"{part}.HW", "AddReg")]
    copies = [copy for part in sections for copy in _copies(inf, part)]
    score = next(inf.entries(name, "FeatureScore"), None)
    return Configuration(
        name,
        tuple(service for part in sections for service in _services(inf, system, part)),
        tuple(setting for entry, section in hardware for setting in settings(inf, section, entry)),
        tuple(dict.fromkeys(copies)),
        0xFF if score is None else inf.number(score, f"0x{score.value(0)}") & 0xFF,
        _scope(inf, sections),
    )


def _scope(inf: Inf, sections: list[str]) -> int:
    """ConfigScope: which of its companions an install section has, as far as driver databases in public tell."""
    bits = {"Services": 0x4, "HW": 0x2, "Wdf": 0x100}
    return 1 | sum(bit for name, bit in bits.items() if any(inf.has(f"{section}.{name}") for section in sections))


def _needed(inf: Inf, name: str) -> list[str]:
    """The sections of this file that ``Needs`` includes; those of Windows' own files are applied when it runs."""
    return [section for _, section in inf.listed(name, "Needs") if inf.has(section)]


def _services(inf: Inf, system: System, section: str) -> Iterator[Service]:
    for entry in inf.entries(f"{section}.Services", "AddService"):
        name, install = inf.expand(entry.value(0)), inf.expand(entry.value(2))
        if not name:
            continue  # a null driver: the device needs none
        if "\\" in name or not inf.has(install):
            raise inf.error(f"service {name} has no section {install}", entry)
        flags = inf.number(entry, entry.value(1))
        events = inf.expand(entry.value(3))
        yield Service(
            name,
            _raw(inf, install, "DisplayName"),
            _number(inf, install, "ServiceType", entry),
            _number(inf, install, "StartType", entry),
            _number(inf, install, "ErrorControl", entry),
            _raw(inf, install, "ServiceBinary"),
            inf.value(install, "LoadOrderGroup"),
            tuple(text for _, text in inf.listed(install, "Dependencies")),
            bool(flags & ASSOCIATED),
            tuple(_added(inf, install)),
            tuple(_added(inf, events)) if events else (),
            _framework(inf, section, name),
        )


def _number(inf: Inf, section: str, key: str, service: Entry) -> int:
    entry = next(inf.entries(section, key), None)
    if entry is None:
        raise inf.error(f"[{section}] has no {key}", service)
    number = inf.number(entry, entry.value(0))
    if not 0 <= number <= 0xFFFFFFFF:
        raise inf.error(f"{key} can't be {number}", entry)
    return number


def _raw(inf: Inf, section: str, key: str) -> str:
    entry = next(inf.entries(section, key), None)
    return "" if entry is None else entry.value(0)


def _added(inf: Inf, section: str) -> Iterator[Setting]:
    for entry, name in inf.listed(section, "AddReg"):
        yield from settings(inf, name, entry)


def _framework(inf: Inf, section: str, service: str) -> str:
    """The version of the kernel-mode driver framework that a service is made for."""
    for entry in inf.entries(f"{section}.Wdf", "KmdfService"):
        if inf.expand(entry.value(0)).lower() == service.lower():
            return inf.value(inf.expand(entry.value(1)), "KmdfLibraryVersion")
    return ""


def _copies(inf: Inf, section: str) -> Iterator[Copy]:
    for entry, listed in inf.listed(section, "CopyFiles"):
        if listed.startswith("@"):
            yield Copy(listed[1:], _directory(inf, "DefaultDestDir", entry), listed[1:])
            continue
        if not inf.has(listed):
            raise inf.error(f"there is no section {listed}", entry)
        for file in inf.section(listed):
            name, source = inf.expand(file.key or file.value(0)), inf.expand(file.value(1))
            if name:
                yield Copy(source or name, _directory(inf, listed, file), name)


def _directory(inf: Inf, section: str, file: Entry) -> str | None:
    """Where the files of a list go, as :class:`Copy` has it."""
    entry = next(inf.entries("DestinationDirs", section), None)
    entry = entry or next(inf.entries("DestinationDirs", "DefaultDestDir"), None)
    if entry is None:
        raise inf.error(f"[DestinationDirs] has no place for [{section}]", file)
    number = inf.number(entry, entry.value(0))
    if number == IN_STORE:
        return ""
    if number not in DIRECTORIES:
        return None
    return "\\".join(filter(None, (DIRECTORIES[number], inf.expand(entry.value(1)).strip("\\"))))


def _catalog(inf: Inf, system: System) -> str:
    keys = (f"CatalogFile.NT{system.arch}", "CatalogFile.NT", "CatalogFile")
    return next(filter(None, (inf.value("Version", key) for key in keys)), "")


def _sources(inf: Inf, system: System) -> Iterator[str]:
    """``[SourceDisksFiles]``: ``file = disk,subdirectory``, below the directory that its disk has."""
    disks = {
        inf.expand(entry.key): inf.expand(entry.value(3))
        for section in ("SourceDisksNames", f"SourceDisksNames.{system.arch}")
        for entry in inf.section(section)
    }
    for section in (f"SourceDisksFiles.{system.arch}", "SourceDisksFiles"):
        for entry in inf.section(section):
            parts = (disks.get(inf.expand(entry.value(0)), ""), inf.expand(entry.value(1)), inf.expand(entry.key))
            names = "/".join(parts).replace("\\", "/").casefold().split("/")
            if entry.key and ".." not in names:
                yield "/".join(name for name in names if name not in ("", "."))


def _class_guid(inf: Inf) -> uuid.UUID:
    entry = next(inf.entries("Version", "ClassGuid"), None)
    try:
        return uuid.UUID(inf.expand("" if entry is None else entry.value(0)).strip())
    except ValueError as error:
        raise inf.error("[Version] has no ClassGuid that is one", entry) from error


def _driver_version(inf: Inf) -> tuple[int, tuple[int, int, int, int]]:
    """``DriverVer = mm/dd/yyyy,w.x.y.z`` as FILETIME and four numbers; all zero where there is none."""
    entry = next(inf.entries("Version", "DriverVer"), None)
    if entry is None:
        return 0, (0, 0, 0, 0)
    match = _DATE.fullmatch(inf.expand(entry.value(0)).strip())
    written = inf.expand(entry.value(1)).strip() or "0"
    numbers = [int(number) if number.isdecimal() and len(number) < 6 else -1 for number in written.split(".")]
    try:
        day = datetime.date(int(match[3]), int(match[1]), int(match[2])) if match else None
    except ValueError:
        day = None
    if day is None or day.year < 1601 or len(numbers) > 4 or not all(0 <= number <= 0xFFFF for number in numbers):
        written = ",".join(entry.values)[:60]
        raise inf.error(f"DriverVer can't be {written}", entry, "mm/dd/yyyy,w.x.y.z")
    a, b, c, d = [*numbers, 0, 0, 0][:4]
    return (day - datetime.date(1601, 1, 1)).days * 864_000_000_000, (a, b, c, d)
