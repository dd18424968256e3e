"""pkg-map: what a package is called in the image's distribution.

The sections of an element's ``pkg-map`` file are merged from the general to the particular: ``default``, ``family``,
``distro``, ``release``. A minor release that has no section, such as 9.6, has that of its major one. A name may stand
for several packages, or for none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dib_py.element import Element
from dib_py.errors import FileError
from dib_py.packages.declarations import Document, read_json

FILE = "pkg-map"
FAMILIES = {
    **dict.fromkeys(("almalinux", "fedora", "rhel", "centos", "openeuler", "rocky"), "redhat"),
    **dict.fromkeys(("debian", "ubuntu"), "debian"),
    "opensuse": "suse",
    "gentoo": "gentoo",
}
_RELEASES = {"8-stream": "8"}  # the one release that diskimage-builder folds into another


@dataclass(frozen=True)
class PackageMap:
    """The ``pkg-map`` of one element."""

    element: Element
    document: Document

    @classmethod
    def read(cls, element: Element) -> PackageMap | None:
        """The element's map, None if it has none; FileError for one that is not as it should be."""
        path = element.path / FILE
        if not path.is_file():
            return None
        document = read_json(path)
        if not isinstance(document.data, dict):
            raise document.error("must be a mapping of sections: default, family, distro, release")
        result = cls(element, document)
        result.check()
        return result

    def check(self) -> None:
        """Raise FileError for a section that does not map names to texts."""
        for section, depth in (("default", 0), ("family", 1), ("distro", 1), ("release", 2)):
            self._check(self.document.data.get(section, {}), depth, section)

    def _check(self, value: Any, depth: int, *place: str) -> None:
        if not isinstance(value, dict):
            raise self.document.error(f"{'.'.join(place)} must be a mapping", *place)
        for key, below in value.items():
            if depth:
                self._check(below, depth - 1, *place, key)
            elif not isinstance(below, str):
                raise self.document.error(f"{'.'.join((*place, key))} must be a text", *place, key)

    def translate(self, name: str, environment: Mapping[str, str]) -> list[str]:
        """What a name stands for in the distribution that the environment names; itself if it is not in the map."""
        mapped = self._merged(environment.get("DISTRO_NAME", ""), environment.get("DIB_RELEASE", "")).get(name)
        return [name] if mapped is None else mapped.split()

    def _merged(self, distro: str, release: str) -> dict[str, str]:
        if not distro:
            raise FileError(
                self.document.path,
                "packages cannot be translated: DISTRO_NAME is not set",
                hint="environment.d of the operating system's element exports it",
            )
        sections = self.document.data
        return {
            **sections.get("default", {}),
            **sections.get("family", {}).get(FAMILIES.get(distro, ""), {}),
            **sections.get("distro", {}).get(distro, {}),
            **_of_release(sections.get("release", {}).get(distro, {}), _RELEASES.get(release, release)),
        }


def _of_release(releases: Mapping[str, dict[str, str]], release: str) -> dict[str, str]:
    major = release.partition(".")[0]
    return releases.get(release) or releases.get(major, {})
