r"""The registry of an installation that is not running: its hives, under the names that a running Windows gives them.

``HKLM\SYSTEM\CurrentControlSet`` does not exist offline: it stands for the control set that ``Select`` names as the
current one, and for that of the next start as well where this is another. ``HKCU`` is the profile that every new user
gets a copy of, since no user is logged in.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from dib_py.errors import TargetError
from dib_py.windows.hive import Hive, Value
from dib_py.windows.volume import Volume

_ROOTS = {
    "HKEY_LOCAL_MACHINE": "HKLM",
    "HKEY_USERS": "HKU",
    "HKEY_CURRENT_USER": "HKCU",
    "HKEY_CLASSES_ROOT": r"HKLM\SOFTWARE\Classes",
    "HKCR": r"HKLM\SOFTWARE\Classes",
}
_IN_CONFIG = ("SYSTEM", "SOFTWARE", "SAM", "SECURITY", "COMPONENTS", "DRIVERS")
_CURRENT = re.compile(r"^CurrentControlSet(?=\\|$)", re.IGNORECASE)


@dataclass(frozen=True)
class HiveFile:
    """A hive's place on a volume, and the key under which a running Windows shows it."""

    mounted: str  # HKLM\SYSTEM
    path: str


def standard_hives(system_root: str) -> tuple[HiveFile, ...]:
    """Where an installation in ``system_root`` keeps its hives; not every generation has all of them."""
    config = f"{system_root}/System32/config"
    return (
        *(HiveFile(rf"HKLM\{name}", f"{config}/{name}") for name in _IN_CONFIG),
        HiveFile(r"HKU\.DEFAULT", f"{config}/DEFAULT"),
        HiveFile("HKCU", "/Users/Default/NTUSER.DAT"),
    )


class Registry:
    """The hives of one installation, each opened when it is first asked for; TargetError for what is not there."""

    def __init__(self, volume: Volume, scratch: Path, hives: Iterable[HiveFile] | None = None) -> None:
        """``scratch`` is a directory of this machine for copies of the hives, which the registry fills."""
        self._volume = volume
        self._scratch = scratch
        self._files = tuple(standard_hives("/Windows") if hives is None else hives)
        self._open: dict[str, Hive] = {}

    # -- reading
    def value(self, key: str, name: str) -> Value | None:
        """A value; None where the value, its key or its hive is missing."""
        return next((hive.value(path, name) for hive, path in self._places_if_any(key)), None)

    def values(self, key: str) -> dict[str, Value]:
        """All values of a key by name."""
        return next((hive.values(path) for hive, path in self._places_if_any(key)), {})

    def keys(self, key: str) -> list[str]:
        """The names of the keys below ``key``."""
        return next((hive.keys(path) for hive, path in self._places_if_any(key)), [])

    def exists(self, key: str) -> bool:
        return any(hive.exists(path) for hive, path in self._places_if_any(key))

    def has_hive(self, key: str) -> bool:
        """Whether the hive that would hold ``key`` is there."""
        return self._volume.exists(self._file_of(normal(key)).path)

    # -- writing
    def set(self, key: str, *values: Value) -> None:
        """Make a key with those above it, and set these values of it."""
        for hive, path in self.places(key):
            hive.set(path, values)

    def delete_value(self, key: str, name: str) -> None:
        for hive, path in self.places(key):
            hive.delete_value(path, name)

    def delete_key(self, key: str) -> None:
        for hive, path in self.places(key):
            hive.delete_key(path)

    def commit(self) -> list[str]:
        """Write every hive that was changed back to the volume; returns where they are mounted."""
        written = []
        for file in self._files:
            hive = self._open.get(file.mounted)
            if hive is not None and hive.changed:
                copy = self._copy(file)
                before = copy.with_name(f"{copy.name}.before")
                shutil.copyfile(copy, before)  # which hivex has not touched so far
                hive.commit()
                self._volume.update(file.path, before, copy)
                before.unlink()
                written.append(file.mounted)
        return written

    # -- where things are
    def control_sets(self) -> tuple[str, ...]:
        """The names of the control sets that ``CurrentControlSet`` stands for, the current one first."""
        hive = self.hive(r"HKLM\SYSTEM")
        numbers = [hive.value("Select", name) for name in ("Current", "Default")]
        if numbers[0] is None:
            raise TargetError(r"HKLM\SYSTEM has no Select!Current, which names the control set in use")
        return tuple(dict.fromkeys(f"ControlSet{number.number:03d}" for number in numbers if number is not None))

    def places(self, key: str) -> list[tuple[Hive, str]]:
        """The hive that holds ``key`` and the path in it; two of them where ``CurrentControlSet`` means two."""
        name = normal(key)
        file = self._file_of(name)
        path = name[len(file.mounted) :].lstrip("\\")
        hive = self.hive(file.mounted)
        if file.mounted == r"HKLM\SYSTEM" and _CURRENT.match(path):
            rest = _CURRENT.sub("", path)
            return [(hive, control_set + rest) for control_set in self.control_sets()]
        return [(hive, path)]

    def hive(self, mounted: str) -> Hive:
        """The hive that is mounted there, as in ``HKLM\\SYSTEM``."""
        file = self._file_of(normal(mounted))
        known = self._open.get(file.mounted)
        if known is None:
            if not self._volume.exists(file.path):
                raise TargetError(f"the image has no {file.path}, which holds {file.mounted}")
            copy = self._copy(file)
            copy.parent.mkdir(parents=True, exist_ok=True)
            self._volume.fetch(file.path, copy)
            known = self._open[file.mounted] = Hive(copy, file.mounted)
        return known

    def _places_if_any(self, key: str) -> list[tuple[Hive, str]]:
        return self.places(key) if self.has_hive(key) else []

    def _file_of(self, name: str) -> HiveFile:
        folded = name.casefold() + "\\"
        for file in self._files:
            if folded.startswith(file.mounted.casefold() + "\\"):
                return file
        known = ", ".join(file.mounted for file in self._files)
        raise TargetError(f"{name}: no hive of the image holds that key", hint=f"keys begin with {known}")

    def _copy(self, file: HiveFile) -> Path:
        return self._scratch / file.mounted.replace("\\", "-")


def normal(key: str) -> str:
    r"""A key's path with the short name of its root: ``HKLM\SYSTEM\Select``."""
    root, _, rest = key.strip("\\").partition("\\")
    short = _ROOTS.get(root.upper(), root.upper())
    return f"{short}\\{rest}" if rest else short
