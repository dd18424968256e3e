"""The hook directories of all elements merged into one tree, and what of it runs, in which order.

The tree is diskimage-builder's: every directory of an element except ``tests`` and ``__pycache__`` (so ``bin`` and
``static`` too) is merged under its own name, and the files beside them land at the top. Where diskimage-builder is
random, the order of the resolution decides: of two directories with the same file inside, the later element's wins.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol

from dib_py.element import Element
from dib_py.errors import ElementError, FileError
from dib_py.phases import BY_DIRECTORY

GUEST_SHELL = "guest-shell"  # a directory for guests without bash: its script "bring", for /bin/sh, gets it
ALLOWED_NAMES = "^[0-9A-Za-z_-]+$"  # what dib-run-parts runs unless RUN_PARTS_REGEX says otherwise
FORESEEN = "foreseen"  # the kind of an entry that a hook will make while the build runs
_NUMBER = re.compile(r"[ \t]*(-?)([0-9]*)(?:\.([0-9]*))?")


class Resolved(Protocol):
    """What merging needs of a resolution."""

    @property
    def elements(self) -> tuple[Element, ...]: ...


@dataclass(frozen=True)
class Entry:
    """What is at one place of the merged tree: which element brings it, and from where."""

    element: str
    source: Path
    kind: str  # "file", "link", "directory" or FORESEEN


@dataclass(frozen=True)
class Hook:
    """What runs in a phase: an executable file with a name that counts."""

    directory: str  # its phase directory, like "install.d"
    name: str
    element: str
    source: Path


def sort_key(name: str) -> tuple[object, bytes]:
    """The place of a hook in its phase: GNU ``sort -n`` in the C locale, which is what dib-run-parts uses.

    The number that the name begins with decides (none counts as 0), and between equals the bytes of the whole name.
    """
    match = _NUMBER.match(name)
    assert match is not None  # every part of the pattern may be empty
    sign, digits, fraction = match.groups()
    number: object = int(f"{sign}{digits or 0}")
    if fraction:
        from decimal import Decimal  # only where RUN_PARTS_REGEX lets dots through

        number = Decimal(f"{sign}{digits or 0}.{fraction}")
    return number, os.fsencode(name)


def is_run(path: str | Path, name: str, allowed: str = ALLOWED_NAMES) -> bool:
    """Whether dib-run-parts would run this file: a file or a link to one, executable, with an allowed name."""
    return re.search(allowed, name) is not None and Path(path).is_file() and os.access(path, os.X_OK)


def list_hooks(directory: Path, allowed: str = ALLOWED_NAMES) -> list[str]:
    """What runs in a phase directory as it is now, in order; hooks may have added hooks since it was staged."""
    if not directory.is_dir():
        return []
    with os.scandir(directory) as entries:
        names = [entry.name for entry in entries if is_run(entry.path, entry.name, allowed)]
    return sorted(names, key=sort_key)


@dataclass(frozen=True)
class MergedHooks:
    """The merged tree: entries by their path in it (``install.d/10-x``), parents before what is in them."""

    entries: Mapping[str, Entry]
    allowed: str = ALLOWED_NAMES

    @cached_property
    def _by_directory(self) -> Mapping[str, list[Hook]]:
        found: dict[str, list[Hook]] = {}
        for path, entry in self.entries.items():
            directory, _, name = path.partition("/")
            if directory in BY_DIRECTORY and name and "/" not in name and is_run(entry.source, name, self.allowed):
                found.setdefault(directory, []).append(Hook(directory, name, entry.element, entry.source))
        return {directory: sorted(hooks, key=lambda hook: sort_key(hook.name)) for directory, hooks in found.items()}

    def hooks(self, directory: str) -> list[Hook]:
        """What runs in a phase directory, in order."""
        return list(self._by_directory.get(directory, ()))

    def has_hook(self, directory: str, name: str) -> bool:
        """Whether this one runs."""
        return any(hook.name == name for hook in self._by_directory.get(directory, ()))

    def in_phase_directories(self) -> Iterator[tuple[str, str, Entry]]:
        """Phase directory, name and entry of every file that lies directly in one, run or not."""
        for path, entry in self.entries.items():
            directory, _, name = path.partition("/")
            if directory in BY_DIRECTORY and name and "/" not in name and entry.kind != "directory":
                yield directory, name, entry

    def skipped(self) -> list[str]:
        """A warning for each executable file that will not run because of its name."""
        return [
            f"{entry.source} does not run: hooks have no dot or other special character in their name"
            for directory, name, entry in self.in_phase_directories()
            if not re.search(self.allowed, name) and entry.source.is_file() and os.access(entry.source, os.X_OK)
        ]

    def refuse_unexecutable(self) -> None:
        """Raise for a file that is clearly meant as a hook and lacks the run bit.

        diskimage-builder leaves it out without a word. Clearly meant is: a number in front of its name, and an
        interpreter in its first line; data files beside the hooks have neither.
        """
        for directory, name, entry in self.in_phase_directories():
            if not re.match("[0-9]+-", name) or not re.search(self.allowed, name):
                continue
            if entry.source.is_file() and not os.access(entry.source, os.X_OK) and _has_interpreter(entry.source):
                raise FileError(
                    entry.source,
                    f"hook {directory}/{name} of element {entry.element} is not executable, so it would not run",
                    hint=f"chmod +x {shlex.quote(str(entry.source))}",
                )

    def stage(self, directory: Path) -> None:
        """Copy the tree, with modes, times and links as they are, to ``directory`` (``$TMP_HOOKS_PATH``)."""
        import shutil  # only a build needs it, and it takes its time to load

        directory.mkdir(parents=True, exist_ok=True)
        for path, entry in self.entries.items():
            destination = directory / path
            if entry.kind == "directory":
                destination.mkdir(exist_ok=True)
                shutil.copymode(entry.source, destination)
            elif entry.kind != FORESEEN:
                shutil.copy2(entry.source, destination, follow_symlinks=entry.kind == "file")


def _has_interpreter(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(2) == b"#!"


def merge(resolution: Resolved, allowed: str = ALLOWED_NAMES) -> MergedHooks:
    """Merge the directories of all elements of a resolution.

    Raises ElementError for two elements that bring the same file directly in one directory, naming both.
    """
    entries: dict[str, Entry] = {}
    for element in resolution.elements:
        for path in element.top_files:
            entries[path.name] = Entry(element.name, path, "file")
        for directory in element.directories:
            entries.setdefault(directory.name, Entry(element.name, directory, "directory"))
            for name in _visible(directory):
                _add(entries, f"{directory.name}/{name}", element, directory / name)
    return MergedHooks(dict(sorted(entries.items())), allowed)


def _visible(directory: Path) -> list[str]:
    """What ``ls`` shows, which is what diskimage-builder copies; compiled Python aside."""
    with os.scandir(directory) as entries:
        return [e.name for e in entries if not e.name.startswith(".") and e.name != "__pycache__"]


def _add(entries: dict[str, Entry], path: str, element: Element, source: Path) -> None:
    """Put one entry of a directory, with all that is in it, at its place; only directories may meet there."""
    new = Entry(element.name, source, _kind(source))
    if new.kind == "link" and path.partition("/")[0] in BY_DIRECTORY and _leaves(element, source):
        # in the merged tree, and in the guest, this link would lead nowhere and the hook would be skipped
        new = Entry(element.name, source, "file" if source.is_file() else "link")
    known = entries.get(path)
    if known is not None and not (known.kind == new.kind == "directory"):
        raise ElementError(
            f"elements {known.element} and {element.name} both bring {path}: {known.source} and {source}",
            hint="leave one of the two elements out, or rename one file",
        )
    entries.setdefault(path, new)
    if new.kind == "directory":
        for below, source_below in _walk(source):
            _overwrite(entries, f"{path}/{below}", Entry(element.name, source_below, _kind(source_below)))


def _overwrite(entries: dict[str, Entry], path: str, new: Entry) -> None:
    """Deeper down the later element's file wins, as ``cp -a`` has it; a file never replaces a directory."""
    known = entries.get(path)
    if known is None or "directory" not in (known.kind, new.kind):
        entries[path] = new
    elif known.kind != new.kind:
        raise ElementError(
            f"{path} is a directory in one element and a file in another: {known.source} and {new.source}",
            hint="rename one of the two",
        )


def _walk(directory: Path, prefix: str = "") -> Iterator[tuple[str, Path]]:
    """Relative path and place of all below a directory, parents first; links are not followed."""
    with os.scandir(directory) as found:
        for entry in found:
            if entry.name == "__pycache__":
                continue
            yield prefix + entry.name, Path(entry.path)
            if entry.is_dir(follow_symlinks=False):
                yield from _walk(Path(entry.path), f"{prefix}{entry.name}/")


def _kind(path: Path) -> str:
    if path.is_symlink():
        return "link"
    return "directory" if path.is_dir() else "file"


def _leaves(element: Element, link: Path) -> bool:
    return link.readlink().is_absolute() or not link.resolve().is_relative_to(element.path)
