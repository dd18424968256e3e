"""The packages that a Linux has, by its package manager's own data: none of its programs is run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from dib_py.packages.installed import DPKG_STATUS, RPM_DATABASES, parse_dpkg_status

APK = "/lib/apk/db/installed"
APK_OF_NOW = "/usr/lib/apk/db/installed"  # since Alpine 3.22
PACMAN = "/var/lib/pacman/local"
_AND = ", "  # between versions, in which no package manager has it


class Files(Protocol):
    """See :class:`dib_py.inside.guests.LinuxFiles`."""

    def read(self, path: str) -> str: ...
    def names(self, path: str) -> list[str]: ...
    def exists(self, path: str) -> bool: ...


@dataclass(frozen=True)
class Packages:
    """``versions`` are by name, with the architecture where the ``manager`` has packages of several.

    A package that is there in several versions, such as a kernel, has them all: see :func:`joined`. ``is_read`` is
    False for a database that can't be read here.
    """

    manager: str
    versions: Mapping[str, str]
    is_read: bool = True

    @property
    def count(self) -> int:
        """How many are installed, each version for itself."""
        return sum(len(version.split(_AND)) for version in self.versions.values())


def installed(files: Files, ask_rpm: Callable[[], Mapping[str, str] | None]) -> Packages:
    """What is installed; ``ask_rpm`` reads a database of rpm, None if it can't. A manager that is not known is ""."""
    if files.exists(DPKG_STATUS):
        return Packages("dpkg", parse_dpkg_status(files.read(DPKG_STATUS)))
    for database in (APK, APK_OF_NOW):
        if files.exists(database):
            return Packages("apk", parse_apk(files.read(database)))
    if local := files.names(PACMAN):
        return Packages("pacman", parse_pacman(local))
    if any(files.exists(path) for path in RPM_DATABASES):
        found = ask_rpm()
        return Packages("rpm", found or {}, is_read=found is not None)
    return Packages("", {})


def joined(found: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Versions by name; several of one name in one text, in an order that does not depend on when they came."""
    versions: dict[str, list[str]] = {}
    for name, version in found:
        versions.setdefault(name, []).append(version)
    return {name: _AND.join(sorted(several)) for name, several in versions.items()}


def parse_apk(text: str) -> dict[str, str]:
    """Alpine's database: paragraphs of ``P:name``, ``V:version``, ``A:architecture`` and more."""
    found = {}
    for paragraph in text.split("\n\n"):
        fields = {line[:1]: line[2:] for line in paragraph.splitlines() if line[1:2] == ":"}
        if "P" in fields:
            found[fields["P"]] = fields.get("V", "")
    return found


def parse_pacman(directories: Iterable[str]) -> dict[str, str]:
    """pacman has a directory for each package: ``name-version-release``; neither of the last two has a dash."""
    found = {}
    for directory in directories:
        name, _, rest = directory.rpartition("-")
        name, _, version = name.rpartition("-")
        if name:
            found[name] = f"{version}-{rest}"
    return found
