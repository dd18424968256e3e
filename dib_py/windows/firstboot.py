r"""``firstboot.d/NN-name.{cmd,ps1}``: scripts that the finished image runs once, as SYSTEM, when it first starts.

They go to ``%SystemRoot%\Setup\FirstBoot``, which only Administrators and SYSTEM can look into, with a runner that
works through them in order, over restarts, and writes a log and ``complete.txt`` in the end. What starts it depends on
the image's state: Setup's SetupComplete.cmd where Setup goes on to its end at the first start; else the command that
Windows runs instead of starting up. That one can install nothing, so both only register a task for every start. Nothing
that is not Windows' own is needed. ``first_boot/`` has the runner and its kin.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from dib_py.errors import BaseError, FileError
from dib_py.windows import refusals, templating
from dib_py.windows.hive import Value
from dib_py.windows.inspection import COMPLETE
from dib_py.windows.volume import Access

if TYPE_CHECKING:
    from dib_py.windows.installation import Installation

PLACE = "Setup/FirstBoot"  # below the system root
SETUP_COMPLETE = "Setup/Scripts/SetupComplete.cmd"
CHAINED = "Setup/Scripts/SetupComplete-before-dib.cmd"
SETUP = r"HKLM\SYSTEM\Setup"
COMMAND_LINE = r"cmd.exe /d /c %SystemRoot%\Setup\FirstBoot\bootstrap.cmd"
SENTINEL = "complete.txt"

_SOURCES = Path(__file__).with_name("first_boot")
_MARK = b"Made by dib-py."
_NAME = re.compile(r"(?P<number>\d+)-(?P<rest>[A-Za-z0-9][A-Za-z0-9_.-]*)\.(?P<suffix>cmd|ps1)", re.IGNORECASE)
_SPECIAL = re.compile(r'[\^&|<>"()]')
_LONGEST_LINE = 8191  # characters that cmd.exe takes
_SETTINGS = {  # what the runner calls them, and the largest number that makes sense
    "DIB_FIRSTBOOT_TRIES": ("TRIES", 100),
    "DIB_FIRSTBOOT_PAUSE": ("PAUSE", 3600),
}
_SERIAL = "DIB_FIRSTBOOT_SERIAL"


@dataclass(frozen=True)
class FirstBootScript:
    """A script as it will lie in the guest, and the lines that set its variables and the runner's."""

    path: Path = field(compare=False)
    name: str = ""
    content: bytes = b""
    environment: bytes = field(default=b"", repr=False)
    settings: bytes = b""


