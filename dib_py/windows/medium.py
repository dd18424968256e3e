"""A medium with files: a directory of this machine, or an ISO, whose names may be in any of its trees."""

from __future__ import annotations

import contextlib
import io
import shutil
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Protocol

import pycdlib
from pycdlib.pycdlibexception import PyCdlibException

from dib_py.errors import HostError


class Medium(Protocol):
    """A tree of files; ``name`` is what messages call it."""

    name: str

    def paths(self) -> Iterable[str]:
        """Every file, with ``/`` between names."""
        ...

    def read(self, path: str) -> bytes: ...

    def fetch(self, path: str, destination: Path) -> None:
        """Copy a file of any size to this machine."""
        ...


class Directory:
    """A directory of this machine as a medium."""

    def __init__(self, root: Path) -> None:
        self.name = str(root)
        self._root = root
        self._paths = tuple(
            path.relative_to(root).as_posix() for path in sorted(root.rglob("*")) if not path.is_dir() and path.exists()
        )

    def paths(self) -> Iterable[str]:
        return self._paths

    def read(self, path: str) -> bytes:
        return (self._root / path).read_bytes()

    def fetch(self, path: str, destination: Path) -> None:
        shutil.copyfile(self._root / path, destination)


class _Iso:
    def __init__(self, name: str, iso: pycdlib.PyCdlib) -> None:
        self.name = name
        self._iso = iso
        # the first of these trees that an image has; plain ISO 9660 has short names in capitals
        kinds = (("rr_path", iso.has_rock_ridge()), ("joliet_path", iso.has_joliet()), ("udf_path", iso.has_udf()))
        self._kind = next((kind for kind, there in kinds if there), "iso_path")
        self._paths = {self._shown(path): path for path in self._walk()}

    def paths(self) -> Iterable[str]:
        return self._paths

    def read(self, path: str) -> bytes:
        content = io.BytesIO()
        with _readable(self.name):
            self._iso.get_file_from_iso_fp(content, **{self._kind: self._paths[path]})
        return content.getvalue()

    def fetch(self, path: str, destination: Path) -> None:
        with destination.open("wb") as file, _readable(self.name):
            self._iso.get_file_from_iso_fp(file, **{self._kind: self._paths[path]})

    def _walk(self) -> Iterator[str]:
        for directory, _, files in self._iso.walk(**{self._kind: "/"}):
            yield from (f"{directory.rstrip('/')}/{name}" for name in files)

    def _shown(self, path: str) -> str:
        name = path.lstrip("/")
        return name.partition(";")[0].rstrip(".") if self._kind == "iso_path" else name


@contextlib.contextmanager
def iso(source: Path) -> Iterator[Medium]:
    """The files of an ISO; HostError if it is none or damaged."""
    iso = pycdlib.PyCdlib()
    with _readable(str(source)):
        iso.open(str(source))
    try:
        with _readable(str(source)):
            medium = _Iso(str(source), iso)
        yield medium
    finally:
        iso.close()


@contextlib.contextmanager
def _readable(name: str) -> Iterator[None]:
    """HostError for an image that is none or damaged, which pycdlib also tells by errors of what it is made of."""
    try:
        yield
    except (PyCdlibException, OSError, struct.error, LookupError, ValueError) as error:
        raise HostError(
            f"{name} is no ISO image that can be read", hint="it may be cut off, or another file"
        ) from error
