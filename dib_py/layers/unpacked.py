"""An archive of layers, unpacked and compared with itself: what it says it holds is what is in it.

It is not trusted to be one: names, sizes and order are those that its first member says, which are such as a store
itself would have chosen; nothing is written anywhere else, and nothing larger than there is room for.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import IO

from dib_py.base.unpack import write_sparse
from dib_py.disk.image import refuse_data_file, refuse_references
from dib_py.errors import DiskError, HostError
from dib_py.layers.archive import MANIFEST, SECRET, Manifest, Told, base_name
from dib_py.layers.commit import Files
from dib_py.layers.eviction import allocated
from dib_py.layers.integrity import links
from dib_py.layers.members import Malformed, read_content, read_end, read_header
from dib_py.layers.places import SECRET_BYTES
from dib_py.layers.record import Record
from dib_py.layers.store import KEY

LARGEST_TEXT = 64 * 1024**2  # bytes of the manifest, and of a record
_HOLE = 64 * 1024  # bytes of zeroes that become a hole


class Unpacked:
    """The members of an archive as files, with their digests."""

    def __init__(self, directory: Path, manifest: Manifest, digests: Mapping[str, str]) -> None:
        self._directory = directory
        self._manifest = manifest
        self._digests = digests

    @classmethod
    def read(cls, stream: IO[bytes], directory: Path, cap: int | None, told: Told) -> Unpacked:
        """Unpack into ``directory``; raises Malformed, and ValueError from what reads JSON."""
        manifest = _read_manifest(stream)
        _refuse_too_much(manifest, directory.parent, cap)
        digests: dict[str, str] = {}
        for member in manifest.members:
            if read_header(stream) != (member.name, member.size):
                raise Malformed(f"{member.name} is not where it should be")
            path = directory / member.name
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with open(path, "xb", opener=_private) as file:
                sink = _Sink(file, "sha256" if member.name.startswith("bases/") else "blake2b", told)
                read_content(stream, member.size, sink.take)
                digests[member.name] = sink.end()
        read_end(stream)
        return cls(directory, manifest, digests)

    def verified(self) -> list[Record]:
        """The records, after everything was compared with them."""
        found: dict[str, Record] = {}
        for key in self._manifest.steps:
            record = found[key] = self._record(key)
            below = found.get(record.parent)
            if record.parent_content and (below is None or below.content != record.parent_content):
                raise Malformed(f"layer {key} does not lie on what is below it")
        for key in self._manifest.keys:
            links(key, found.get)
        self._check_bases()
        return list(found.values())

    def secret(self) -> bytes:
        return (self._directory / SECRET).read_bytes()

    def files(self, record: Record) -> Files:
        """What there is of a step."""
        return Files(
            self._path(f"layers/{record.key}.qcow2"),
            self._path(f"logs/{record.key}.log"),
            self._path(f"artefacts/{record.key}.tar"),
        )

    def move_bases(self, bases: Path) -> tuple[Path, ...]:
        """Put the base images into a directory; returns where they are now."""
        found = []
        for base in self._manifest.bases:
            bases.mkdir(mode=0o700, parents=True, exist_ok=True)
            found.append(bases / f"{base.digest.rpartition(':')[2]}.{base.format}")
            shutil.move(self._directory / base_name(base), found[-1])
        return tuple(found)

    def _check_bases(self) -> None:
        for base in self._manifest.bases:
            if base.digest != f"sha256:{self._digests[base_name(base)]}":
                raise Malformed("a base image is damaged")
            refuse_references(self._directory / base_name(base), base.format)

    def _record(self, key: str) -> Record:
        record = Record.from_json((self._directory / f"records/{key}.json").read_text())
        files = self.files(record)
        if not record.key == key == record.ingredients.key or not record.content:
            raise Malformed(f"the record of layer {key} is another's")
        if (files.layer is None) != (record.digest == "") or (files.artefacts is None) != (record.archive == ""):
            raise Malformed(f"files of layer {key} are missing")
        if files.artefacts and self._digests[f"artefacts/{key}.tar"] != record.archive:
            raise Malformed(f"the artefacts of layer {key} are damaged")
        if files.layer is None:
            return dataclasses.replace(record, pending="")
        digest = self._digests[f"layers/{key}.qcow2"]
        if digest not in (record.digest, record.pending):
            raise Malformed(f"layer {key} is damaged")
        refuse_data_file(files.layer)
        return dataclasses.replace(record, digest=digest, pending="", allocated=allocated(files.layer))

    def _path(self, name: str) -> Path | None:
        return self._directory / name if name in self._digests else None


class _Sink:
    """Writes a file with its holes and takes its digest."""

    def __init__(self, file: IO[bytes], kind: str, told: Told) -> None:
        self._file = file
        self._digest = hashlib.new(kind, usedforsecurity=False)
        self._told = told

    def take(self, chunk: bytes) -> None:
        self._digest.update(chunk)
        for start in range(0, len(chunk), _HOLE):
            write_sparse(self._file, chunk[start : start + _HOLE])
        self._told(len(chunk))

    def end(self) -> str:
        self._file.truncate(self._file.tell())
        return self._digest.hexdigest()


def _read_manifest(stream: IO[bytes]) -> Manifest:
    name, size = read_header(stream)
    if name != MANIFEST or size > LARGEST_TEXT:
        raise Malformed("it does not begin as one does")
    parts: list[bytes] = []
    read_content(stream, size, parts.append)
    try:
        manifest = Manifest.from_json(b"".join(parts))
    except (KeyError, TypeError, AttributeError, RecursionError) as error:
        raise Malformed(f"it has no good manifest: {error}") from error
    _check_names(manifest)
    return manifest


def _check_names(manifest: Manifest) -> None:
    """See that only files are named that an archive can have, each once."""
    steps, names = set(manifest.steps), [member.name for member in manifest.members]
    allowed: dict[str, int | None] = {SECRET: None, **{base_name(base): None for base in manifest.bases}}
    for key in steps:
        if not KEY.fullmatch(key):
            raise Malformed(f"{key!r} is no key")
        allowed |= {f"records/{key}.json": LARGEST_TEXT, f"logs/{key}.log": None}
        allowed |= {f"layers/{key}.qcow2": None, f"artefacts/{key}.tar": None}
    needed = {SECRET, *(f"records/{key}.json" for key in steps), *map(base_name, manifest.bases)}
    if len(steps) != len(manifest.steps) or len(set(names)) != len(names) or not needed <= set(names) <= set(allowed):
        raise Malformed("its manifest names files that can't be in one, or leaves some out")
    if not set(manifest.keys) <= steps:
        raise Malformed("it lacks what it is about")
    for member in manifest.members:
        largest = allowed[member.name]
        wrong = member.size != SECRET_BYTES if member.name == SECRET else member.size < 0
        if wrong or (largest is not None and member.size > largest):
            raise Malformed(f"{member.name} has an impossible size")


def _refuse_too_much(manifest: Manifest, directory: Path, cap: int | None) -> None:
    free = os.statvfs(directory)
    if manifest.bytes > free.f_bavail * free.f_frsize:
        raise DiskError("there is no room for it", where=str(directory))
    if cap is not None and sum(one.size for one in manifest.members if not one.name.startswith("bases/")) > cap:
        raise HostError("it has more than the layer store may", hint="DIB_PY_LAYERS_SIZE=GiB raises that")


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
