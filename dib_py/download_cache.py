"""What guests' package managers download, kept on this machine by distribution, release and architecture.

Elements say which directories of the guest these are (:mod:`dib_py.packages.package_caches`). While a build's hooks
run, its target has directories of this machine in their place, so no download is ever in a layer, and no key knows of
it. Below ``packages/DISTRO-RELEASE-ARCH`` of the image cache::

    files/PATH           what is kept, by the guest's own paths
    builds/NAME/PATH     what one build has: hard links to all that was kept when it began, and what it downloads
    builds/NAME.lock     locked (flock) by that build for its life
    lock                 locked by whoever changes ``files`` or begins or ends a build

Each build has directories of its own because package managers lock theirs, and because a guest may delete what is in
them. When it ends, well or not, what is new and whole is linked into ``files``; what a killed build left, the next one
takes over. Nothing here fails a build: a cache that can't be used is an empty one.
"""

from __future__ import annotations

import fcntl
import os
import re
import secrets
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from dib_py.base import BaseImage, image_cache
from dib_py.events import Events
from dib_py.layers.locks import held, try_lock
from dib_py.packages import PackageCache
from dib_py.phases import PHASES, POST_INSTALL, Phase
from dib_py.plan import Plan
from dib_py.settings import Settings
from dib_py.target import CacheTree

NONE = CacheTree(Path(), ())

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+~-]*")
_KEPT = b"kept\n"  # in the lock of a build whose downloads may go into the cache


@contextmanager
def opened(
    plan: Plan, settings: Settings, base: BaseImage | None, events: Events, *, reached: Phase | None = None
) -> Iterator[CacheTree]:
    """A build's package caches, for :meth:`dib_py.target.Target.attach`; at the end its downloads are kept.

    ``reached`` is the phase of the last step that is not run. An image that nobody vouches for gets what others
    downloaded, but what it leaves is not kept: later builds would install it.
    """
    directory = cache_directory(plan, settings)
    if directory is None or (reached is not None and PHASES.index(reached) > PHASES.index(POST_INSTALL)):
        yield NONE
        return
    cache = Cache(directory, plan.packages.caches)
    try:
        own = cache.begin(keep=base is None or base.verified or settings.trust_base)
    except OSError as error:
        events.warning(f"no package cache: {error}")
        yield NONE
        return
    try:
        yield cache.tree(own)
    finally:
        try:
            cache.end(own)
        except OSError as error:
            events.warning(f"downloads could not be kept: {error}")


def cache_directory(plan: Plan, settings: Settings) -> Path | None:
    """Where the downloads of this build's distribution are; None where the build has no caches.

    That is so without ``DISTRO_NAME`` and ``DIB_RELEASE`` too: packages of two distributions may have the same name.
    """
    names = [plan.environment.get(name, "") for name in ("DISTRO_NAME", "DIB_RELEASE", "ARCH")]
    if not plan.packages.caches or not all(map(_NAME.fullmatch, names)):
        return None
    return image_cache(settings).absolute() / "packages" / "-".join(names)


@dataclass(frozen=True)
class Build:
    """A build's directories below ``root``, each at the guest's own path; ``lock`` is held as long as it lasts.

    ``had`` are the files that it began with, None where nobody knows any more.
    """

    root: Path
    lock: int
    keep: bool
    had: frozenset[tuple[int, ...]] | None = None


