r"""Drivers in Windows 7, Server 2008 R2 and before: the database of critical devices.

While these start they look the hardware ids of devices up in ``Control\CriticalDeviceDatabase``; what is found there
gets its service without an INF file. Everything else Plug and Play installs when it meets the device, from
``\Windows\INF`` and the directories of ``DevicePath``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from dib_py.windows import driver_store
from dib_py.windows.driver_choice import Chosen
from dib_py.windows.hive import Value
from dib_py.windows.installation import Installation

_DEVICES = r"HKLM\SYSTEM\CurrentControlSet\Control\CriticalDeviceDatabase"
_SEARCHED = r"HKLM\SOFTWARE\Microsoft\Windows\CurrentVersion"
_SUBSYSTEM = re.compile(r"&SUBSYS_[0-9A-F]{8}", re.IGNORECASE)


def install(chosen: Chosen, stage: str, guest: Installation) -> None:
    """Arm a package's boot devices, and make all of it known to Plug and Play; ``stage`` has its files."""
    driver_store.copy_files(chosen, guest)
    for name, content in chosen.stored.items():  # an INF in \Windows\INF is searched for its files beside it
        if "/" not in name and name != chosen.package.name:
            guest.volume.write(guest.windows(f"INF/{name}"), content)
    if chosen.set_up_at_start:
        for configuration in chosen.package.configurations:
            for service in configuration.services:
                driver_store.add_service(service, chosen, guest)
    if chosen.starts_at_boot:
        _arm(chosen, guest)
    _add_to_searched(stage, guest)


def _arm(chosen: Chosen, guest: Installation) -> None:
    services = {one.name: one.service for one in chosen.package.configurations}
    for device in chosen.package.devices:
        service = services[device.configuration]
        if service is None:
            continue
        for id in _ids(device.id):
            guest.registry.set(
                rf"{_DEVICES}\{id}",
                Value.string("Service", service.name),
                Value.string("ClassGUID", f"{{{chosen.package.class_guid}}}".upper()),
            )


def _ids(id: str) -> Iterator[str]:
    """An id as the name of a key, and that without the subsystem: both are among those that a PCI device has."""
    name = id.replace("\\", "#")
    yield name
    if "&REV_" in name.upper() and _SUBSYSTEM.search(name):
        yield _SUBSYSTEM.sub("", name)


def _add_to_searched(stage: str, guest: Installation) -> None:
    there = guest.registry.value(_SEARCHED, "DevicePath")
    paths = [r"%SystemRoot%\inf"] if there is None else there.text.split(";")
    if stage.casefold() not in map(str.casefold, paths):
        guest.registry.set(_SEARCHED, Value.string("DevicePath", ";".join([*paths, stage]), expand=True))