def parse(path: Path, variables: Mapping[str, str]) -> FirstBootScript:
    """Read a script, and the variables that it names; FileError for what cmd.exe could not be given."""
    match = _NAME.fullmatch(path.name)
    if match is None:
        raise FileError(path, "scripts are called NN-name.cmd or NN-name.ps1, of letters, digits, - _ and .")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise FileError(path, f"cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        line = path.read_bytes()[: error.start].count(b"\n") + 1
        raise FileError(path, "is not UTF-8 text", line=line) from error
    element = path.parent.parent.name
    name = f"{int(match['number']):04d}-{element}-{match['rest']}.{match['suffix'].lower()}"
    named = sorted(templating.names(text) - {"DIB_FIRSTBOOT"})
    wanted = {variable: variables[variable] for variable in named if variable in variables}
    is_powershell = name.endswith(".ps1")
    return FirstBootScript(
        path,
        name,
        _windows_text(text, mark=is_powershell),
        _environment(wanted, path),
        _settings(variables, path),
    )


def check(wanted: FirstBootScript, guest: Installation) -> None:
    """BaseError for an image in which somebody else's command runs at the next start, or that can't be added to."""
    there = refusals.compressed(guest.volume, guest.windows(SETUP_COMPLETE))
    refusals.refuse((*refusals.audit_mode(guest.facts), *there))
    command = guest.registry.value(SETUP, "CmdLine")
    if _is_complete(guest) and _setup_type(guest) != 0 and command is not None and command.text != COMMAND_LINE:
        raise BaseError(
            f"Setup of the image is through, but it is to run a command at the next start: {command.text}",
            hint="start the image once and shut it down, so that the command has run",
        )


def apply(wanted: FirstBootScript, guest: Installation) -> None:
    for file in ("run.cmd", "register.cmd", "bootstrap.cmd"):
        _write(guest, f"{PLACE}/{file}", _windows_text((_SOURCES / file).read_text()))
    task = (_SOURCES / "task.xml").read_text()
    _write(guest, f"{PLACE}/task.xml", task.replace("\n", "\r\n").encode("utf-16"))
    _write(guest, f"{PLACE}/scripts/{wanted.name}", wanted.content)
    for path, content in (
        (f"{PLACE}/environment/{wanted.name}.cmd", wanted.environment),
        (f"{PLACE}/settings.cmd", wanted.settings),
    ):
        if content:
            _write(guest, path, content)
        else:
            guest.volume.remove(guest.windows(path))
    guest.volume.remove(guest.windows(f"{PLACE}/{SENTINEL}"))  # of another first boot
    if _is_complete(guest):
        guest.registry.set(SETUP, Value.string("CmdLine", COMMAND_LINE), Value.dword("SetupType", 2))
    else:
        _hook_setup_complete(guest)


def _hook_setup_complete(guest: Installation) -> None:
    place, chained = guest.windows(SETUP_COMPLETE), guest.windows(CHAINED)
    if guest.volume.exists(place):
        there = guest.volume.read(place)
        if _MARK not in there:
            _write(guest, CHAINED, there, Access.PUBLIC)
            guest.volume.remove(place)
            print(f"{place} was there already: it is run after ours, from {chained}")
    _write(guest, SETUP_COMPLETE, _windows_text((_SOURCES / "SetupComplete.cmd").read_text()), Access.PUBLIC)


def _write(guest: Installation, path: str, content: bytes, access: Access = Access.PRIVATE) -> None:
    """A file anew, so that no access of one that was there stays; nothing where it is already as it should be."""
    place = guest.windows(path)
    if guest.volume.exists(place):
        if guest.volume.read(place) == content:
            return
        guest.volume.remove(place)
    guest.volume.write(place, content, access)


def _is_complete(guest: Installation) -> bool:
    """Whether Setup is through: where the image does not say, it has nothing more to run."""
    if guest.facts.image_state:
        return guest.facts.image_state == COMPLETE
    return _setup_type(guest) == 0


def _setup_type(guest: Installation) -> int:
    value = guest.registry.value(SETUP, "SetupType")
    return 0 if value is None else value.number


# -- what cmd.exe reads
def _windows_text(text: str, *, mark: bool = False) -> bytes:
    """With Windows' line ends; ``mark`` tells Windows PowerShell that what is not ASCII is UTF-8."""
    encoded = "\r\n".join(text.replace("\r\n", "\n").split("\n")).encode()
    return (b"\xef\xbb\xbf" if mark and not text.isascii() else b"") + encoded


def _environment(variables: Mapping[str, str], path: Path) -> bytes:
    lines = list(_set_lines(variables, path))
    if not lines:
        return b""
    unicode = [] if all(line.isascii() for line in lines) else ["chcp 65001 >nul"]
    return _windows_text("\n".join(("@echo off", *unicode, *lines, "")))


def _set_lines(variables: Mapping[str, str], path: Path) -> Iterator[str]:
    for name, value in variables.items():
        if not templating.is_unicode(value):
            raise FileError(path, f"the value of {name} is no UTF-8 text")
        if any(character < " " for character in value):
            raise FileError(path, f"the value of {name} has a line end or tab, which cmd.exe can't be given")
        escaped = _SPECIAL.sub(r"^\g<0>", value).replace("%", "%%")
        line = f"set {name}={escaped}"
        if len(line) > _LONGEST_LINE:
            raise FileError(path, f"the value of {name} is too long: cmd.exe takes {_LONGEST_LINE} characters a line")
        yield line


def _settings(variables: Mapping[str, str], path: Path) -> bytes:
    lines = []
    for variable, (name, highest) in _SETTINGS.items():
        value = variables.get(variable)
        if not value:
            continue
        if not re.fullmatch(r"\d{1,5}", value) or int(value) > highest:
            raise FileError(path, f"{variable} is {value!r}, and not a number up to {highest}")
        lines.append(f'set "{name}={int(value)}"')
    serial = variables.get(_SERIAL)
    if serial:
        if not re.fullmatch(r"COM\d{1,3}", serial, re.IGNORECASE):
            raise FileError(path, f"{_SERIAL} is {serial!r}, and not a port like COM1")
        lines.append(f'set "SERIAL={serial.upper()}"')
    return _windows_text("\n".join(("@echo off", *lines, ""))) if lines else b""
