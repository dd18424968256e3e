"""The kinds of declarative files that elements have for Windows: the name of each, its phase, and what applies it.

:mod:`dib_py.windows.declarations` says what a kind's module has to offer.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from dib_py.phases import INSTALL, POST_INSTALL, PRE_INSTALL, Phase

BOOT_ENTRIES = "boot entries"
FAMILY = "windows"  # what the operating system's element says in its os-family


@dataclass(frozen=True)
class Kind:
    """One kind of declarative file: ``place`` is its name in an element, or that of the directory that holds them.

    ``suffixes`` are those of the files of a directory; without any, ``place`` is a file, or is taken as a ``whole``.
    """

    name: str
    place: str
    phase: Phase
    module: str
    suffixes: tuple[str, ...] = ()
    whole: bool = False

    def files(self, element: Path) -> list[Path]:
        """Those in an element's directory, sorted bytewise."""
        place = element / self.place
        if not self.suffixes:
            return [place] if (place.is_dir() if self.whole else place.is_file()) else []
        if not place.is_dir():
            return []
        return sorted(path for path in place.iterdir() if path.suffix.lower() in self.suffixes and path.is_file())


# In the order in which they are applied in their phase; kinds of one place are applied together, by number and name.
KINDS = (
    Kind("requirements", "requires.yaml", PRE_INSTALL, "requirements"),
    Kind("drivers", "drivers.yaml", PRE_INSTALL, "drivers"),
    Kind("files", "files", PRE_INSTALL, "placing", whole=True),
    Kind("file list", "files.yaml", PRE_INSTALL, "file_list"),
    Kind("registry", "registry.d", INSTALL, "reg_file", (".reg",)),
    Kind("registry", "registry.d", INSTALL, "reg_yaml", (".yaml",)),
    Kind("firewall", "firewall.yaml", INSTALL, "firewall"),
    Kind(BOOT_ENTRIES, "bcd.yaml", POST_INSTALL, "bcd"),
    Kind("answer file", "unattend.d", POST_INSTALL, "unattend", (".xml",)),
    Kind("first boot", "firstboot.d", POST_INSTALL, "firstboot", (".cmd", ".ps1")),
)

PLACES = tuple(dict.fromkeys(kind.place for kind in KINDS))
# what no element for Linux has: "files" is a directory like any other there
UNMISTAKABLE = tuple(place for place in PLACES if place != "files")
