"""Package URLs: what scanners find a package by (https://github.com/package-url/purl-spec)."""

from __future__ import annotations

from urllib.parse import quote

from table import Package, System

# Whose packages they are is said by names of the specification where these differ from os-release.
NAMESPACES = {"rhel": "redhat", "opensuse-leap": "opensuse", "opensuse-tumbleweed": "opensuse", "sles": "suse"}
_UNKNOWN = {"deb": "debian", "apk": "alpine", "alpm": "arch", "rpm": ""}


def purl(package: Package, system: System) -> str:
    namespace = NAMESPACES.get(system.id, system.id) or _UNKNOWN.get(package.type, "")
    name, version = package.name, package.version
    qualifiers = {"arch": package.arch, "distro": system.distro}
    if package.type == "rpm":
        epoch, separator, rest = version.partition(":")
        if separator:
            version = rest
            qualifiers["epoch"] = epoch
    else:
        name = name.lower()
    text = "/".join(_quoted(part) for part in (package.type, namespace, name) if part)
    given = "&".join(f"{key}={_quoted(value)}" for key, value in sorted(qualifiers.items()) if value)
    return f"pkg:{text}@{_quoted(version)}" + (f"?{given}" if given else "")


def _quoted(text: str) -> str:
    return quote(text, safe="~:")
