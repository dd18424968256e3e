"""The part of an answer file that Windows Setup itself reads, when it is started from media: disk, edition, drivers.

Formats and names are those of Microsoft's "Unattended Windows Setup Reference". Two things are not known beforehand:
the letter that Setup gives to the medium with the drivers, so that all letters are tried, and whether the first disk is
empty, so that it is emptied.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree as ET

from dib_py.disk.size import parse_size
from dib_py.errors import UsageError, nearest
from dib_py.units import GIB
from dib_py.windows.answer_file import NAMESPACE, WCM, can_hold, empty
from dib_py.windows.generations import GENERATIONS, Generation

_LETTERS = "DEFGHIJKLMN"  # C: is the disk
_UI, _SETUP = "Microsoft-Windows-International-Core-WinPE", "Microsoft-Windows-Setup"
_PNP, _DEPLOYMENT = "Microsoft-Windows-PnpCustomizationsWinPE", "Microsoft-Windows-Deployment"
_CHECKS = ("BypassTPMCheck", "BypassSecureBootCheck", "BypassRAMCheck")  # of Windows 11's Setup, below LabConfig
_GENERATION, _FIRMWARE = "DIB_WINDOWS_GENERATION", "DIB_WINDOWS_FIRMWARE"
_DISK_SIZE = "DIB_WINDOWS_DISK_SIZE"
_VARIABLES = {
    "DIB_WINDOWS_EDITION": "edition",
    "DIB_PRODUCT_KEY": "product_key",
    "DIB_LOCALE": "language",
    "DIB_LOCALE_UI": "interface",
    "DIB_LOCALE_KEYBOARD": "keyboard",
}
_REST = 0  # for a partition that takes what is left


@dataclass(frozen=True)
class SetupChoices:
    """What is chosen for an installation.

    ``edition`` is an image of the media, by number or name; empty where the key or the media leave no choice.
    ``drivers`` is the directory of the config medium that has them, empty for none.
    """

    generation: Generation
    uefi: bool = True
    edition: str = ""
    product_key: str = ""
    language: str = "en-US"
    interface: str = ""  # the language of menus, if it is another
    keyboard: str = "0409:00000409"
    drivers: str = ""
    full_name: str = "dib-py"
    disk_size: int = 40 * GIB  # bytes; Setup itself takes all of the disk, whatever its size

    @staticmethod
    def of(variables: Mapping[str, str]) -> SetupChoices:
        """Those that a build's variables say; UsageError for one that makes no sense."""
        for variable in _VARIABLES:
            if not can_hold(variables.get(variable, "")):
                raise UsageError(f"{variable} holds what is no text of UTF-8, or a control character")
        chosen: dict[str, Any] = {
            name: variables[variable] for variable, name in _VARIABLES.items() if variables.get(variable)
        }
        firmware = variables.get(_FIRMWARE) or "uefi"
        if firmware.casefold() not in ("uefi", "bios"):
            raise UsageError(f"{_FIRMWARE} is '{firmware}'", hint="uefi or bios")
        if size := variables.get(_DISK_SIZE):
            try:
                chosen["disk_size"] = parse_size(size)
            except ValueError as error:
                raise UsageError(f"{_DISK_SIZE}: {error}") from error
        return SetupChoices(_generation(variables), uefi=firmware.casefold() == "uefi", **chosen)


def _generation(variables: Mapping[str, str]) -> Generation:
    name = variables.get(_GENERATION, "")
    folded = name.casefold().removeprefix("windows").removeprefix(" server").strip()
    found = next((one for one in GENERATIONS if one.name.casefold() == folded), None)
    if found is None:
        known = [one.name for one in GENERATIONS]
        meant = nearest(name, known, 1)
        hint = f"did you mean {meant[0]}? " if name and meant else ""
        what = f"is '{name}', which is no Windows" if name else "does not say which Windows the medium is for"
        raise UsageError(f"{_GENERATION} {what}", hint=f"{hint}there are {', '.join(known)}")
    return found


@dataclass(frozen=True)
class _Part:
    kind: str  # EFI, MSR or Primary
    mib: int
    format: str = ""
    label: str = ""
    letter: str = ""
    active: bool = False


_UEFI_PARTS = (
    _Part("EFI", 260, "FAT32", "System"),
    _Part("MSR", 16),
    _Part("Primary", _REST, "NTFS", "Windows", "C"),
)
_BIOS_PARTS = (
    _Part("Primary", 500, "NTFS", "System Reserved", active=True),
    _Part("Primary", _REST, "NTFS", "Windows", "C"),
)


