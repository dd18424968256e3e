"""What host-side hooks leave outside the image: caught while a build runs, kept with each step, published at the end.

Directories beside the image (areas of ``beside``) lie under an overlay, so that nothing there changes before the build
has succeeded. The build's own ones are looked at before and after each step.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from dib_py import mount_table
from dib_py.artefacts import archive, conflicts, covers, publish, trees
from dib_py.errors import DiskError, OutputError
from dib_py.events import Events
from dib_py.output.beside import Naming, hidden_name

__all__ = ["Catcher"]

HOOKS = "hooks"
BUILD = "build"


@dataclass
class _Watched:
    """A directory that is looked at before and after a step."""

    place: Path
    left_out: frozenset[str]
    cover: covers.Cover | None = None
    state: trees.State | None = None

    def scan(self) -> trees.State:
        return trees.scan(self.place, self.left_out)


class Catcher:
    """One build's artefacts. What it makes and changes is in this process's mount namespace and in ``scratch``."""

    def __init__(
        self,
        *,
        hooks: Path,
        build: Path,
        excluded: Iterable[str],
        beside: Mapping[str, Path],
        through: Sequence[Path],
        scratch: Path,
        events: Events,
        naming: Naming = hidden_name,
    ) -> None:
        """``excluded``: names in ``build`` that are the engine's. ``beside``: areas by name; of two that are the same
        directory the first has what is there, else the inner one. ``through``: what stays the real thing (caches, the
        store, the records of builds), besides the build's own directory and what is mounted; an area in one of these is
        not caught. ``naming``: as an output's.
        """
        self._roots = {HOOKS: hooks, BUILD: build, **{name: path.resolve() for name, path in beside.items()}}
        own = [name for path in (hooks, scratch) if (name := _name_in(build, path))]
        self._build = build
        self._beside = tuple(beside)
        self._through = [path.resolve() for path in through]
        self._scratch = scratch
        self._events = events
        self._naming = naming
        self._covers: list[covers.Cover] = []
        self._caught = {HOOKS, BUILD}
        self._watched = [_Watched(hooks, frozenset()), _Watched(build, frozenset([*excluded, *own]))]

    @contextmanager
    def caught(self) -> Iterator[None]:
        """While open, this process and those that it starts see and change the areas beside the image in an overlay.

        To be opened before the guest is mounted and closed after that. What can't be covered is told, and not caught.
        """
        planned = covers.plan(
            {name: self._roots[name] for name in self._beside},
            mount_table.points(),
            [*self._through, *_names(self._build)],
        )
        for root, why in {self._roots[name]: why for name, why in planned.refused.items()}.items():
            self._tell_uncaught(root, why)
        here = Path.cwd()
        with ExitStack() as stack:
            stack.callback(_go_to, here)
            for number, (root, holes) in enumerate(planned.holes.items()):
                cover = covers.Cover(root, holes, self._scratch / str(number))
                try:
                    stack.enter_context(cover.mounted())
                except OSError as error:
                    self._tell_uncaught(root, f"no overlay can be mounted there ({os.strerror(error.errno or 0)})")
                    continue
                self._covers.append(cover)
                self._caught.update(name for name, inside in planned.inside.items() if inside == root)
                self._watched.append(_Watched(cover.upper, frozenset(), cover))
            _go_to(here)
            yield

    @property
    def uncaught(self) -> tuple[str, ...]:
        """The areas whose changes go to the real place at once and are not kept; known inside :meth:`caught`."""
        return tuple(name for name in self._beside if name not in self._caught)

    def _tell_uncaught(self, root: Path, why: str) -> None:
        self._events.info(f"what hooks write to {root} is not kept with the build's layers: {why}")

    # -- steps
    def mark(self) -> None:
        """Remember how all is before a step. :meth:`collect` has remembered it too, unless something was done since."""
        for watched in self._watched:
            watched.state = watched.scan()

    def collect(self, path: Path) -> tuple[str, ...]:
        """Write what changed since :meth:`mark` to a new archive and return its paths, as ``AREA/PATH``; where nothing
        changed, no file is made. DiskError if it can't be written."""
        content = archive.Content()
        for watched in self._watched:
            if watched.state is None:
                raise ValueError("nothing was marked")
            lower = watched.cover.lower if watched.cover else None
            before, watched.state = watched.state, watched.scan()
            if difference := trees.compare(before, watched.state, lower):
                self._add(content, watched, before, difference)
        if not content.paths:
            return ()
        try:
            archive.write(path, content)
        except OSError as error:
            with suppress(FileNotFoundError):
                path.unlink()
            raise DiskError(f"what the step left outside the image can't be kept: {error}") from error
        return content.paths

    def _add(
        self, content: archive.Content, watched: _Watched, before: trees.State, difference: trees.Difference
    ) -> None:
        names = {path: self._name(watched, path) for path in (*difference.removed, *difference.present)}
        content.removed += [names[path] for path in difference.removed]
        content.present.update({names[path]: watched.place / path for path in difference.present})
        content.touched.update({self._name(watched, path): time for path, time in difference.touched.items()})
        for path in difference.present:
            if watched.cover and path not in before and watched.cover.has_file(path):
                content.before[names[path]] = conflicts.digest(watched.cover.lower / path)

    def _name(self, watched: _Watched, path: str) -> str:
        root = watched.cover.root if watched.cover else watched.place
        place = root / path
        areas = self._beside if watched.cover else (HOOKS, BUILD)
        candidates = [name for name in areas if self._roots[name] in (place, *place.parents)]
        area = max(candidates, key=lambda name: len(self._roots[name].parts))  # the first of equals
        relative = str(place.relative_to(self._roots[area]))
        return area if relative == "." else f"{area}/{relative}"

    def conflict(self, archives: Sequence[Path | None]) -> conflicts.Conflict | None:
        """The first step of a chain that must run again, as its artefacts (None for a step without) can't be replayed:
        files beside the image have changed since. Inside :meth:`caught`, before anything is done there; DiskError for
        what is no archive."""
        try:
            return conflicts.find(archives, {name: self._roots[name] for name in self._beside}, self.uncaught)
        except (OSError, ValueError) as error:
            raise DiskError(f"what steps left outside the image can't be read: {error}") from error

    def replay(self, path: Path) -> None:
        """Do what an archive says, inside :meth:`caught`; DiskError if it is none, or can't be done."""
        try:
            if lost := archive.areas(path) - self._caught:
                self._events.warning(
                    f"what a step left is not restored, as it can't be caught: {', '.join(sorted(lost))}"
                )
            archive.apply(path, {name: self._roots[name] for name in self._caught})
        except (OSError, ValueError) as error:
            raise DiskError(
                f"what a step left outside the image can't be restored: {error}", hint="--no-cache runs the step again"
            ) from error

    # -- the end
    def publish(self) -> list[Path]:
        """Put what was caught beside the image to its real place, after :meth:`caught`; OutputError if it can't be.

        Each file is whole at any moment; returns the files that were put there or removed.
        """
        done: list[Path] = []
        for cover in self._covers:
            try:
                done += publish.publish(cover.upper, cover.root, self._naming)
            except OSError as error:
                raise OutputError(f"what hooks left in {cover.root} can't be put there: {error}") from error
        return done


def _name_in(directory: Path, path: Path) -> str:
    """The name in ``directory`` of what leads to ``path``; empty if it is elsewhere."""
    return path.relative_to(directory).parts[0] if directory in path.parents else ""


def _names(path: Path) -> list[Path]:
    try:
        return mount_table.aliases(path)
    except OSError:
        return [path]


def _go_to(directory: Path) -> None:
    """Be in the directory that has this name now: this process may be in one that has something mounted over it."""
    with suppress(OSError):
        os.chdir(directory)
