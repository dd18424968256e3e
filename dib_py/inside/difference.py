"""How two images differ, as a value: files, a Windows' registry and boot entries, a Linux' packages.

``dib_py/schema/diff.json`` describes its JSON. Files are compared as streams and hives key by key, so that an image's
size does not matter; what differs is kept in memory.
"""

from __future__ import annotations

import dataclasses
import filecmp
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from dib_py.errors import BaseError
from dib_py.inside import changes, packages, rpm, trees
from dib_py.inside.changes import Digests, FileChange
from dib_py.inside.guests import LinuxGuest, WindowsGuest
from dib_py.inside.opening import OpenImage
from dib_py.inside.packages import Packages
from dib_py.inside.trees import Entry, Listing
from dib_py.windows import boot_changes, registry_changes
from dib_py.windows.boot_changes import BootChange
from dib_py.windows.hive import Hive, Value
from dib_py.windows.registry import HiveFile, standard_hives
from dib_py.windows.registry_changes import KeyChange
from dib_py.windows.volume import Volume

VERSION = 1  # of the JSON
BOOT_STORE = "boot configuration"  # among hives; no running Windows mounts it under a name that people know

Guest = WindowsGuest | LinuxGuest


@dataclass(frozen=True)
class PackageChange:
    """A package that only one of the images has (its version in the other is empty), or in another version."""

    name: str
    before: str
    after: str


@dataclass(frozen=True)
class Difference:
    """``registry`` has the changes of each hive that has any, by where it is mounted.

    ``unseen`` is how many files of each of the two could not be listed, and so were not compared.
    """

    files: tuple[FileChange, ...] = ()
    registry: Mapping[str, tuple[KeyChange, ...]] = field(default_factory=dict)
    boot: tuple[BootChange, ...] = ()
    packages: tuple[PackageChange, ...] = ()
    unseen: tuple[int, int] = (0, 0)

    @property
    def is_empty(self) -> bool:
        return not (self.files or self.registry or self.boot or self.packages)


def compare(base: tuple[OpenImage, Guest], image: tuple[OpenImage, Guest]) -> Difference:
    """How the second of two opened images differs from the first; BaseError for those that can't be compared."""
    old, new = base[1], image[1]
    if isinstance(old, WindowsGuest) and isinstance(new, WindowsGuest):
        before, after = _hives(base[0], old), _hives(image[0], new)
        boot = tuple(boot_changes.compare(_opened(before, BOOT_STORE), _opened(after, BOOT_STORE)))
        registry = dict(_registry(before, after))
        hives = {path.casefold() for guest in (old, new) for path in _hive_paths(guest)}
        files, unseen = _files(base[0], old, image[0], new)
        files = [one for one in files if one.path.casefold() not in hives]
        return Difference(tuple(files), registry, boot, unseen=unseen)
    if isinstance(old, LinuxGuest) and isinstance(new, LinuxGuest):
        changed = compare_packages(_installed(base[0], old), _installed(image[0], new))
        files, unseen = _files(base[0], old, image[0], new)
        return Difference(tuple(files), packages=tuple(changed), unseen=unseen)
    kinds = ["a Windows" if isinstance(guest, WindowsGuest) else "a Linux" for guest in (old, new)]
    raise BaseError(f"{base[0].path} has {kinds[0]} in it and {image[0].path} {kinds[1]}: they can't be compared")


def compare_packages(before: Packages, after: Packages) -> Iterator[PackageChange]:
    """Changes in the order of names."""
    for name in sorted({*before.versions, *after.versions}):
        old, new = before.versions.get(name, ""), after.versions.get(name, "")
        if old != new:
            yield PackageChange(name, old, new)


def _installed(image: OpenImage, guest: LinuxGuest) -> Packages:
    found = packages.installed(guest.files, lambda: rpm.packages(image.appliance, guest, image.scratch))
    if not found.is_read:
        raise BaseError(
            "the packages of the image can't be compared: its rpm database can't be read", where=str(image.path)
        )
    return found


# -- files
def _files(base: OpenImage, old: Guest, image: OpenImage, new: Guest) -> tuple[list[FileChange], tuple[int, int]]:
    """The changes of all volumes, and how many files of each image were not seen.

    A volume that only one of them has counts as empty in the other.
    """
    found: list[FileChange] = []
    unseen = [0, 0]
    for point, shown in {point: shown for guest in (old, new) for point, shown in guest.points}.items():
        before, after = _listing(base, old, point), _listing(image, new, point)
        unseen = [unseen[0] + before.unseen, unseen[1] + after.unseen]
        read = trees.read(before), trees.read(after)
        for change in changes.compare(*read, _digests(base, point), _digests(image, point)):
            found.append(FileChange(f"{shown}/{change.path}", change.before, change.after, change.what))
    return found, (unseen[0], unseen[1])


