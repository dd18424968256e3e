"""Elements' declarations applied to phony guests the way a build does it, and what became of the guest."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from dib_py import process
from dib_py.element import Element
from dib_py.windows import declarations
from dib_py.windows.declarations import Declared
from dib_py.windows.installation import Installation, open_installation
from dib_py.windows.kinds import FAMILY as WINDOWS
from dib_py.windows.refusals import refuse, room
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
        refuse(room(guest.facts.free, sum(one.needs(guest) for one in declared)))
        for one in declared:
            one.apply(guest)
        guest.commit()

    def export(self, hive: str) -> str:
        """All of a hive, as another program reads it."""
        path = self.planted.hive_file(hive) if "/" not in hive else self.planted.file(hive)
        return process.run(["hivexregedit", "--export", "--prefix", hive.rpartition("/")[2], path, "\\"])

    def state(self) -> dict[str, tuple[int, bytes]]:
        """Everything, byte for byte, with modes: a hive to which nothing new was said is not written again."""
        return {
            str(path.relative_to(self.planted.system)): (
                path.stat().st_mode & 0o777,
                b"" if path.is_dir() else path.read_bytes(),
            )
            for path in sorted(self.planted.system.rglob("*"))
        }


def subject(tmp_path: Path, guest: Guest | None = None) -> Subject:
    """A phony guest in a directory of its own."""
    scratch = tmp_path / "scratch"
    scratch.mkdir(parents=True)
    return Subject(plant(guest or Guest(), tmp_path / "guest"), scratch)


def read(elements: Iterable[str | Path], variables: Mapping[str, str]) -> list[Declared]:
    """The declarations of elements, in the order in which a build applies them."""
    paths = [element if isinstance(element, Path) else ELEMENTS / element for element in elements]
    wanted = [Element(path.name, path, WINDOWS) for path in paths]
    sourced = environment(wanted, variables)
    return [declarations.read(declaration, sourced) for declaration in declarations.find(wanted)]


def environment(elements: Iterable[Element], variables: Mapping[str, str]) -> Mapping[str, str]:
    """The variables with what the elements' environment.d makes of them."""
    files = [str(file) for element in elements for file in element.environment_files]
    if not files:
        return variables
    script = 'for file in "$@"; do source "$file"; done; env -0'
    output = process.run(["bash", "-euc", script, "bash", *files], env={"PATH": os.environ["PATH"], **variables})
    return dict(line.split("=", 1) for line in output.split("\0") if line)
