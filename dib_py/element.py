"""Elements and the catalog of those that can be seen: what is there, read lazily and never run.

A catalog of thousands of elements is made from directory listings alone; an element's files are read when somebody
asks for what they hold.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from pathlib import Path

from dib_py import errors, phases, readme
from dib_py.windows import kinds

DEPS_FILE = "element-deps"
PROVIDES_FILE = "element-provides"
OS_FAMILY_FILE = "os-family"
DISTRIBUTIONS_FILE = "distributions"
COUNTERPART_FILE = "counterpart"
BASE_IMAGE_FILE = "base-image.yaml"
BOOTSTRAP_PROGRAMS_FILE = "bootstrap-programs"
ENVIRONMENT_DIRECTORY = "environment.d"
PACKAGE_INSTALLS_FILES = ("package-installs.json", "package-installs.yaml")  # the order in which they are read
OPERATING_SYSTEM = "operating-system"
LINUX, WINDOWS = "linux", kinds.FAMILY  # families of operating systems

# diskimage-builder leaves these out when it merges hook directories
_NOT_MERGED = frozenset({"tests", "__pycache__"})
# hooks of the host's other phases work in the guest's tree, which those for Windows never see
_NOT_FOR_WINDOWS = phases.BY_DIRECTORY.keys() - {phases.EXTRA_DATA.directory} | frozenset(kinds.PLACES)
_FOR_WINDOWS = frozenset(kinds.UNMISTAKABLE)
_ENVIRONMENT_NAME = re.compile(r"[0-9A-Za-z_.-]+")


def is_environment_name(name: str) -> bool:
    """Whether a file of environment.d with this name is sourced."""
    return _ENVIRONMENT_NAME.fullmatch(name) is not None


@dataclass(frozen=True)
class Element:
    """A directory of hooks and declarations; ``path`` is resolved, and ``name`` is its last part.

    ``family`` is that of the operating system that it is looked at for: for Windows ``element-deps.windows`` counts
    instead of ``element-deps``, if it is there, and of the phase directories only those whose hooks can run.
    """

    name: str
    path: Path
    family: str = LINUX

    @cached_property
    def deps(self) -> tuple[str, ...]:
        """What it asks for, elements or virtual names, in the file's order."""
        return read_names(self.deps_file(self.family))

    def deps_for(self, family: str) -> tuple[str, ...]:
        """The same for an operating system of that family."""
        file = self.deps_file(family)
        return self.deps if file == self.deps_file(self.family) else read_names(file)

    def deps_file(self, family: str) -> Path:
        """The file that says what it asks for; it may be missing."""
        own = self.path / f"{DEPS_FILE}.{family}"
        return own if family != LINUX and own.is_file() else self.path / DEPS_FILE

    @cached_property
    def provides(self) -> tuple[str, ...]:
        """The virtual names that it stands for."""
        return read_names(self.path / PROVIDES_FILE)

    @property
    def is_builtin(self) -> bool:
        """Whether it came with dib-py."""
        return self.path.parent == builtin_elements_dir()

    @cached_property
    def is_operating_system(self) -> bool:
        return OPERATING_SYSTEM in self.provides

    @cached_property
    def os_family(self) -> str:
        """``linux`` unless the element's ``os-family`` file says something else."""
        names = read_names(self.path / OS_FAMILY_FILE)
        return names[0] if names else LINUX

    @cached_property
    def declares(self) -> tuple[str, ...]:
        """What it has for Windows alone: its declarative files and directories of names that nothing else has."""
        there = {entry.name for entry in self._entries}
        return tuple(place for place in (*kinds.UNMISTAKABLE, f"{DEPS_FILE}.{WINDOWS}") if place in there)

    @cached_property
    def distributions(self) -> frozenset[str]:
        """The distributions that it is for, or families of them; empty where it does not say."""
        return frozenset(read_names(self.path / DISTRIBUTIONS_FILE))

    @cached_property
    def counterpart(self) -> tuple[str, ...]:
        """The elements that do for the other family of operating systems what it does for its own."""
        return read_names(self.path / COUNTERPART_FILE)

    @cached_property
    def bootstrap_programs(self) -> tuple[str, ...]:
        """The programs of this machine that its root.d needs where there is no base image."""
        return read_names(self.path / BOOTSTRAP_PROGRAMS_FILE)

    @cached_property
    def base_image(self) -> Path | None:
        """The file that says where its base image is, if it has one."""
        path = self.path / BASE_IMAGE_FILE
        return path if path.is_file() else None

    @cached_property
    def package_installs(self) -> tuple[Path, ...]:
        """Its package-installs files, in the order in which they are read."""
        return tuple(path for name in PACKAGE_INSTALLS_FILES if (path := self.path / name).is_file())

    @cached_property
    def readme(self) -> readme.Readme:
        """What its README.rst says; empty where there is none."""
        path = self.path / "README.rst"
        return readme.parse(path.read_text(encoding="utf-8", errors="replace")) if path.is_file() else readme.EMPTY

    @property
    def description(self) -> str:
        """What it does, in one sentence."""
        return self.readme.summary

    @cached_property
    def directories(self) -> tuple[Path, ...]:
        """The directories that are merged with those of other elements, sorted bytewise."""
        left_out = _NOT_MERGED | (_NOT_FOR_WINDOWS if self.family == WINDOWS else _FOR_WINDOWS)
        return tuple(Path(entry.path) for entry in self._entries if _is_directory(entry) and entry.name not in left_out)

    @cached_property
    def top_files(self) -> tuple[Path, ...]:
        """The files beside those directories, sorted bytewise."""
        return tuple(Path(entry.path) for entry in self._entries if entry.is_file() and not entry.name.endswith(".pyc"))

    @cached_property
    def phase_dirs(self) -> Mapping[str, Path]:
        """Its phase directories by name (``install.d``), in the order of the phases."""
        present = {path.name: path for path in self.directories}
        return {name: present[name] for name in phases.BY_DIRECTORY if name in present}

    def files(self, directory: str) -> tuple[Path, ...]:
        """Files directly in one of its directories, sorted bytewise: hooks, whether they would run or not."""
        if not any(path.name == directory for path in self.directories):
            return ()
        return tuple(Path(entry.path) for entry in _listing(self.path / directory) if _is_file(entry))

    @cached_property
    def environment_files(self) -> tuple[Path, ...]:
        """What is sourced before each phase, sorted bytewise; whether it is executable does not matter."""
        return tuple(path for path in self.files(ENVIRONMENT_DIRECTORY) if is_environment_name(path.name))

    @cached_property
    def _entries(self) -> list[os.DirEntry[str]]:
        return _listing(self.path)


