r"""The declarative files that elements have for Windows: where each is, when it is applied, and by which room.

Nothing can run inside a Windows image, so an element says what it wants in files. One file is one step of a build; a
directory that is taken as a whole, like ``files/``, is one as well. :data:`dib_py.windows.kinds.KINDS` is the table of
kinds. A kind's room is a module that has

``parse(path, variables) -> value``
    Called when the plan is made, on this machine, with the file (or the directory) and the variables that hooks of
    extra-data.d would see. The value is frozen. Raises FileError, with the line, for all that is wrong with the file
    whatever the image: an unknown key, an unset variable, a file of this machine that is missing. What it looks up in
    ``variables`` is in the step's key, found or not, and nothing else of them is: iterating over them asks for all. A
    path below ``$TMP_HOOKS_PATH`` is one that a hook of extra-data.d fetches: there is nothing when the plan is made.

``apply(value, guest) -> None``
    Called with the :class:`~dib_py.windows.installation.Installation` in the kind's phase. What it writes to the
    volumes is there at once; the registry is committed when the phase ends. Done twice it changes nothing more. Raises
    TargetError; the engine adds which step it was. What it prints is the step's log.

and, where it makes sense,

``check(value, guest) -> None``
    Called for the values of all steps that are to be applied, before the first of them changes anything. Raises
    TargetError or BaseError for an image that the value is nothing for, with what to do.

``needs(value, guest) -> int``
    Bytes of C: that ``apply`` takes, as far as they are known before. They are added up for all steps: an image without
    so much room is refused.

``reads(value) -> Iterable[Path]``
    Files and directories of this machine that ``apply`` reads, beside the file itself and those that are the value of
    a variable that was looked up: their content is in the step's key too.

``warnings(value) -> Iterable[str]``
    What the user should know when the plan is made.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

from dib_py.element import Element
from dib_py.errors import FileError, nearest
from dib_py.hooks import sort_key
from dib_py.windows.kinds import KINDS, PLACES, Kind

if TYPE_CHECKING:
    from dib_py.windows.installation import Installation


class Room(Protocol):
    """What a module that knows a kind of declaration has at least; the rest is described above."""

    def parse(self, path: Path, variables: Mapping[str, str], /) -> Any: ...

    def apply(self, value: Any, guest: Installation, /) -> None: ...


@dataclass(frozen=True)
class Declaration:
    """A declarative file in its element; ``name`` is what its step is called, and no other of an image is."""

    kind: Kind
    element: str
    path: Path

    @property
    def room(self) -> Room:
        """The kind's module, loaded when it is first needed: a plan for Linux loads none."""
        return cast(Room, importlib.import_module(f"dib_py.windows.{self.kind.module}"))

    @property
    def name(self) -> str:
        inside = self.path.name if self.path.name == self.kind.place else f"{self.kind.place}/{self.path.name}"
        return f"{self.element}/{inside}"


def find(elements: Iterable[Element]) -> list[Declaration]:
    """All declarations of an image's elements, in the order in which they are applied.

    In a phase that is the order of :data:`KINDS`, then that of the numbers in front of the names of files, as for
    hooks, then that of the elements. Raises FileError for a file in one of their directories that is of no kind.
    """
    found = [
        Declaration(kind, element.name, path)
        for element in elements
        for kind in KINDS
        for path in _refusing_others(kind, element)
    ]
    # of files with one number those of the first element come first: sorting is stable
    return sorted(found, key=lambda one: (PLACES.index(one.kind.place), _number(one)))


def _number(declaration: Declaration) -> object:
    return sort_key(declaration.path.name)[0] if declaration.kind.suffixes else 0


def _refusing_others(kind: Kind, element: Element) -> Iterator[Path]:
    yield from kind.files(element.path)
    if not kind.suffixes or not (element.path / kind.place).is_dir():
        return
    known = {suffix for other in KINDS if other.place == kind.place for suffix in other.suffixes}
    for path in sorted((element.path / kind.place).iterdir()):
        if path.suffix.lower() not in known and not path.name.startswith("."):
            listed = " or ".join(sorted(known))
            near = nearest(path.suffix.lower(), known, 1)
            hint = f"did you mean {path.stem}{near[0]}?" if near else ""
            raise FileError(path, f"{kind.place} has files that end with {listed}, and nothing else", hint=hint)


class Lookups(Mapping[str, str]):
    """Variables that note which of them are asked for; ``names`` are these, set or not."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        self._variables = variables
        self.names: set[str] = set()

    def __getitem__(self, name: str) -> str:
        self.names.add(name)
        return self._variables[name]

    def __contains__(self, name: object) -> bool:
        self.names.add(str(name))
        return name in self._variables

    def __iter__(self) -> Iterator[str]:
        self.names.update(self._variables)
        return iter(self._variables)

    def __len__(self) -> int:
        return len(self._variables)


@dataclass(frozen=True)
class Declared:
    """A declaration that was read: its value, the variables that it depends on, and what else of this machine."""

    declaration: Declaration
    value: Any
    variables: Mapping[str, str]
    reads: tuple[Path, ...]
    warnings: tuple[str, ...]

    def check(self, guest: Installation) -> None:
        """Raise for an image that this is nothing for."""
        check = getattr(self.declaration.room, "check", None)
        if check is not None:
            check(self.value, guest)

    def needs(self, guest: Installation) -> int:
        """Bytes of C: that this takes."""
        needs = getattr(self.declaration.room, "needs", None)
        return needs(self.value, guest) if needs is not None else 0

    def apply(self, guest: Installation) -> None:
        self.declaration.room.apply(self.value, guest)


def read(declaration: Declaration, variables: Mapping[str, str]) -> Declared:
    """Read a declaration with these variables; FileError for what is wrong with it."""
    room = declaration.room
    asked = Lookups(variables)
    value = room.parse(declaration.path, asked)
    reads = getattr(room, "reads", None)
    warnings = getattr(room, "warnings", None)
    return Declared(
        declaration,
        value,
        {name: variables[name] for name in sorted(asked.names) if name in variables},
        tuple(reads(value)) if reads else (),
        tuple(f"{declaration.path}: {text}" for text in warnings(value)) if warnings else (),
    )
