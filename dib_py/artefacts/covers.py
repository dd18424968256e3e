"""Directories of this machine under an overlay, so that what hooks write there goes to a directory of the build.

What must stay the real thing (mount points below, caches, the build's own directory) is bound over the overlay again.
The mounts are made in the worker's own namespace, and hooks share theirs with it.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from dib_py import namespaces, overlay
from dib_py.artefacts import archive, trees
from dib_py.namespaces import MNT_DETACH, MS_BIND, MS_REC, MS_SHARED, MS_SLAVE


@dataclass(frozen=True)
class Planned:
    """Directories to cover, parents first, each with the ``holes`` in it; and where each area is: the covered directory
    that it lies in, or why it can't be covered."""

    holes: Mapping[Path, tuple[Path, ...]]
    inside: Mapping[str, Path]
    refused: Mapping[str, str]


def plan(beside: Mapping[str, Path], mounted: Iterable[Path], through: Iterable[Path]) -> Planned:
    """Which directories to cover so that every area of ``beside`` is, once. All paths are absolute and have no links.

    ``mounted`` are mount points and ``through`` other paths that stay the real ones. An area in one of the latter can't
    be covered.
    """
    through = list(through)
    real = {*through, *mounted}
    holes: dict[Path, tuple[Path, ...]] = {}
    inside: dict[str, Path] = {}
    refused: dict[str, str] = {}
    for name, root in sorted(beside.items(), key=lambda item: len(item[1].parts)):
        if root == Path("/"):
            refused[name] = "it is the root of this machine"
            continue
        if within := next((one for one in through if one == root or one in root.parents), None):
            refused[name] = f"{within} is to stay as it is"
            continue
        cover = next((one for one in reversed(holes) if _is_seen_in(root, one, holes[one])), None)
        if cover is None:
            holes[root] = _topmost(one for one in real if root in one.parents)
        inside[name] = cover or root
    return Planned(holes, inside, refused)


def _is_seen_in(path: Path, cover: Path, holes: Sequence[Path]) -> bool:
    """Whether ``path`` is part of the overlay at ``cover``."""
    places = (path, *path.parents)
    return cover in places and not any(hole in places for hole in holes)


def _topmost(paths: Iterable[Path]) -> tuple[Path, ...]:
    kept: list[Path] = []
    for path in sorted(paths, key=lambda one: one.parts):
        if not any(one in path.parents for one in kept):
            kept.append(path)
    return tuple(kept)


class Cover:
    """One directory under an overlay; ``upper`` is what was written there."""

    def __init__(self, root: Path, holes: Sequence[Path], scratch: Path) -> None:
        self.root = root
        self.upper = scratch / "upper"
        self._work = scratch / "work"
        self._holes = holes
        self.lower = Path("/nonexistent")  # the directory below, while the overlay is there

    @contextmanager
    def mounted(self) -> Iterator[None]:
        """While open the overlay is there; OSError if it can't be."""
        with ExitStack() as stack:
            lower = stack.enter_context(_held(self.root))
            self._make_upper(lower)
            upper, work = (stack.enter_context(_held(path)) for path in (self.upper, self._work))
            kept = list(self._kept_real(stack))
            overlay.mount(self.root, lower, upper, work)
            stack.callback(namespaces.umount, self.root, MNT_DETACH)
            for hole, real in kept:
                namespaces.mount(real, hole, flags=MS_BIND | MS_REC)
                namespaces.propagation(hole, MS_SLAVE | MS_REC)  # mounts made here don't reach the hidden one,
                namespaces.propagation(hole, MS_SHARED | MS_REC)  # but hooks' namespaces
            self.lower = lower
            yield

    def has_file(self, path: str) -> bool:
        """Whether there was a regular file in the covered directory, while the overlay is there."""
        try:
            return stat.S_ISREG((self.lower / path).lstat().st_mode)
        except OSError:
            return False

    def _make_upper(self, lower: Path) -> None:
        """The overlay's root has the owner, mode and time of the upper directory."""
        for directory in (self.upper, self._work):
            directory.mkdir(parents=True)
        status = lower.stat()
        mode = stat.S_IMODE(status.st_mode)
        archive.dress(self.upper, status.st_uid, status.st_gid, mode, dict(trees.attributes(self.root)))
        os.utime(self.upper, ns=(status.st_atime_ns, status.st_mtime_ns))

    def _kept_real(self, stack: ExitStack) -> Iterator[tuple[Path, Path]]:
        for hole in self._holes:
            _make_missing(hole, stack)
            with suppress(OSError):
                yield hole, stack.enter_context(_held(hole))


def _make_missing(directory: Path, stack: ExitStack) -> None:
    """What is not there can't be kept real; it goes again unless something is in it."""
    missing = [one for one in (directory, *directory.parents) if not os.path.lexists(one)]
    for one in reversed(missing):
        with suppress(OSError):
            one.mkdir()
            stack.callback(_remove_empty, one)


def _remove_empty(directory: Path) -> None:
    with suppress(OSError):
        directory.rmdir()


@contextmanager
def _held(path: Path) -> Iterator[Path]:
    """A name for ``path`` that means the same once something is mounted over it, and has no comma or colon in it."""
    file = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        yield Path(f"/proc/self/fd/{file}")
    finally:
        os.close(file)