def _listing(directory: Path) -> list[os.DirEntry[str]]:
    """The entries of a directory, sorted bytewise, without those that ``ls`` does not show."""
    try:
        with os.scandir(directory) as entries:
            return sorted((e for e in entries if not e.name.startswith(".")), key=lambda e: os.fsencode(e.name))
    except OSError as error:
        raise errors.FileError(directory, f"cannot be read: {error.strerror}") from error


def _is_directory(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads back to itself
        return False


def _is_file(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_file()
    except OSError:
        return False


def read_names(path: Path) -> tuple[str, ...]:
    """One name a line, without blanks, each once; no file means no names.

    Comments are not understood, as in diskimage-builder: an element that has them works with neither.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return ()
    except OSError as error:
        raise errors.FileError(path, f"cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise errors.FileError(path, "is not UTF-8 text", line=_line_of(path, error.start)) from error
    return tuple(dict.fromkeys(name for line in text.split("\n") if (name := line.strip())))


def _line_of(path: Path, offset: int) -> int:
    return path.read_bytes()[:offset].count(b"\n") + 1


@dataclass(frozen=True)
class Override:
    """An element hidden by one of the same name that is found earlier."""

    name: str
    winner: Path
    loser: Path

    def __str__(self) -> str:
        return f"element {self.winner} overrides {self.loser}"


@dataclass(frozen=True)
class Catalog:
    """The elements that can be seen, by name; the first path that has a name wins."""

    elements: Mapping[str, Element]
    overrides: tuple[Override, ...] = ()

    @classmethod
    def load(cls, paths: Sequence[Path], *, builtin: Path | None = None) -> Catalog:
        """List what is on ``paths`` and, after them, the elements that come with dib-py.

        ``builtin`` stands in for :func:`builtin_elements_dir`. Raises ElementError for a path that is no directory.
        """
        elements: dict[str, Element] = {}
        overrides: list[Override] = []
        for directory in (*paths, builtin or builtin_elements_dir()):
            for name, path in _elements_in(directory):
                known = elements.setdefault(name, Element(name, path))
                if known.path != path:
                    overrides.append(Override(name, known.path, path))
        return cls(elements, tuple(dict.fromkeys(overrides)))

    def looked_at_for(self, family: str) -> Catalog:
        """The same elements, as an image of this family of operating systems has them."""
        if family == LINUX:
            return self
        seen = {name: replace(element, family=family) for name, element in self.elements.items()}
        return Catalog(seen, self.overrides)

    def __getitem__(self, name: str) -> Element:
        return self.elements[name]

    def __contains__(self, name: object) -> bool:
        return name in self.elements

    def __iter__(self) -> Iterator[Element]:
        """All elements, by name."""
        return (self.elements[name] for name in sorted(self.elements))

    def __len__(self) -> int:
        return len(self.elements)

    def get(self, name: str) -> Element | None:
        return self.elements.get(name)

    def nearest(self, name: str) -> list[str]:
        """Names that a person who typed ``name`` may have meant."""
        return errors.nearest(name, self.elements)

    def providers(self, virtual: str) -> tuple[Element, ...]:
        """The elements that provide a virtual name, sorted; reads every element's files."""
        return tuple(element for element in self if virtual in element.provides)

    def dependents(self, name: str) -> tuple[Element, ...]:
        """The elements that ask for ``name`` themselves, sorted; reads every element's files."""
        return tuple(element for element in self if name in element.deps)


def _elements_in(directory: Path) -> Iterator[tuple[str, Path]]:
    """Name and resolved path of each element in one directory, sorted by name of the entry."""
    if not directory.is_dir():
        raise errors.ElementError(
            f"ELEMENTS_PATH entry '{directory}' is not a directory",
            hint="ELEMENTS_PATH is a colon-separated list of directories that hold elements",
        )
    root = directory.resolve()
    for entry in _listing(root):
        if entry.name == "__pycache__" or not _is_directory(entry):
            continue
        # resolving costs more than all the rest, and only a link needs it
        path = Path(entry.path).resolve() if entry.is_symlink() else root / entry.name
        yield path.name, path


def split_elements_path(text: str) -> tuple[Path, ...]:
    """The entries of ``ELEMENTS_PATH``; none for an unset or empty one, ElementError for an empty entry."""
    if not text:
        return ()
    entries = text.split(":")
    if "" in entries:
        raise errors.ElementError(
            f"ELEMENTS_PATH has an empty entry: '{text}'", hint="take out the colon at an end, or the doubled one"
        )
    return tuple(Path(entry) for entry in entries)


@cache
def builtin_elements_dir() -> Path:
    """Where the elements that come with dib-py are: beside the package in a checkout, else below ``share``.

    Raises HostError where an installation has lost them.
    """
    package = Path(__file__).resolve().parent
    for candidate in _builtin_candidates(package):
        if candidate.is_dir():
            return candidate
    raise errors.HostError(
        "the elements that come with dib-py are not installed", hint="install dib-py again", where=str(package)
    )


def _builtin_candidates(package: Path) -> Iterable[Path]:
    if (package.parent / "setup.cfg").is_file():
        yield package.parent / "elements"
    # share lies below the prefix that the package was installed under, wherever that is (venv, --user, --target)
    for prefix in package.parents:
        yield prefix / "share" / "dib-py" / "elements"
