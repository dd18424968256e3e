"""Bind mounts that host-side hooks leave in the guest's tree: a package cache of this machine, for the hooks behind.

They are no part of a layer. So that a build can go on from one, each is told as a path of this machine and a path in
the guest, and made again. What can't be told so (a filesystem of its own, a tmpfs) is told as what it is.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from dib_py import mount_table, namespaces
from dib_py.errors import TargetError
from dib_py.layers.record import BindMount
from dib_py.mount_table import MountEntry
from dib_py.target import LeftMounts, UnkeptMount
from dib_py.target.guest_tree import GuestTree

# Every mount of these shows the same, so this machine's own stands for one that a hook made.
_THE_SAME_EVERYWHERE = {"proc": Path("/proc"), "sysfs": Path("/sys")}


def find(root: Path, *, filesystems: Collection[Path], engine: Collection[Path] = ()) -> LeftMounts:
    """What is mounted below ``root`` now and is neither one of the image's ``filesystems`` (mount points) nor the
    engine's (at the paths ``engine`` or below these)."""
    table = mount_table.read()
    kept: list[BindMount] = []
    unkept: list[UnkeptMount] = []
    for point in foreign(table, root, filesystems, engine):
        entry = _visible(point, table)
        if entry is None:  # another one was mounted over it
            continue
        path = f"/{point.relative_to(root)}"
        source = _source(entry, table, root)
        if entry.read_only:
            unkept.append(UnkeptMount(path, "it is mounted read-only"))
        elif source is None:
            unkept.append(UnkeptMount(path, f"what is mounted there ({entry.fstype}) has no name on this machine"))
        else:
            kept.append(BindMount(str(source), path))
    return LeftMounts(tuple(kept), tuple(unkept))


def foreign(
    table: Iterable[MountEntry], root: Path, filesystems: Collection[Path], engine: Collection[Path] = ()
) -> list[Path]:
    """The mount points of ``table`` that :func:`find` is about, in the order in which the last mount at each was made:
    mounting may reach other places, which what was mounted earlier does not."""
    points = {entry.point: number for number, entry in enumerate(table) if root in entry.point.parents}
    return [
        point
        for point in sorted(points, key=points.__getitem__)
        if point not in filesystems and not any(one == point or one in point.parents for one in engine)
    ]


def _visible(point: Path, table: Iterable[MountEntry]) -> MountEntry | None:
    """The mount that is seen at a mount point: of several there the last, unless one above hides them."""
    with suppress(OSError):
        number = mount_table.mount_number(point)
        return next((entry for entry in table if entry.number == number and entry.point == point), None)
    return None


def _source(entry: MountEntry, table: Sequence[MountEntry], root: Path) -> Path | None:
    """The path of this machine that is mounted there, rather one outside of the guest's tree."""
    if entry.root == "/" and entry.fstype in _THE_SAME_EVERYWHERE:
        return _THE_SAME_EVERYWHERE[entry.fstype]
    names = [name for name in mount_table.names_of(entry.device, entry.root, table) if name != entry.point]
    for name in sorted(names, key=lambda one: root in one.parents):
        with suppress(OSError):
            if name.resolve() == name and name.samefile(entry.point):
                return name
    return None


def mount_again(tree: GuestTree, mounts: Iterable[BindMount]) -> None:
    """Make the mounts that an earlier build had; a directory that is gone since is made, as the hook would have."""
    for mount in mounts:
        if not tree.exists(mount.path):
            tree.make_directory(mount.path)
        point = tree.resolved(mount.path)
        try:
            if point.is_dir():
                Path(mount.source).mkdir(parents=True, exist_ok=True)
            namespaces.mount(mount.source, point, flags=namespaces.MS_BIND)
        except OSError as error:
            raise TargetError(
                f"{mount.source}, which a hook had mounted in the guest, can't be mounted again: {error}",
                where=mount.path,
                hint="--no-cache runs the hook again",
            ) from error
