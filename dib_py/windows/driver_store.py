r"""Driver packages in Windows 8 and later: the driver store, the driver databases, services, locked files.

What ``DISM /Add-Driver`` leaves in an image that does not run, as it is known from exports of real ones. Packages of
which a device is set up while Windows starts are in ``HKLM\SYSTEM\DriverDatabase``, configurations and all; others are
only announced in ``HKLM\DRIVERS\DriverDatabase``, and Plug and Play does the rest when it meets the device.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable, Iterator

from dib_py.windows.driver_choice import Chosen
from dib_py.windows.driver_package import DIRECTORIES, IN_STORE, LONE_STRING, Configuration, Device, Service
from dib_py.windows.hive import NONE, QWORD, Value
from dib_py.windows.inf import Inf
from dib_py.windows.inf_registry import Setting
from dib_py.windows.installation import Installation

PREFIX = "oem-"  # of INF files; Windows 11 24H2 does not accept oem<number>.inf that it has not numbered itself
_START, _LATER = r"HKLM\SYSTEM\DriverDatabase", r"HKLM\DRIVERS\DriverDatabase"
_LOCKED = r"HKLM\SOFTWARE\Microsoft\Windows\CurrentVersion\Setup\PnpLockdownFiles"
_REPOSITORY = "System32/DriverStore/FileRepository"
_STORE = r"%SystemRoot%\System32\DriverStore\FileRepository"
_SERVICES = r"HKLM\SYSTEM\CurrentControlSet\Services"
_SIGNER = "Microsoft Windows Hardware Compatibility Publisher"
_SCORE_AT_START, _SCORE = 0x0D000005, 0x0D000004
_STATUS = 0x12
_BOOT_TAG = 0x21  # after the port drivers of the group
_STORAGE_GROUP = "scsi miniport"
_FOREIGN = "guestor.inf"  # by which virt-v2v and virt-customize make storage start; the real packages take its place


def installed_inf(chosen: Chosen) -> str:
    return PREFIX + chosen.package.name


def install(chosen: Chosen, stage: str, guest: Installation) -> None:
    """Put a package into the store and the databases; ``stage`` is the directory that its files are said to be from."""
    _remove_other_release(chosen, guest)
    copy_files(chosen, guest)
    for name, content in chosen.stored.items():
        guest.volume.write(guest.windows(f"{_REPOSITORY}/{chosen.label}/{name}"), content)
    if chosen.set_up_at_start:
        for configuration in chosen.package.configurations:
            for service in configuration.services:
                add_service(service, chosen, guest)
        _lock_files(chosen, guest)
    _register(chosen, stage, guest)


def _remove_other_release(chosen: Chosen, guest: Installation) -> None:
    """What an earlier build left of the same INF file, whose name the new package takes over."""
    for database in (_START, _LATER):
        active = guest.registry.value(rf"{database}\DriverInfFiles\{installed_inf(chosen)}", "Active")
        other = "" if active is None else active.text
        if other.startswith(f"{chosen.package.name}_") and other != chosen.label:
            guest.registry.delete_key(rf"{database}\DriverPackages\{other}")
            guest.volume.remove(guest.windows(f"{_REPOSITORY}/{other}"))


def copy_files(chosen: Chosen, guest: Installation) -> None:
    """The files of a package where its INF wants them, and the INF among Windows' own."""
    inf = chosen.stored[chosen.package.name]
    guest.volume.write(guest.windows(f"INF/{installed_inf(chosen)}"), inf)
    if not chosen.set_up_at_start:
        return
    by_name = {name.rpartition("/")[2]: content for name, content in chosen.stored.items()}
    for configuration in chosen.package.configurations:
        for copy in configuration.copies:
            if copy.place:
                place = copy.place.removeprefix("%SystemRoot%\\").replace("\\", "/")
                directory, _, name = place.rpartition("/")
                guest.volume.write(guest.windows(f"{directory}/{name.lower()}"), by_name[copy.source.casefold()])


