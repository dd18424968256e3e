"""A step's artefacts as one tar archive: what it removed, what is there now, as one state becomes the next.

The members are named ``AREA/PATH``. The first one, ``changes.json``, says what was removed and which directories only
have another time. Extended attributes are kept as libarchive does; times have nanoseconds. Applying an archive never
leaves the areas' directories, whatever its names and the links in these say.
"""

from __future__ import annotations

import base64
import io
import json
import os
import shutil
import stat
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from decimal import Decimal
from errno import EINVAL, ENOTSUP, EPERM
from pathlib import Path
from urllib.parse import quote, unquote

from dib_py.artefacts import trees
from dib_py.target.guest_tree import open_inside

FORMAT = 1
CHANGES = "changes.json"

_XATTR = "LIBARCHIVE.xattr."
_BLOCK = 1024**2
_SECOND = 10**9
_TYPES = {
    stat.S_IFREG: tarfile.REGTYPE,
    stat.S_IFDIR: tarfile.DIRTYPE,
    stat.S_IFLNK: tarfile.SYMTYPE,
    stat.S_IFIFO: tarfile.FIFOTYPE,
    stat.S_IFCHR: tarfile.CHRTYPE,
    stat.S_IFBLK: tarfile.BLKTYPE,
}
_NODES = {tarfile.FIFOTYPE: stat.S_IFIFO, tarfile.CHRTYPE: stat.S_IFCHR, tarfile.BLKTYPE: stat.S_IFBLK}


@dataclass
class Content:
    """What goes into an archive, by ``AREA/PATH``: ``present`` says where it lies now, ``before`` has the digests of
    files beside the image as the step found them."""

    removed: list[str] = field(default_factory=list)
    present: dict[str, Path] = field(default_factory=dict)
    touched: dict[str, int] = field(default_factory=dict)
    before: dict[str, str] = field(default_factory=dict)

    @property
    def paths(self) -> tuple[str, ...]:
        return tuple(sorted({*self.removed, *self.present}))


def write(archive: Path, content: Content) -> None:
    """Write ``archive``; the same content gives the same bytes."""
    with tarfile.TarFile(archive, "w", format=tarfile.PAX_FORMAT, copybufsize=_BLOCK) as tar:
        said = {"removed": sorted(content.removed), "touched": content.touched, "before": content.before}
        data = json.dumps({"format": FORMAT, **said}, sort_keys=True).encode()
        head = tarfile.TarInfo(CHANGES)
        head.size = len(data)
        tar.addfile(head, io.BytesIO(data))
        links: dict[tuple[int, int], str] = {}
        for name in sorted(content.present):
            _add(tar, name, content.present[name], links)


def _add(tar: tarfile.TarFile, name: str, place: Path, links: dict[tuple[int, int], str]) -> None:
    status = place.lstat()
    member = tarfile.TarInfo(name)
    member.type = _TYPES[stat.S_IFMT(status.st_mode)]
    member.mode, member.uid, member.gid = stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid
    seconds, rest = divmod(status.st_mtime_ns, _SECOND)
    member.mtime = seconds
    member.pax_headers = {"mtime": f"{Decimal(status.st_mtime_ns) / _SECOND:f}"} if rest else {}
    for attribute, value in trees.attributes(place):
        member.pax_headers[_XATTR + quote(attribute)] = base64.b64encode(value).decode()
    if member.issym():
        member.linkname = os.readlink(place)  # noqa: PTH115 - exactly as it is: a Path would leave out its "./"
    if not member.isdir() and status.st_nlink > 1:
        first = links.setdefault((status.st_dev, status.st_ino), name)
        if first != name:
            member.type, member.linkname = tarfile.LNKTYPE, first
    if member.isreg():
        member.size = status.st_size
        with place.open("rb") as file:
            tar.addfile(member, file)
        return
    if member.ischr() or member.isblk():
        member.devmajor, member.devminor = os.major(status.st_rdev), os.minor(status.st_rdev)
    tar.addfile(member)


def areas(archive: Path) -> set[str]:
    """The names of the areas that an archive changes; ValueError for what is none."""
    with opened(archive) as given:
        names = [*given.removed, *given.touched, *(member.name for member in given.members())]
    return {divided(name)[0] for name in names}


def apply(archive: Path, roots: Mapping[str, Path]) -> None:
    """Do to the directories ``roots`` what the archive says; what it says of other areas is left out.

    ValueError for what is no archive of this format; OSError for what can't be done.
    """
    with opened(archive) as given:
        times = {name: time for name, time in given.touched.items() if divided(name)[0] in roots}
        for name in given.removed:
            area, path = divided(name)
            if area in roots and path:
                with suppress(FileNotFoundError, NotADirectoryError), _reached(roots[area], path) as place:
                    _keep_time(name, place, times)
                    remove(place)
        for member in given.members():
            area, path = divided(member.name)
            if area in roots:
                with _reached(roots[area], path, make=True) as place:
                    _keep_time(member.name, place, times)
                    _put(given.tar, member, roots, place)
                if member.isdir():
                    times[member.name] = time_of(member)
        for name in sorted(times, reverse=True):  # what is in a directory before itself
            area, path = divided(name)
            with suppress(FileNotFoundError, NotADirectoryError), _reached(roots[area], path) as place:
                os.utime(place, ns=(times[name], times[name]), follow_symlinks=False)


def _keep_time(name: str, place: Path, times: dict[str, int]) -> None:
    """A step may have changed a file in its place, while here it is made anew: the directory must not show that."""
    if "/" in name:
        times.setdefault(trees.parent(name), place.parent.stat().st_mtime_ns)


