"""Which packages a guest has, read from its package manager's own data."""

from __future__ import annotations

import re
from collections.abc import Mapping

from dib_py.environment import for_guest
from dib_py.target import Target

DPKG_STATUS = "/var/lib/dpkg/status"
RPM = "/usr/bin/rpm"
_FIELD = re.compile(r"^(Package|Status|Version|Architecture): (.*)$", re.MULTILINE)


def installed(target: Target) -> Mapping[str, str]:
    """Version by name (``name:arch`` for dpkg); empty for a guest whose package manager is neither dpkg nor rpm."""
    if target.exists(DPKG_STATUS):
        return parse_dpkg_status(target.read(DPKG_STATUS).decode(errors="replace"))
    if target.exists(RPM):
        return _ask_rpm(target)
    return {}


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