def answers(choices: SetupChoices) -> ET.Element:
    """An answer file with the windowsPE pass; components get their architecture where it is merged."""
    root = empty()
    settings = ET.SubElement(root, _tag("settings"), {"pass": "windowsPE"})
    _languages(_component(settings, _UI), choices)
    if choices.drivers:
        _driver_paths(_component(settings, _PNP), choices.drivers)
    setup = _component(settings, _SETUP)
    if choices.generation.name == "11":
        lab = r"HKLM\SYSTEM\Setup\LabConfig"
        _commands(setup, [rf"reg.exe add {lab} /v {name} /t REG_DWORD /d 1 /f" for name in _CHECKS])
    parts = _UEFI_PARTS if choices.uefi else _BIOS_PARTS
    _disk(setup, parts)
    _image(setup, choices, len(parts))
    _user(setup, choices)
    # what is in $OEM$ beside the answer file is copied to the new installation
    _text(setup, "UseConfigurationSet", "true")
    return root


def commands(name: str, lines: list[str]) -> ET.Element:
    """An answer file that runs commands in a configuration pass, in their order; an exit code above 2 ends Setup."""
    root = empty()
    settings = ET.SubElement(root, _tag("settings"), {"pass": name})
    component = _component(settings, _DEPLOYMENT)
    _commands(component, lines)
    for command in component.iter(_tag("RunSynchronousCommand")):
        _text(command, "WillReboot", "OnRequest")  # else Setup makes nothing of exit codes
    return root


def _languages(component: ET.Element, choices: SetupChoices) -> None:
    interface = choices.interface or choices.language
    _text(ET.SubElement(component, _tag("SetupUILanguage")), "UILanguage", interface)
    _text(component, "InputLocale", choices.keyboard)
    for name, language in (
        ("SystemLocale", choices.language),
        ("UILanguage", interface),
        ("UserLocale", choices.language),
    ):
        _text(component, name, language)


def _driver_paths(component: ET.Element, directory: str) -> None:
    paths = ET.SubElement(component, _tag("DriverPaths"))
    for number, letter in enumerate(_LETTERS, 1):
        item = ET.SubElement(
            paths, _tag("PathAndCredentials"), {f"{{{WCM}}}action": "add", f"{{{WCM}}}keyValue": str(number)}
        )
        _text(item, "Path", rf"{letter}:\{directory}")


def _disk(setup: ET.Element, parts: tuple[_Part, ...]) -> None:
    configuration = ET.SubElement(setup, _tag("DiskConfiguration"))
    _text(configuration, "WillShowUI", "OnError")
    disk = _added(configuration, "Disk")
    _text(disk, "DiskID", "0")
    _text(disk, "WillWipeDisk", "true")
    create = ET.SubElement(disk, _tag("CreatePartitions"))
    modify = ET.SubElement(disk, _tag("ModifyPartitions"))
    for number, part in enumerate(parts, 1):
        made = _added(create, "CreatePartition")
        _text(made, "Order", str(number))
        _text(made, "Type", part.kind)
        _text(made, *(("Extend", "true") if part.mib == _REST else ("Size", str(part.mib))))
        changed = _added(modify, "ModifyPartition")
        _text(changed, "Order", str(number))
        _text(changed, "PartitionID", str(number))
        for name, value in (
            ("Format", part.format),
            ("Label", part.label),
            ("Letter", part.letter),
            ("Active", "true" if part.active else ""),
        ):
            if value:
                _text(changed, name, value)


def _image(setup: ET.Element, choices: SetupChoices, partition: int) -> None:
    image = ET.SubElement(ET.SubElement(setup, _tag("ImageInstall")), _tag("OSImage"))
    if choices.edition:
        chosen = _added(ET.SubElement(image, _tag("InstallFrom")), "MetaData")
        _text(chosen, "Key", "/IMAGE/INDEX" if choices.edition.isdigit() else "/IMAGE/NAME")
        _text(chosen, "Value", choices.edition)
    to = ET.SubElement(image, _tag("InstallTo"))
    _text(to, "DiskID", "0")
    _text(to, "PartitionID", str(partition))
    _text(image, "WillShowUI", "OnError")


def _user(setup: ET.Element, choices: SetupChoices) -> None:
    user = ET.SubElement(setup, _tag("UserData"))
    _text(user, "AcceptEula", "true")
    _text(user, "FullName", choices.full_name)
    if choices.product_key:
        key = ET.SubElement(user, _tag("ProductKey"))
        _text(key, "Key", choices.product_key)
        _text(key, "WillShowUI", "OnError")


def _commands(component: ET.Element, lines: list[str]) -> None:
    listed = ET.SubElement(component, _tag("RunSynchronous"))
    for number, line in enumerate(lines, 1):
        command = _added(listed, "RunSynchronousCommand")
        _text(command, "Order", str(number))
        _text(command, "Path", line)


def _component(settings: ET.Element, name: str) -> ET.Element:
    return ET.SubElement(settings, _tag("component"), {"name": name})


def _added(parent: ET.Element, name: str) -> ET.Element:
    return ET.SubElement(parent, _tag(name), {f"{{{WCM}}}action": "add"})


def _text(parent: ET.Element, name: str, text: str) -> None:
    ET.SubElement(parent, _tag(name)).text = text


def _tag(name: str) -> str:
    return f"{{{NAMESPACE}}}{name}"