def add_service(service: Service, chosen: Chosen, guest: Installation) -> None:
    """A service, in every control set that may be started from; nothing may keep it from starting."""
    key = rf"{_SERVICES}\{service.name}"
    boot = chosen.boot is True and service.associated
    start = 0 if boot else service.start
    shown = _display_name(chosen.package.inf, service.display_name, installed_inf(chosen))
    values = [
        Value.dword("Type", service.type),
        Value.dword("Start", start),
        Value.dword("ErrorControl", service.error_control),
        Value.string("ImagePath", _image(service.binary, chosen.label, boot=start == 0), expand=True),
        _owners(key, chosen, guest),
        *([shown] if shown else []),
        *([Value.string("Group", service.group)] if service.group else []),
        *([Value.strings("DependOnService", service.dependencies)] if service.dependencies else []),
    ]
    if start == 0 and service.group.casefold() == _STORAGE_GROUP:
        values.append(Value.dword("Tag", _BOOT_TAG))
    guest.registry.set(key, *values)
    apply_settings(key, service.settings, guest)
    if service.framework:
        guest.registry.set(rf"{key}\Parameters\Wdf", Value.string("KmdfLibraryVersion", service.framework))
    if service.events:
        apply_settings(rf"{_SERVICES}\EventLog\System\{service.name}", service.events, guest)
    guest.registry.delete_key(rf"{key}\StartOverride")


def _image(binary: str, package: str, *, boot: bool) -> str:
    r"""The ImagePath for a ServiceBinary like ``%12%\viostor.sys``: the boot loader counts from ``\Windows``."""

    def place(match: re.Match[str]) -> str:
        number = int(match[1])
        return rf"{_STORE}\{package}" if number == IN_STORE else DIRECTORIES.get(number, match[0])

    path = re.sub(r"%(\d{1,5})%", place, binary)
    rest = path.removeprefix("%SystemRoot%\\")
    if rest == path or rest.lower().endswith(".exe"):
        return path
    return rest.replace("System32", "system32", 1) if boot else rf"\SystemRoot\{rest}"


def _resolved(inf: Inf, text: str) -> str:
    """``text`` as the driver database has it: one string keeps its name, in small letters."""
    match = LONE_STRING.fullmatch(text)
    return text.lower() if match and match[1].lower() in inf.strings else inf.expand(text)


def _display_name(inf: Inf, text: str, installed: str) -> Value | None:
    """A service's DisplayName, with the name of the string that it is in the installed INF."""
    if not text:
        return None
    match = LONE_STRING.fullmatch(text)
    shown = inf.expand(text)
    return Value.string("DisplayName", f"@{installed},{text};{shown}" if match and shown != text else shown)


def apply_settings(base: str, settings: Iterable[Setting], guest: Installation) -> None:
    """Settings of an INF file below the key ``base``, all of one key at once: hives grow with each write."""
    by_key: dict[str, list[Value]] = {}
    for setting in settings:
        key = f"{base}\\{setting.key}".rstrip("\\")
        values = by_key.setdefault(key, [])
        if setting.value is None:
            continue
        there = guest.registry.value(key, setting.value.name) if setting.keep or setting.append else None
        if there is None or not setting.keep:
            values.append(_appended(there, setting.value) if setting.append and there else setting.value)
    for key, values in by_key.items():
        guest.registry.set(key, *values)


def _owners(key: str, chosen: Chosen, guest: Installation) -> Value:
    """The INF files that a key is of: those that are known already, and ours."""
    ours = Value.strings("Owners", [installed_inf(chosen)])
    there = guest.registry.value(key, "Owners")
    return ours if there is None else _appended(there, ours)


def _appended(there: Value, more: Value) -> Value:
    return Value.strings(there.name, dict.fromkeys([*there.texts, *more.texts]))


def _lock_files(chosen: Chosen, guest: Installation) -> None:
    """Files that only Plug and Play may replace, or that it at least knows the owner of."""
    for configuration in chosen.package.configurations:
        for copy in configuration.copies:
            if copy.place:
                source = rf"{_STORE}\{chosen.label}\{copy.source}"
                key = "\\".join((_LOCKED, copy.place.replace("\\", "/")))  # the path is one key's name
                guest.registry.set(
                    key,
                    Value.dword("Class", 4 if chosen.package.locked_down else 5),
                    _owners(key, chosen, guest),
                    Value.string("Source", source, expand=True),
                )


def database_of(chosen: Chosen, guest: Installation) -> str:
    """The key of the driver database for a package; Windows 8 and 2012 have but one."""
    later = not chosen.set_up_at_start and guest.registry.has_hive(_LATER)
    return _LATER if later else _START


def _register(chosen: Chosen, stage: str, guest: Installation) -> None:
    database, package = database_of(chosen, guest), chosen.package
    for key, values in _entries(chosen, stage).items():
        guest.registry.set(rf"{database}\{key}", *values)
    if database == _START:
        for configuration in package.configurations if chosen.set_up_at_start else ():
            _configure(rf"{database}\DriverPackages\{chosen.label}\Configurations", configuration, guest)
    _note_numbers(database, package.date, guest)