@dataclass(frozen=True)
class Opened:
    """An archive that is read: its lists, and its members from the first on."""

    tar: tarfile.TarFile
    removed: list[str]
    touched: dict[str, int]
    before: dict[str, str]

    def members(self) -> Iterator[tarfile.TarInfo]:
        return (member for member in self.tar if member.name != CHANGES)


@contextmanager
def opened(archive: Path) -> Iterator[Opened]:
    """Read an archive; ValueError for what is none of this format, also for what shows only while it is read."""
    try:
        with tarfile.open(archive, "r:") as tar:
            head = tar.next()
            file = tar.extractfile(head) if head is not None and head.name == CHANGES else None
            if file is None:
                raise ValueError("it has no list of changes")
            said = json.loads(file.read())
            if said["format"] != FORMAT:
                raise ValueError("it is of another format")
            touched = {str(name): int(time) for name, time in said["touched"].items()}
            before = {str(name): str(digest) for name, digest in said["before"].items()}
            yield Opened(tar, [str(name) for name in said["removed"]], touched, before)
    except (tarfile.TarError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(str(error)) from error


def divided(name: str) -> tuple[str, str]:
    """The area and the path in it; ValueError for a name that could mean anything else."""
    area, *parts = name.split("/")
    if area in ("", ".", "..") or any(part in ("", ".", "..") or "\0" in part for part in parts):
        raise ValueError(f"it has a member called {name!r}")
    return area, "/".join(parts)


@contextmanager
def _reached(root: Path, path: str, *, make: bool = False) -> Iterator[Path]:
    """A path to what ``path`` is in ``root``, through its directory, which was reached without leaving ``root``."""
    if not path:
        yield root
        return
    directory, _, name = path.rpartition("/")
    try:
        file = open_inside(root, directory or ".", os.O_PATH | os.O_DIRECTORY)
    except FileNotFoundError:
        if not make:
            raise
        with _reached(root, directory, make=True) as place:
            place.mkdir()
        file = open_inside(root, directory, os.O_PATH | os.O_DIRECTORY)
    try:
        yield Path(f"/proc/self/fd/{file}/{name}")
    finally:
        os.close(file)


def remove(place: Path) -> None:
    """Remove what is at ``place``, with all that is in it."""
    if stat.S_ISDIR(place.lstat().st_mode):
        shutil.rmtree(place)
    else:
        place.unlink()


def _put(tar: tarfile.TarFile, member: tarfile.TarInfo, roots: Mapping[str, Path], place: Path) -> None:
    if member.isdir():
        make_directory(place)
    elif "/" not in member.name:
        raise ValueError(f"{member.name} is no directory")
    else:
        with suppress(FileNotFoundError):
            remove(place)
        if member.islnk():
            _link(member, roots, place)
            return
        _make(tar, member, place)
    _dress(member, place)


def make_directory(place: Path) -> None:
    """Make ``place`` a directory, if it is none."""
    with suppress(FileNotFoundError):
        if stat.S_ISDIR(place.lstat().st_mode):
            return
        place.unlink()
    place.mkdir()


def _link(member: tarfile.TarInfo, roots: Mapping[str, Path], place: Path) -> None:
    area, path = divided(member.linkname)
    if area not in roots:
        raise ValueError(f"{member.name} is a link to {member.linkname}, which is not there")
    with _reached(roots[area], path) as first:
        os.link(first, place, follow_symlinks=False)


def _make(tar: tarfile.TarFile, member: tarfile.TarInfo, place: Path) -> None:
    if member.issym():
        place.symlink_to(member.linkname)
    elif member.type in _NODES:
        with suppress(PermissionError):  # a device, in a user namespace: the hook could not have made it there either
            os.mknod(place, _NODES[member.type] | 0o600, os.makedev(member.devmajor, member.devminor))
    elif (file := tar.extractfile(member)) is not None:
        with place.open("xb") as out:
            shutil.copyfileobj(file, out, _BLOCK)
    else:
        raise ValueError(f"{member.name} is of a kind that is not known")


def _dress(member: tarfile.TarInfo, place: Path) -> None:
    """Owner, mode, extended attributes and time, in the order in which none undoes another."""
    wanted = {
        unquote(name.removeprefix(_XATTR)): base64.b64decode(value)
        for name, value in member.pax_headers.items()
        if name.startswith(_XATTR)
    }
    try:
        dress(place, member.uid, member.gid, member.mode, wanted)
        os.utime(place, ns=(time_of(member), time_of(member)), follow_symlinks=False)
    except FileNotFoundError:  # a device that could not be made
        pass


def dress(place: Path, uid: int, gid: int, mode: int, attributes: Mapping[str, bytes]) -> None:
    """Give ``place`` itself this owner, mode and extended attributes, as far as this user may."""
    with _as_far_as_allowed():
        os.chown(place, uid, gid, follow_symlinks=False)
    now = place.lstat().st_mode
    if not stat.S_ISLNK(now) and stat.S_IMODE(now) != mode:
        place.chmod(mode)
    for name, value in trees.attributes(place):
        if attributes.get(name) != value:
            with _as_far_as_allowed():
                os.removexattr(place, name, follow_symlinks=False)
    for name, value in attributes.items():
        with _as_far_as_allowed():
            os.setxattr(place, name, value, follow_symlinks=False)


@contextmanager
def _as_far_as_allowed() -> Iterator[None]:
    """In a user namespace most owners don't exist; a filesystem may have no such attributes."""
    try:
        yield
    except OSError as error:
        if error.errno not in (EPERM, EINVAL, ENOTSUP):
            raise


def time_of(member: tarfile.TarInfo) -> int:
    """A member's time of modification, in nanoseconds."""
    exact = member.pax_headers.get("mtime")
    return int(Decimal(exact) * _SECOND) if exact is not None else int(member.mtime) * _SECOND
