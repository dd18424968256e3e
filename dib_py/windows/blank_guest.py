"""A guest with nothing in it but what says which Windows it will be: what is applied to it shows what would be changed.

That is how elements that are written for images serve an installation from media too (:mod:`configuration_set`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dib_py.windows.generations import Generation
from dib_py.windows.hive import Value
from dib_py.windows.installation import Installation, open_installation
from dib_py.windows.new_hive import Keys, hive
from dib_py.windows.volume import Directory

_WINDOWS = r"Microsoft\Windows NT\CurrentVersion"
_STATE = r"Microsoft\Windows\CurrentVersion\Setup\State"
_ENVIRONMENT = r"ControlSet001\Control\Session Manager\Environment"
_BEFORE_SETUP = "IMAGE_STATE_GENERALIZE_RESEAL_TO_OOBE"
_CONFIG = "Windows/System32/config"
# that every Windows has
FOLDERS = (
    "Program Files",
    "Program Files (x86)",
    "ProgramData",
    "Users",
    "Users/Default",
    "Users/Public",
    "Windows",
    "Windows/Panther",
    "Windows/Setup",
    "Windows/Setup/Scripts",
    "Windows/System32",
    "Windows/System32/drivers",
    "Windows/System32/config",
)
USER_HIVE = "Users/Default/NTUSER.DAT"


@dataclass(frozen=True)
class BlankGuest:
    """The guest as what is applied sees it, and the directory of this machine that is its C:."""

    installation: Installation
    root: Path


def make(directory: Path, generation: Generation, architecture: str, variables: Mapping[str, str]) -> BlankGuest:
    """Make one below ``directory``, an empty one: its volume, and copies of its hives beside it."""
    hives: dict[str, Keys] = {
        f"{_CONFIG}/SYSTEM": {
            "Select": [Value.dword("Current", 1), Value.dword("Default", 1)],
            _ENVIRONMENT: [Value.string("PROCESSOR_ARCHITECTURE", architecture.upper())],
        },
        f"{_CONFIG}/SOFTWARE": {
            _WINDOWS: [
                Value.string("ProductName", generation.title),
                Value.dword("CurrentMajorVersionNumber", generation.version[0]),
                Value.dword("CurrentMinorVersionNumber", generation.version[1]),
                Value.string("CurrentVersion", ".".join(map(str, generation.version))),
                Value.string("CurrentBuildNumber", str(generation.first)),
                Value.string("InstallationType", "Server" if generation.server else "Client"),
            ],
            _STATE: [Value.string("ImageState", _BEFORE_SETUP)],
        },
        f"{_CONFIG}/DEFAULT": {},
        USER_HIVE: {},
    }
    volume = directory / "C"
    for name in FOLDERS:
        (volume / name).mkdir(parents=True, exist_ok=True)
    for path, keys in hives.items():
        (volume / path).write_bytes(hive(keys, name=Path(path).name))
    return BlankGuest(open_installation(Directory(volume), None, directory / "hives", variables), volume)
