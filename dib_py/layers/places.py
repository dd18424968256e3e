"""The store's directory: where everything in it is, and whether it can be trusted and written.

Everything is private to one user (0700, 0600), for layers hold whatever hooks put into images, passwords too.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from dib_py.errors import HostError
from dib_py.layers import locks

FORMAT = 1  # of the directory; records have a format of their own
SECRET_BYTES = 32
_DIRECTORIES = ("layers", "records", "logs", "artefacts", "outputs", "failed", "builds", "locks", "digests")


@dataclass(frozen=True)
class Places:
    """The paths in a store at ``top``."""

    top: Path

    @property
    def lock(self) -> Path:
        return self.top / "lock"

    @property
    def secret(self) -> Path:
        return self.top / "secret"

    @property
    def builds(self) -> Path:
        return self.top / "builds"

    @property
    def failed(self) -> Path:
        return self.top / "failed"

    @property
    def records(self) -> Path:
        return self.top / "records"

    @property
    def digests(self) -> Path:
        return self.top / "digests"

    def layer(self, key: str) -> Path:
        return self.top / "layers" / f"{key}.qcow2"

    def record(self, key: str) -> Path:
        return self.records / f"{key}.json"

    def log(self, key: str) -> Path:
        return self.top / "logs" / f"{key}.log"

    def artefacts(self, key: str) -> Path:
        return self.top / "artefacts" / f"{key}.tar"

    def output(self, key: str) -> Path:
        return self.top / "outputs" / f"{key}.json"

    def flight(self, key: str) -> Path:
        return self.top / "locks" / f"{key}.lock"

    def beside_record(self, key: str) -> tuple[Path, ...]:
        """What there can be of a key but its record, which goes first and comes last."""
        return self.layer(key), self.artefacts(key), self.log(key), self.output(key)


def prepare(places: Places, *, read_only: bool) -> bool:
    """Make what is missing; returns whether the store can be written. HostError if it can't be used at all."""
    writable = not read_only and _make(places)
    _check_private(places.top)
    try:
        writable = writable and _make_inside(places)
        _check_format(places.top / "format", writable)
    except OSError as error:
        raise _unusable(places.top, error) from error
    return writable


def read_secret(places: Places, *, writable: bool) -> bytes:
    """The store's secret, made by whoever comes first; random where there is none and none can be kept."""
    with suppress(OSError):
        if len(kept := places.secret.read_bytes()) == SECRET_BYTES:
            return kept
    if not writable:
        return os.urandom(SECRET_BYTES)
    with locks.held(places.lock):
        with suppress(FileNotFoundError):
            if len(kept := places.secret.read_bytes()) == SECRET_BYTES:
                return kept
        fresh = os.urandom(SECRET_BYTES)
        try:
            replace_file(places.secret, fresh)
        except OSError as error:
            raise _unusable(places.top, error) from error
        return fresh


def replace_file(path: Path, data: bytes) -> None:
    """Write a small private file so that, whatever happens, it is the old one or the whole new one; OSError."""
    fresh = path.with_name(f".{path.name}.new")
    try:
        write_file(fresh, data)
        fresh.replace(path)
    except OSError:
        fresh.unlink(missing_ok=True)
        raise


def write_file(path: Path, data: bytes) -> None:
    """Write a private file and see it onto the disk; OSError."""
    with open(path, "wb", opener=_private) as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _make(places: Places) -> bool:
    """Make the directory itself; False where it is there but on a filesystem that can't be written."""
    try:
        places.top.parent.mkdir(parents=True, exist_ok=True)
        places.top.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        if not places.top.is_dir():
            raise _unusable(places.top, error) from error
    return True


def _make_inside(places: Places) -> bool:
    try:
        for name in _DIRECTORIES:
            (places.top / name).mkdir(mode=0o700, exist_ok=True)
        file = places.top / "format"
        if not file.exists():
            with locks.held(places.lock):
                replace_file(file, f"{FORMAT}\n".encode())
    except OSError:  # read-only, full, or somebody else's: what is there can be read all the same
        return False
    return os.access(places.records, os.W_OK)


def _check_private(top: Path) -> None:
    try:
        found = top.stat()
    except OSError as error:
        raise _unusable(top, error) from error
    if not stat.S_ISDIR(found.st_mode):
        raise HostError(f"the layer store {top} is no directory")
    if found.st_uid != os.geteuid():
        raise HostError(
            f"the layer store {top} belongs to another user (uid {found.st_uid})",
            hint="layers are run as they are: use a store of your own (--cache-dir DIR)",
        )
    if found.st_mode & 0o077:
        raise HostError(
            f"the layer store {top} can be entered by other users (mode {stat.S_IMODE(found.st_mode):04o})",
            hint=f"layers can hold passwords: chmod 0700 {top}",
        )


def _check_format(file: Path, writable: bool) -> None:
    try:
        text = file.read_text().strip()
    except FileNotFoundError:
        if writable:
            raise
        return  # a store that never was: nothing is found in it
    if text != str(FORMAT):
        raise HostError(
            f"the layer store {file.parent} has the format {text[:20]!r}, and this dib-py knows {FORMAT}",
            hint="use another directory (--cache-dir DIR), or remove it",
        )


def _unusable(top: Path, error: OSError) -> HostError:
    hint = "--cache-dir DIR puts it somewhere else"
    return HostError(f"the layer store {top} can't be used: {error.strerror or error}", hint=hint)