class Cache:
    """One directory of downloads; every method raises OSError."""

    def __init__(self, directory: Path, caches: Sequence[PackageCache]) -> None:
        self.files = directory / "files"
        self._directory = directory
        self._builds = directory / "builds"
        self._caches = caches

    def begin(self, *, keep: bool) -> Build:
        """Directories for a build, with links to all that is kept; ``keep``: whether what it downloads will be."""
        for directory in (self.files, self._builds):
            directory.mkdir(parents=True, exist_ok=True)
        with held(self._directory / "lock"):
            self._take_over_leftovers()
            root = self._builds / secrets.token_hex(8)
            lock = _create_locked(_lock_of(root))
            os.write(lock, _KEPT if keep else b"")
            had: list[Path] = []
            for one in self._caches:
                _make(_below(root, one.path), root)
                had += _link_tree(_below(self.files, one.path), _below(root, one.path))
        return Build(root, lock, keep, frozenset(map(_identity, had)))

    def tree(self, build: Build) -> CacheTree:
        """The build's directories, as a target takes them."""
        early = tuple(one.path for one in self._caches if one.early)
        return CacheTree(build.root, tuple(one.path for one in self._caches), early, build.keep)

    def end(self, build: Build) -> None:
        """Keep what the build downloaded, and remove its directories."""
        with held(self._directory / "lock"):
            self._finish(build)

    def _finish(self, build: Build) -> None:
        try:
            if build.keep:
                for one in self._caches:
                    self._harvest(one, _below(build.root, one.path), build.had)
        finally:
            shutil.rmtree(build.root, ignore_errors=True)
            if not build.root.exists():
                _lock_of(build.root).unlink(missing_ok=True)
            os.close(build.lock)

    def _take_over_leftovers(self) -> None:
        """What builds left that were killed: nobody holds their locks."""
        for path in self._builds.glob("*.lock"):
            lock = os.open(path, os.O_RDWR | os.O_CLOEXEC)
            if not try_lock(lock):
                os.close(lock)
                continue
            with suppress(OSError):
                self._finish(Build(path.with_suffix(""), lock, os.read(lock, len(_KEPT)) == _KEPT))

    def _harvest(self, cache: PackageCache, own: Path, had: frozenset[tuple[int, ...]] | None) -> None:
        """Link what is new in ``own``; it replaces what is kept under the same name, unless that may be newer."""
        for file in _matching(own, cache.keep):
            kept = _below(self.files, cache.path) / file.relative_to(own)
            if not kept.exists() if had is None else _identity(file) not in had:
                _settle(file)
                _make(kept.parent, self.files)
                fresh = kept.with_name(f".{secrets.token_hex(8)}")
                _link(file, fresh)
                fresh.replace(kept)
                fresh.unlink(missing_ok=True)  # a rename of one name of a file to another one does nothing


def _below(root: Path, path: str) -> Path:
    return root / path.lstrip("/")


def _lock_of(root: Path) -> Path:
    return root.with_suffix(".lock")


def _create_locked(path: Path) -> int:
    lock = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)
    return lock


def _make(directory: Path, top: Path) -> None:
    """Make a directory, and those between it and ``top``, as a guest's programs need them whatever the umask is."""
    for one in [*reversed(directory.relative_to(top).parents), directory.relative_to(top)]:
        with suppress(FileExistsError):
            (top / one).mkdir()
            (top / one).chmod(0o755)


def _link_tree(source: Path, destination: Path) -> list[Path]:
    """Link all files of a directory, but for what a killed build did not finish; returns the links."""
    links = []
    for place, _, names in os.walk(source):
        directory = destination / Path(place).relative_to(source)
        _make(directory, destination)
        for name in names:
            if name.startswith("."):
                Path(place, name).unlink()
            else:
                _link(Path(place, name), directory / name)
                links.append(directory / name)
    return links


def _identity(file: Path) -> tuple[int, ...]:
    """What tells a file from another one that takes its name, or its place on the disk."""
    status = file.lstat()
    return status.st_ino, status.st_size, status.st_mtime_ns


def _link(source: Path, destination: Path) -> None:
    """One file at two places; where its filesystem, or its owner, does not allow that, a copy."""
    try:
        os.link(source, destination, follow_symlinks=False)
    except OSError:
        shutil.copy2(source, destination, follow_symlinks=False)


def _matching(top: Path, patterns: Iterable[str]) -> list[Path]:
    """The files that are kept: regular ones, whole (what begins with a dot is not, nor what is empty), reached by no
    symbolic link."""
    found = {path for pattern in patterns for path in top.glob(pattern)}
    real = os.path.realpath(top)
    return sorted(
        path
        for path in found
        if not path.name.startswith(".")
        and not path.is_symlink()
        and path.is_file()
        and path.stat().st_size > 0
        and os.path.realpath(path) == os.path.join(real, path.relative_to(top))  # noqa: PTH118 - what realpath gives
    )


def _settle(file: Path) -> None:
    """On the disk before it is in the cache: nobody looks into a kept file again."""
    descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
