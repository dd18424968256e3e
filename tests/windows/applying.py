"""Elements' declarations applied to phony guests the way a build does it, and what became of the guest."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from dib_py import process
from dib_py.element import Element
from dib_py.windows import declarations
from dib_py.windows.declarations import Declared
from dib_py.windows.installation import Installation, open_installation
from dib_py.windows.volume import Directory
from tests.windows.phony import Guest, Planted, plant

ELEMENTS = Path(__file__).resolve().parents[2] / "elements"


@dataclass(frozen=True)
class Subject:
    """A phony guest that is worked on."""

    planted: Planted
    scratch: Path

    def open(self, variables: Mapping[str, str] | None = None) -> Installation:
        """Opened anew, so that it shows what was committed and nothing else."""
        scratch = Path(tempfile.mkdtemp(dir=self.scratch))
        return open_installation(Directory(self.planted.system), Directory(self.planted.boot), scratch, variables)

    def apply(self, *elements: str | Path, **variables: str) -> None:
        """Read, check, apply and commit all declarations of built-in elements (names) or others (paths)."""
        declared = read(elements, variables)
        guest = self.open(variables)
        for one in declared:
            one.check(guest)
        for one in declared:
            one.apply(guest)
        guest.commit()

    def export(self, hive: str) -> str:
        """All of a hive, as another program reads it."""
        path = self.planted.hive_file(hive) if "/" not in hive else self.planted.file(hive)
        return process.run(["hivexregedit", "--export", "--prefix", hive.rpartition("/")[2], path, "\\"])

    def state(self) -> dict[str, str | bytes]:
        """Everything: hives as another program reads them, and all other files with their modes."""
        found: dict[str, str | bytes] = {}
        for path in sorted(self.planted.system.rglob("*")):
            name = str(path.relative_to(self.planted.system))
            mode = oct(path.stat().st_mode)
            if path.is_dir():
                found[name] = mode
            elif path.read_bytes()[:4] == b"regf":
                found[name] = process.run(["hivexregedit", "--export", "--prefix", "HIVE", path, "\\"])
            else:
                found[name] = mode.encode() + path.read_bytes()
        return found


def subject(tmp_path: Path, guest: Guest | None = None) -> Subject:
    """A phony guest in a directory of its own."""
    scratch = tmp_path / "scratch"
    scratch.mkdir(parents=True)
    return Subject(plant(guest or Guest(), tmp_path / "guest"), scratch)


def read(elements: Iterable[str | Path], variables: Mapping[str, str]) -> list[Declared]:
    """The declarations of elements, in the order in which a build applies them."""
    paths = [element if isinstance(element, Path) else ELEMENTS / element for element in elements]
    return [
        declarations.read(declaration, variables)
        for declaration in declarations.find(Element(path.name, path) for path in paths)
    ]
