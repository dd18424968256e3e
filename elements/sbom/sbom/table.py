"""What the guest's hook read from its package databases, and what os-release says of the system."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

COLUMNS = 9
_URL = re.compile(r"https?://[A-Za-z0-9.-]+(:\d+)?(/[A-Za-z0-9._~/%#?&=+,;:@!()$*-]*)?")


@dataclass(frozen=True)
class Package:
    """One installed package; what its database doesn't have is empty. ``type`` is that of package URLs."""

    type: str
    name: str
    version: str  # as the package manager shows it, so with the epoch in front
    arch: str
    source: str
    source_version: str
    licence: str  # as the database has it, in whatever notation
    vendor: str
    url: str

    @property
    def homepage(self) -> str:
        """The address, if it is one that both formats take."""
        return self.url if _URL.fullmatch(self.url) else ""


@dataclass(frozen=True)
class System:
    """The operating system, by the names of os-release."""

    id: str = ""
    version_id: str = ""
    name: str = ""

    @property
    def distro(self) -> str:
        """What package URLs say of it: ``debian-12``, or the name only where releases have no number."""
        return "-".join(filter(None, (self.id, self.version_id)))


def read_packages(path: Path) -> list[Package]:
    """The packages of a table, sorted. ValueError for a line that is none."""
    packages = {}
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").split("\n"), 1):
        if not line:
            continue
        fields = [_clean(field) for field in line.split("\t")]
        if len(fields) != COLUMNS or not fields[1] or not fields[2]:
            raise ValueError(f"{path}, line {number}: not a package with its version: {line[:80]!r}")
        package = Package(*fields)
        packages[package.type, package.name, package.version, package.arch] = package
    return [package for _, package in sorted(packages.items())]


def read_system(path: Path) -> System:
    """What os-release says; an unknown system where it isn't there or says nothing."""
    values = {}
    text = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
    for line in text.splitlines():
        name, separator, value = line.partition("=")
        if separator and re.fullmatch(r"[A-Z_]+", name):
            try:
                words = shlex.split(value)
            except ValueError:  # a quotation mark too few
                continue
            values[name] = _clean(words[0]) if words else ""
    return System(values.get("ID", "").lower(), values.get("VERSION_ID", ""), values.get("NAME", ""))


def _clean(text: str) -> str:
    """Without control characters, which nobody can have meant."""
    return "".join(character for character in text if character.isprintable()).strip()
