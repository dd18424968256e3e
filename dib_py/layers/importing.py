"""Takes layers of another store in, from an archive or from where that store is.

All of an archive is unpacked and verified before any of it is in the store. What is in the layers is trusted: they are
run as they are.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from dib_py import process
from dib_py.errors import DiskError, HostError
from dib_py.keys import KEYED
from dib_py.layers import eviction, locks, running
from dib_py.layers.archive import UNPACK, Told
from dib_py.layers.commit import Files
from dib_py.layers.integrity import Broken, digest_of
from dib_py.layers.members import Malformed
from dib_py.layers.places import replace_file
from dib_py.layers.record import Record
from dib_py.layers.session import Session
from dib_py.layers.store import Store
from dib_py.layers.unpacked import Unpacked
from dib_py.process import CommandFailed

_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"


@dataclass(frozen=True)
class Imported:
    """What became of an archive's layers.

    ``kept`` were there before. ``other_runs`` can't be used, as the store has another run of the step or of one below.
    ``never_hit`` are those whose key has a secret in it, in a store with a secret of its own.
    """

    added: tuple[Record, ...]
    kept: tuple[Record, ...]
    other_runs: tuple[Record, ...]
    never_hit: tuple[Record, ...]
    bases: tuple[Path, ...]


def bring_in(store: Store, source: Path, *, bases: Path, told: Told) -> Imported:
    """Add the layers in an archive to a store; base images that are with them go into the directory ``bases``.

    HostError for what is no archive, or no good one, DiskError where there is no room for it; the layers are as before
    then.
    """
    if not store.writable:
        raise HostError(f"the layer store {store.directory} can't be written")
    with store.session() as session, _explained(source):
        directory = session.directory / "import"
        with source.open("rb") as file:
            if file.read(len(_ZSTD_MAGIC)) != _ZSTD_MAGIC:
                raise Malformed("it is not compressed with zstd")
        with process.reading([*UNPACK, source.absolute()]) as stream:
            unpacked = Unpacked.read(stream, directory, store.cap, told)
        records = unpacked.verified()
        same_secret = _take_secret(store, session, unpacked.secret())
        added, kept, other_runs = _install(store, session, records, unpacked.files)
        found_bases = unpacked.move_bases(bases)
    never = () if same_secret else _with_secrets(records)
    return Imported(added, kept, other_runs, tuple(record for record in never if record in added), found_bases)


def adopt(store: Store, session: Session, other: Store, key: str) -> bool:
    """Copy what leads to a key from another store; returns whether it is a hit in this one then.

    DiskError where there is no room.
    """

    def copied(record: Record) -> Files:
        files = Files(other.places.layer(record.key) if record.digest else None, other.log(record.key))
        if record.archive:
            files = dataclasses.replace(files, artefacts=other.artefacts(record.key))
        if files.layer is None:
            return files
        copy = session.overlay()
        process.run(["cp", "--reflink=auto", "--sparse=always", files.layer, copy])
        if digest_of(copy) != record.digest:
            raise Broken(f"layer {record.key} was damaged or removed meanwhile")
        return dataclasses.replace(files, layer=copy)

    session.use([key])
    if store.chain(key) is not None:
        return True
    try:
        steps = [_settled(record, other) for record in other.verified(key).steps]
        _install(store, session, steps, copied)
    except Broken:
        return False
    except (OSError, CommandFailed) as error:
        raise DiskError(f"layers of {other.directory} can't be copied: {error}") from error
    session.use([key])
    return store.chain(key) is not None


def _settled(record: Record, store: Store) -> Record:
    """The record of a merge that was killed, with the one digest that its file has."""
    if not record.pending:
        return record
    return dataclasses.replace(record, digest=digest_of(store.places.layer(record.key)), pending="")


def _take_secret(store: Store, session: Session, secret: bytes) -> bool:
    """Make an empty store's secret that of the archive; returns whether they are the same now."""
    with locks.held(store.places.lock):
        empty = next(store.records(), None) is None and not running.others(store.places.builds, session.directory)
        if empty and store.secret != secret:
            replace_file(store.places.secret, secret)
            store.secret = secret
    return store.secret == secret


def _install(
    store: Store, session: Session, records: Sequence[Record], files_of: Callable[[Record], Files]
) -> tuple[tuple[Record, ...], tuple[Record, ...], tuple[Record, ...]]:
    """Add what is not there; all or, where that fails, nothing."""
    by_key = {record.key: record for record in records}
    session.use(by_key)
    added: list[Record] = []
    kept: list[Record] = []
    other_runs: list[Record] = []
    try:
        for record in records:
            there = store.record(record.key)
            if there is not None and (not there.digest or store.chain(record.key) is not None):
                (kept if there.content == record.content else other_runs).append(record)
                continue
            fitted = _fitted(store, record, by_key)
            if fitted is not None and session.install(fitted, files_of(record)):
                added.append(record)
            else:
                other_runs.append(record)
    except BaseException:
        with locks.held(store.places.lock):
            used = running.used(store.places.builds, but=session.directory)
            for record in reversed(added):
                if record.key not in used:
                    eviction.remove_files(store.places, record.key, store.verifier.forget)
        raise
    return tuple(added), tuple(kept), tuple(other_runs)


def _fitted(store: Store, record: Record, by_key: Mapping[str, Record]) -> Record | None:
    """The record with the layer that it lies on here, where other steps may have been merged; None for none."""
    if not record.parent_content:
        return record
    below = store.record(record.parent)
    if below is None:
        return None
    lies_on = below.key if below.digest else below.backing
    step: Record | None = record
    while step is not None and step.key != record.backing:  # the layer holds all that was done since its own backing
        step = by_key.get(step.parent) if step.parent_content else None
        if (step.key if step else "") == lies_on:
            return dataclasses.replace(record, backing=lies_on)
    return None


def _with_secrets(records: Sequence[Record]) -> list[Record]:
    """The steps that have a secret in their key, and all that come after them."""
    found: dict[str, Record] = {}
    for record in records:
        values = [*record.ingredients.variables.values(), record.ingredients.argument]
        if record.parent in found or any(value.startswith(KEYED) for value in values):
            found[record.key] = record
    return list(found.values())


@contextmanager
def _explained(source: Path) -> Iterator[None]:
    try:
        yield
    except (Malformed, Broken, ValueError) as error:
        raise HostError(f"{source} is no good archive of layers: {error}") from error
    except CommandFailed as failed:
        raise HostError(f"{source} can't be unpacked: {failed.output.strip()}") from failed
    except OSError as error:
        raise DiskError(f"{source} can't be imported: {error.strerror or error}") from error
