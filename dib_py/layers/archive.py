"""Chains of layers as one file: what a machine has built, another goes on from.

The file is a tar archive, compressed with the zstd program (which base images need as well; the library of that name
would be one more compiled dependency, and Python has its own only from 3.14 on). Its first member says which others
follow, in which order and how large; a reader takes those and nothing else.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import dib_py
from dib_py import process
from dib_py.errors import DiskError, HostError
from dib_py.layers.integrity import Broken
from dib_py.layers.members import chunks, write_end, write_member
from dib_py.layers.record import BaseRecord, Record, decoded
from dib_py.layers.store import Store
from dib_py.process import CommandFailed

FORMAT = 1
MANIFEST = "dib-py-layers.json"
SECRET = "secret"
COMPRESS = ("zstd", "-q", "-T0", "-c")
UNPACK = ("zstd", "-d", "-q", "-c")

Told = Callable[[int], object]  # how many bytes more are done


@dataclass(frozen=True)
class Member:
    """One file of an archive."""

    name: str
    size: int
    source: Path


@dataclass(frozen=True)
class Listed:
    """A member, as the manifest names it."""

    name: str
    size: int


@dataclass(frozen=True)
class Manifest:
    """What an archive holds: ``steps`` are keys, each behind the one that it came after."""

    keys: tuple[str, ...]
    steps: tuple[str, ...]
    members: tuple[Listed, ...]
    bases: tuple[BaseRecord, ...] = ()
    engine: str = dib_py.__version__

    def to_json(self) -> str:
        return json.dumps({"format": FORMAT, **dataclasses.asdict(self)}, indent=1)

    @classmethod
    def from_json(cls, text: bytes) -> Manifest:
        """Raises ValueError, KeyError, TypeError or AttributeError for what is none."""
        data = json.loads(text)
        if data.pop("format") != FORMAT:
            raise ValueError("it is of another format: a newer dib-py wrote it")
        return decoded(cls, data)

    @property
    def bytes(self) -> int:
        """What it takes unpacked."""
        return sum(member.size for member in self.members)


def export(
    store: Store, keys: Sequence[str], destination: Path, *, bases: Sequence[tuple[BaseRecord, Path]], told: Told
) -> Manifest:
    """Write the layers of ``keys``, with all that they lie on, to a file, by rename and for this user's eyes only.

    ``bases`` are base images to go with them. HostError for a key that is no hit, DiskError if it can't be written.
    """
    with store.session() as session:
        session.use(keys)
        records = _records(store, keys)
        members = [*_members(store, records), *(_base_member(base, path) for base, path in bases)]
        manifest = Manifest(
            keys=tuple(keys),
            steps=tuple(record.key for record in records),
            members=tuple(Listed(member.name, member.size) for member in members),
            bases=tuple(base for base, _ in bases),
        )
        partial = destination.with_name(f".{destination.name}.{secrets.token_hex(4)}.partial")
        try:
            with open(partial, "wb", opener=_private) as file:
                with process.writing(COMPRESS, file) as archive:
                    _write(archive, manifest, members, told)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(destination)
        except CommandFailed as failed:
            raise DiskError(f"{destination} can't be written: {failed.output.strip()}") from failed
        except OSError as error:
            raise DiskError(f"{destination} can't be written: {error.strerror or error}") from error
        finally:
            with suppress(OSError):
                partial.unlink(missing_ok=True)
    return manifest


def base_name(base: BaseRecord) -> str:
    """The member that a base image is."""
    return f"bases/{hashlib.sha256(base.digest.encode()).hexdigest()}"


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_EXCL, 0o600)


def _records(store: Store, keys: Sequence[str]) -> list[Record]:
    """The records of the steps that lead to ``keys``, each once and behind the one before it."""
    found: dict[str, Record] = {}
    for key in keys:
        try:
            found.update((record.key, record) for record in store.verified(key).steps)
        except Broken as broken:
            raise HostError(f"layer {key} can't be exported: {broken}", hint="dib-py layers verify") from broken
    return list(found.values())


def _members(store: Store, records: Sequence[Record]) -> Iterator[Member]:
    places = store.places
    yield Member(SECRET, len(store.secret), places.secret)
    for record in records:
        paths = {"records": places.record(record.key), "logs": places.log(record.key)}
        if record.archive:
            paths["artefacts"] = places.artefacts(record.key)
        if record.digest:
            paths["layers"] = places.layer(record.key)
        for path in paths.values():
            if path.exists():
                yield Member(f"{path.parent.name}/{path.name}", path.stat().st_size, path)


def _base_member(base: BaseRecord, path: Path) -> Member:
    return Member(base_name(base), path.stat().st_size, path)


def _write(archive: IO[bytes], manifest: Manifest, members: Sequence[Member], told: Told) -> None:
    text = manifest.to_json().encode()
    write_member(archive, MANIFEST, len(text), iter([text]))
    for member in members:
        write_member(archive, member.name, member.size, _counted(chunks(member.source), told))
    write_end(archive)


def _counted(data: Iterator[bytes], told: Told) -> Iterator[bytes]:
    for chunk in data:
        yield chunk
        told(len(chunk))
