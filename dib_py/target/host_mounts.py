"""What is mounted in a guest's root while its hooks run on this machine: /proc, its own /dev, /sys and the hooks."""

from __future__ import annotations

import errno
import os
import signal
import stat
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from dib_py import mount_table, namespaces, process
from dib_py.errors import TargetError
from dib_py.events import Events
from dib_py.namespaces import MNT_DETACH, MS_BIND, MS_NODEV, MS_NOEXEC, MS_NOSUID, MS_RDONLY, MS_REMOUNT
from dib_py.phases import HOOKS_IN_GUEST
from dib_py.target.base_system import tags
from dib_py.target.guest_tree import GuestTree

POINTS = ("/proc", "/dev", "/sys", HOOKS_IN_GUEST)
_NODES = {"null": (1, 3), "zero": (1, 5), "full": (1, 7), "random": (1, 8), "urandom": (1, 9), "tty": (5, 0)}
_LINKS = {
    "fd": "/proc/self/fd",
    "stdin": "/proc/self/fd/0",
    "stdout": "/proc/self/fd/1",
    "stderr": "/proc/self/fd/2",
    "ptmx": "pts/ptmx",
}
_BY = {"UUID": "by-uuid", "LABEL": "by-label", "PARTUUID": "by-partuuid", "PARTLABEL": "by-partlabel"}
_ATTEMPTS = 20
_PAUSE = 0.05  # seconds between attempts, while killed processes let go


def mount_device(node: Path, fstype: str, point: Path | str, options: Iterable[str] = ()) -> None:
    """Mount a filesystem of the disk. Builds on one base image have filesystems with one UUID, at the same time."""
    words = ",".join([*(["nouuid"] if fstype == "xfs" else []), *filter(None, options)])
    process.run(["mount", "-t", fstype, *(["-o", words] if words else []), node, point], timeout=300)


@contextmanager
def guest_mounts(tree: GuestTree, hooks: Path, devices: Iterable[Path]) -> Iterator[Path]:
    """While open these are mounted, and the nodes of ``devices`` are in /dev too; yields where /proc is.

    What hooks mounted on top of them is unmounted with them. Of the mount points only that of the hooks is removed.
    """
    points: list[Path] = []

    def point(path: str) -> Path:
        tree.make_directory(path)
        points.append(tree.resolved(path))
        return points[-1]

    try:
        proc = point("/proc")
        namespaces.mount("proc", proc, "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)
        namespaces.propagation(proc, namespaces.MS_PRIVATE)  # each hook mounts its own on it, for itself
        _mount_dev(point("/dev"), devices)
        namespaces.mount("sysfs", point("/sys"), "sysfs", MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC)
        tree.make_directory("/tmp", 0o1777)
        tree.remove(HOOKS_IN_GUEST)  # a build that goes on inside finds one, and an image may hold a link
        target = point(HOOKS_IN_GUEST)
        namespaces.mount(hooks, target, flags=MS_BIND)
        namespaces.mount("none", target, flags=MS_REMOUNT | MS_BIND | MS_RDONLY)
        yield proc
    except OSError as error:
        raise TargetError(f"the guest's mounts can't be made: {error}") from error
    finally:
        for mounted in reversed(points):
            unmount_below(mounted, lazily=True)
        tree.remove(HOOKS_IN_GUEST)


def put_in_place(tree: GuestTree, sources: Mapping[str, Path], events: Events) -> list[Path]:
    """Mount directories of this machine on those of the guest, which are made where they are missing.

    Returns where they are mounted; what can't be is left out, with a warning.
    """
    points = []
    for path, source in sources.items():
        try:
            tree.make_directory(path)
            point = tree.resolved(path)
            namespaces.mount(source, point, flags=MS_BIND)
        except (OSError, TargetError) as error:
            events.warning(f"the guest has no cache at {path}: {error}")
        else:
            points.append(point)
    return points


def _mount_dev(dev: Path, devices: Iterable[Path]) -> None:
    namespaces.mount("devtmpfs", dev, "tmpfs", MS_NOSUID | MS_NOEXEC, "mode=0755,size=10m")
    for name, (major, minor) in _NODES.items():
        _make_node(dev / name, stat.S_IFCHR | 0o666, os.makedev(major, minor))
    for name, target in _LINKS.items():
        (dev / name).symlink_to(target)
    (dev / "pts").mkdir()
    namespaces.mount(
        "devpts", dev / "pts", "devpts", MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620,gid=5"
    )
    (dev / "shm").mkdir()
    namespaces.mount("tmpfs", dev / "shm", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777")
    for device in devices:
        _make_node(dev / device.name, stat.S_IFBLK | 0o660, device.stat().st_rdev)
        _link_by_names(dev, device)


def _make_node(path: Path, mode: int, number: int) -> None:
    os.mknod(path, mode, number)
    path.chmod(stat.S_IMODE(mode))  # whatever the umask says


def _link_by_names(dev: Path, device: Path) -> None:
    """The links that udev would make: update-grub names the root device by UUID only where it finds this one."""
    try:
        values = tags(process.run(["blkid", "-p", "-o", "export", device], timeout=30))
    except process.CommandFailed:  # nothing recognisable on it
        return
    values.update({name: values[f"PART_ENTRY_{key}"] for name, key in _PART_KEYS if f"PART_ENTRY_{key}" in values})
    for name, directory in _BY.items():
        value = values.get(name, "")
        if value and "/" not in value:
            link = dev / "disk" / directory / value
            link.parent.mkdir(parents=True, exist_ok=True)
            with suppress(FileExistsError):
                link.symlink_to(f"../../{device.name}")


_PART_KEYS = (("PARTUUID", "UUID"), ("PARTLABEL", "NAME"))


def unmount_below(point: Path, *, lazily: bool = False) -> None:
    """Unmount what is mounted at ``point`` and below it, the last first.

    ``lazily``: also what is in use. Else TargetError says what is.
    """
    for mounted in reversed([one for one in mount_table.points() if one == point or point in one.parents]):
        for attempt in range(_ATTEMPTS):
            try:
                namespaces.umount(mounted, MNT_DETACH if lazily else 0)
                break
            except OSError as error:
                if error.errno == errno.EINVAL:  # it went with another one
                    break
                if error.errno != errno.EBUSY or attempt == _ATTEMPTS - 1:
                    raise TargetError(f"{mounted} can't be unmounted: {error}") from error
                time.sleep(_PAUSE)


def end_processes(root: Path) -> None:
    """Kill every process of this build that has ``root``, or something below it, open in any way."""
    for directory in Path("/proc").glob("[0-9]*"):
        if int(directory.name) > 1 and int(directory.name) != os.getpid() and _uses(directory, root):
            with suppress(ProcessLookupError):
                os.kill(int(directory.name), signal.SIGKILL)


def _uses(process_directory: Path, root: Path) -> bool:
    links = [process_directory / name for name in ("root", "cwd", "exe")]
    with suppress(OSError):
        links += (process_directory / "fd").iterdir()
    for link in links:
        with suppress(OSError):
            found = link.readlink()
            if found == root or root in found.parents:
                return True
    return False