def _digests(image: OpenImage, point: str) -> Digests:
    return lambda paths: trees.digests(image.appliance.engine_runner, point, paths)


def _listing(image: OpenImage, guest: Guest, point: str) -> Listing:
    if any(point == known for known, _ in guest.points):
        return trees.listed(image.appliance.engine_runner, point, image.scratch)
    empty = image.scratch / "nothing"
    empty.touch()
    return Listing(empty)


# -- registry
def _registry(before: Mapping[str, Path], after: Mapping[str, Path]) -> Iterator[tuple[str, tuple[KeyChange, ...]]]:
    for mounted in dict.fromkeys([*before, *after]):
        one, other = before.get(mounted), after.get(mounted)
        if mounted == BOOT_STORE or (one and other and filecmp.cmp(one, other, shallow=False)):
            continue
        found = tuple(registry_changes.compare(_opened(before, mounted), _opened(after, mounted), mounted))
        if found:
            yield mounted, found


def _opened(hives: Mapping[str, Path], mounted: str) -> Hive | None:
    return Hive(hives[mounted], mounted) if mounted in hives else None


def _hives(image: OpenImage, guest: WindowsGuest) -> dict[str, Path]:
    """Copies of all hives on this machine, by where a running Windows mounts them; the boot store is one."""
    directory = image.scratch / "compared"
    directory.mkdir()
    found = {}
    for number, (mounted, volume, path) in enumerate(_stored(guest)):
        copy = directory / str(number)
        volume.fetch(path, copy)
        found[mounted] = copy
    return found


def _stored(guest: WindowsGuest) -> Iterator[tuple[str, Volume, str]]:
    """Where each hive is mounted, its volume, and its path there."""
    volume = guest.installation.volume
    for file in (*standard_hives(guest.installation.facts.system_root), *_profiles(volume)):
        if volume.exists(file.path):
            yield file.mounted, volume, file.path
    store = guest.installation.boot_store()
    if store is not None:
        yield BOOT_STORE, *store


def _profiles(volume: Volume) -> Iterator[HiveFile]:
    for user in volume.names("/Users"):
        if user.casefold() not in ("default", "default user", "all users"):  # the latter two are junctions
            yield HiveFile(f"HKU\\{user}", f"/Users/{user}/NTUSER.DAT")


def _hive_paths(guest: WindowsGuest) -> Iterator[str]:
    """What the files of these hives are called among all files; they are told of as registry."""
    shown = {guest.installation.volume: "C:", guest.installation.boot: "boot:"}
    for _, volume, path in _stored(guest):
        yield f"{shown[volume]}{volume.resolve(path)}"


# -- JSON
def to_json(base: str, image: str, found: Difference) -> str:
    """See the schema."""
    told = {
        "version": VERSION,
        "base": base,
        "image": image,
        "files": [_file(one) for one in found.files],
        "registry": {mounted: [_key(one) for one in keys] for mounted, keys in found.registry.items()},
        "boot": [dataclasses.asdict(one) for one in found.boot],
        "packages": [
            {"name": one.name, "before": one.before or None, "after": one.after or None} for one in found.packages
        ],
        "unseen": {"base": found.unseen[0], "image": found.unseen[1]},
    }
    return json.dumps(told, indent=2)


def _file(change: FileChange) -> dict[str, object]:
    told: dict[str, object] = {"path": change.path, "change": _word(change.before is None, change.after is None)}
    if change.what:
        told["what"] = list(change.what)
    return told | {
        name: {"kind": entry.kind, "mode": entry.mode, "owner": entry.owner, "size": entry.size, "link": entry.link}
        for name, entry in _sides(change.before, change.after)
    }


def _sides(before: Entry | None, after: Entry | None) -> Iterator[tuple[str, Entry]]:
    if before is not None:
        yield "before", before
    if after is not None:
        yield "after", after


def _key(change: KeyChange) -> dict[str, object]:
    return {
        "key": change.key,
        "change": _word(change.added, change.removed),
        "values": [
            {"name": one.name, "before": _value(one.before), "after": _value(one.after)} for one in change.values
        ],
    }


def _value(value: Value | None) -> dict[str, object] | None:
    return None if value is None else {"type": value.type, "data": value.data.hex()}


def _word(added: bool, removed: bool) -> str:
    return "added" if added else "removed" if removed else "changed"