def _entries(chosen: Chosen, stage: str) -> dict[str, list[Value]]:
    """What a package has in a driver database, without its configurations."""
    package, inf, label = chosen.package, installed_inf(chosen), chosen.label
    active = [Value.strings("", [label]), Value.string("Active", label)]
    entries: dict[str, list[Value]] = {
        rf"DeviceIds\{{{package.class_guid}}}": [Value(inf, NONE, b"")],
        rf"DriverInfFiles\{inf}": active,
        rf"DriverPackages\{label}": [
            Value.string("", inf),
            Value.string("Catalog", package.catalog),
            Value("FileSize", QWORD, struct.pack("<Q", sum(map(len, chosen.stored.values())))),
            Value.string("InfName", package.name),
            Value.string("OemPath", stage),
            Value.string("Provider", package.provider),
            Value.string("SignerName", _SIGNER),
            Value.dword("SignerScore", _SCORE_AT_START if chosen.starts_at_boot else _SCORE),
            Value.dword("StatusFlags", _STATUS),
            Value.binary("Version", package.version_blob()),
        ],
    }
    scores = {one.name: one.feature_score for one in package.configurations}
    for device in package.devices:
        # how good a match it is: the first id of a line names the hardware, the others what it is compatible with
        rank = bytes([min(device.rank, 0xFF), scores[device.configuration], 0, 0])
        entries.setdefault(rf"DeviceIds\{device.id}", [Value.binary(inf, rank)])
    if not chosen.set_up_at_start:
        return entries
    active.append(Value.strings("Configurations", [one.name for one in package.configurations]))
    for device in package.devices:
        entries.setdefault(rf"DriverPackages\{label}\Descriptors\{device.id}", list(_descriptor(chosen, device)))
    strings = [Value.string(name, text) for name, text in package.strings.items()]
    if strings:
        entries[rf"DriverPackages\{label}\Strings"] = strings
    return entries


def _descriptor(chosen: Chosen, device: Device) -> Iterator[Value]:
    yield Value.string("Configuration", device.configuration)
    yield Value.string("Description", _resolved(chosen.package.inf, device.description))
    yield Value.string("Manufacturer", _resolved(chosen.package.inf, device.manufacturer))


def _configure(configurations: str, configuration: Configuration, guest: Installation) -> None:
    key = rf"{configurations}\{configuration.name}"
    service = configuration.service
    guest.registry.set(
        key,
        Value.dword("ConfigFlags", 0),
        Value.dword("ConfigScope", configuration.scope),
        *([Value.string("Service", service.name)] if service else []),
    )
    if configuration.device_settings:
        apply_settings(rf"{key}\Device", configuration.device_settings, guest)
    for one in configuration.services:
        if one.settings:
            apply_settings(rf"{key}\Services\{one.name}", one.settings, guest)


def _note_numbers(database: str, date: int, guest: Installation) -> None:
    """The bitmap of INF numbers that are taken, and when the database was last added to.

    Our INF files have no numbers. The first of the bitmap is marked as taken nevertheless, as by others that write this
    database; what is marked already stays.
    """
    there = guest.registry.value(database, "OemInfMap")
    marked = bytearray(there.data if there is not None and there.data else b"\0")
    marked[0] |= 0x80
    updated = guest.registry.value(database, "UpdateDate")
    latest = max(date, updated.number if updated is not None else 0)
    guest.registry.set(
        database, Value.binary("OemInfMap", bytes(marked)), Value.binary("UpdateDate", struct.pack("<Q", latest))
    )


def remove_foreign(guest: Installation) -> bool:
    """Remove the entries by which other tools made storage start; left there they break ``pnputil /enum-drivers``."""
    registry = guest.registry
    if not registry.exists(rf"{_START}\DriverInfFiles\{_FOREIGN}"):
        return False
    registry.delete_key(rf"{_START}\DriverInfFiles\{_FOREIGN}")
    for label in registry.keys(rf"{_START}\DriverPackages"):
        if label.casefold().startswith(f"{_FOREIGN}_"):
            registry.delete_key(rf"{_START}\DriverPackages\{label}")
    for bus in registry.keys(rf"{_START}\DeviceIds"):
        for id in registry.keys(rf"{_START}\DeviceIds\{bus}"):
            registry.delete_value(rf"{_START}\DeviceIds\{bus}\{id}", _FOREIGN)
    return True
