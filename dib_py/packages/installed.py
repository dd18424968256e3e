"""Which packages a guest has, read from its package manager's own data."""

from __future__ import annotations

import re
from collections.abc import Mapping

from dib_py.environment import for_guest
from dib_py.target import Target

DPKG_STATUS = "/var/lib/dpkg/status"
RPM = "/usr/bin/rpm"
# Berkeley DB, SQLite with what is not in the database yet, ndb; in the directories that distributions have had
RPM_DATABASES = tuple(
    f"{directory}/{name}"
    for directory in ("/var/lib/rpm", "/usr/lib/sysimage/rpm")
    for name in ("Packages", "rpmdb.sqlite", "rpmdb.sqlite-wal", "Packages.db")
)
_FIELD = re.compile(r"^(Package|Status|Version|Architecture): (.*)$", re.MULTILINE)


class Installed:
    """What :meth:`now` said last, which it says again as long as the package manager's files are as they were."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._stamps: list[str] = []
        self._packages: Mapping[str, str] = {}

    def now(self) -> Mapping[str, str]:
        """Version by name (``name:arch`` for dpkg); empty for a guest whose package manager is neither dpkg nor rpm."""
        status = self._target.stamp(DPKG_STATUS)
        stamps = [status] if status else [self._target.stamp(path) for path in RPM_DATABASES]
        if stamps != self._stamps:
            self._packages = self._read(bool(status))
            self._stamps = stamps
        return self._packages

    def _read(self, dpkg: bool) -> Mapping[str, str]:
        if dpkg:
            return parse_dpkg_status(self._target.read(DPKG_STATUS).decode(errors="replace"))
        return _ask_rpm(self._target) if self._target.exists(RPM) else {}


def parse_dpkg_status(text: str) -> dict[str, str]:
    """The installed packages of dpkg's status file (deb822, see dpkg's ``status`` format)."""
    found = {}
    for paragraph in text.split("\n\n"):
        fields = dict(_FIELD.findall(paragraph))
        if fields.get("Status", "").endswith(" installed"):
            found[f"{fields['Package']}:{fields.get('Architecture', '')}"] = fields.get("Version", "")
    return found


def _ask_rpm(target: Target) -> dict[str, str]:
    printed = bytearray()
    query = [RPM, "-qa", "--queryformat", r"%{NAME}.%{ARCH} %{EVR}\n"]
    code = target.run(query, env=for_guest({}), output=printed.extend, timeout=300)
    lines = printed.decode(errors="replace").splitlines() if code == 0 else []
    return {name: version for name, _, version in (line.partition(" ") for line in lines) if version}
