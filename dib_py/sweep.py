"""What a build has outside itself while it works, written down so that whoever comes later can remove it.

Each build has a record: a file of JSON lines in this user's state directory, which the build's supervisor keeps locked
(flock) for its life. A record that nobody locks belongs to a build that was killed. A thing is noted before it is made,
so that no moment is bad for a kill. Nothing is guessed from names: only what a record says is removed.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from dib_py import mount_table, process
from dib_py.errors import DibError, HostError
from dib_py.layers.locks import try_lock
from dib_py.state import state_path

BUILD_PREFIX = "dib_build."
DIRECTORY = "directory"  # a build directory
PARTIAL = "partial"  # a file that is renamed when it is whole
FUSE = "fuse"  # number of a FUSE connection that the build's storage daemon serves

_SOCKETS_IN = Path("/tmp")  # libguestfs's, whatever its temporary directory is
_LAUNCH = 3600.0  # seconds; no appliance takes as long to start, and once it has, nobody looks for its sockets
_FUSE_CONTROL = Path("/sys/fs/fuse/connections")
_ABORT = 'mount -t fusectl none "$1" && if [ -e "$1/$2/abort" ]; then echo 1 > "$1/$2/abort"; fi'


def state_directory() -> Path:
    """This user's directory for what outlives a process: ``/var/tmp/dib-py.UID``; HostError if it isn't safe to use."""
    path = state_path()
    with suppress(FileExistsError):
        path.mkdir(mode=0o700)
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o022:
        raise HostError(f"{path} belongs to somebody else, or others may write to it", hint="remove it")
    return path


class Record:
    """The record of one build. The supervisor makes and holds it; the worker notes things in it."""

    def __init__(self, path: Path, lock: int | None = None) -> None:
        self.path = path
        self._lock = lock

    @classmethod
    def create(cls) -> Record:
        """A new record, locked by this process until :meth:`release` or its end."""
        directory = _records()
        while True:
            path = directory / secrets.token_hex(8)
            lock = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600)
            if try_lock(lock) and os.fstat(lock).st_nlink:
                return cls(path, lock)
            os.close(lock)  # a sweep came between the two calls and took it for a dead build's

    def note(self, kind: str, value: str) -> None:
        """Write down what is about to be made; may be called from any process of the build."""
        with self.path.open("ab", buffering=0) as file:
            file.write(json.dumps([kind, value]).encode() + b"\n")

    def entries(self, kind: str) -> list[str]:
        """The values noted under ``kind``; a line that was cut off by a kill is left out."""
        found = []
        for line in self.path.read_bytes().split(b"\n"):
            with suppress(ValueError):
                name, value = json.loads(line)
                if name == kind:
                    found.append(value)
        return found

    def unlock(self) -> None:
        """Let go of a lock that was inherited through fork; the process that made it keeps it."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def remove_all(self) -> list[str]:
        """Remove what the record names, then the record; returns what was there. What can't be removed stays noted."""
        removed = [path for path in self.entries(PARTIAL) if _remove_file(Path(path))]
        removed += [path for path in self.entries(DIRECTORY) if _remove_tree(Path(path))]
        if not any(Path(path).exists() for path in self.entries(DIRECTORY)):
            self.path.unlink(missing_ok=True)
        self.unlock()
        return removed


def make_build_directory(record: Record, root: Path) -> Path:
    """A new private build directory in ``root``, noted in ``record``; HostError if it can't be made."""
    path = root / f"{BUILD_PREFIX}{secrets.token_hex(4)}"
    record.note(DIRECTORY, str(path))
    try:
        path.mkdir(mode=0o700)
    except OSError as error:
        raise _no_build_directory(root, error) from error
    return path


def check_build_directory(root: Path) -> None:
    """Raise HostError unless a build directory can be made in ``root``."""
    try:
        with tempfile.TemporaryDirectory(prefix=".dib-py-", dir=root):
            pass
    except OSError as error:
        raise _no_build_directory(root, error) from error


def _no_build_directory(root: Path, error: OSError) -> HostError:
    return HostError(
        f"no build directory can be made in {root}: {error.strerror}", hint="set TMPDIR to a directory for it"
    )


def partial_path(record: Record, final: Path) -> Path:
    """A name beside ``final`` to write it under until it is whole, noted in ``record``."""
    path = final.with_name(f".{final.name}.{secrets.token_hex(4)}.partial")
    record.note(PARTIAL, str(path.absolute()))
    return path


def sweep() -> list[str]:
    """Remove what builds that were killed left behind; returns what was removed, for a message.

    Never waits for a build that is alive, and never raises for what it could not remove.
    """
    removed: list[str] = []
    with suppress(OSError, DibError):
        for record in _dead_records():
            for connection in record.entries(FUSE):
                with suppress(OSError, DibError):
                    _abort_if_stuck(int(connection), record)
            with suppress(OSError):
                removed += record.remove_all()
            record.unlock()
    removed += stale_partition_nodes()
    removed += [str(path) for path in stale_socket_directories() if _remove_sockets(path)]
    return removed


def stale_socket_directories() -> list[Path]:
    """Directories of this user that libguestfs made for sockets nobody has open any more, since its process was killed.

    For root it always puts them there, whatever its temporary directory is.
    """
    found = [path for path in _SOCKETS_IN.glob("libguestfs??????") if _has_only_old_sockets(path)]
    open_sockets = Path("/proc/net/unix").read_text()  # after the look at what there is: what is new now is in neither
    return [path for path in found if f" {path}/" not in open_sockets]


def _has_only_old_sockets(directory: Path) -> bool:
    """Whether there are some, of a launch that is over: of other network namespaces nobody here sees which are open."""
    try:
        status, sockets = directory.lstat(), list(directory.iterdir())
    except OSError:
        return False
    ours = status.st_uid == os.geteuid() and bool(sockets) and all(one.is_socket() for one in sockets)
    return ours and status.st_mtime < time.time() - _LAUNCH


def _remove_sockets(directory: Path) -> bool:
    try:
        for one in directory.iterdir():
            one.unlink()
        directory.rmdir()
    except OSError:
        return False
    return True


def abort_connection(number: int) -> None:
    """Make every call on a FUSE connection fail from now on: the only way to free who waits for a dead daemon."""
    control = _FUSE_CONTROL / str(number) / "abort"
    if control.exists():
        control.write_text("1")
        return
    with tempfile.TemporaryDirectory(prefix="fusectl.") as directory:
        process.run(["unshare", "--mount", "sh", "-c", _ABORT, "sh", directory, str(number)], timeout=10)


def stale_partition_nodes() -> list[str]:
    """Remove partition nodes of loop devices that have no file behind them any more.

    A loop device's partitions outlive its detaching; only root can remove them, so for others this does nothing.
    """
    from dib_py.target import loop  # imported late: a machine without loop devices sweeps too

    removed = []
    if os.geteuid() == 0:
        for device in sorted(Path("/sys/block").glob("loop[0-9]*")):
            if not (device / "loop").exists():
                with suppress(OSError):
                    removed += loop.remove_partitions(Path("/dev") / device.name)
    return removed


def _records() -> Path:
    directory = state_directory() / "builds"
    directory.mkdir(mode=0o700, exist_ok=True)
    return directory


def _dead_records() -> Iterator[Record]:
    for path in sorted(_records().iterdir()):
        with suppress(FileNotFoundError):
            lock = os.open(path, os.O_RDWR | os.O_CLOEXEC)
            if try_lock(lock):
                yield Record(path, lock)
            else:
                os.close(lock)


def _abort_if_stuck(number: int, dead: Record) -> None:
    """Abort the connection of a killed build whose daemon can't end; its number may be another's by now."""
    if number in _connections_in_use(dead) or not _dying_daemons():
        return
    abort_connection(number)
    time.sleep(0.1)  # the freed processes end by themselves


def _connections_in_use(dead: Record) -> set[int]:
    """Connections that a living build has noted, and those whose mounts this process can see."""
    used = connections_of_living_builds(dead)
    table = mount_table.parse(mount_table.TABLE.read_bytes(), with_deleted=True)
    return used | {entry.minor for entry in table if entry.is_anonymous}


def connections_of_living_builds(dead: Record | None = None) -> set[int]:
    """FUSE connections that builds at work have noted; ``dead`` is no such build, though this process locks it."""
    used: set[int] = set()
    for path in _records().iterdir():
        with suppress(OSError), path.open("rb") as file:
            if not (dead and dead.path == path) and not try_lock(file.fileno()):
                used.update(int(number) for number in Record(path).entries(FUSE))
    return used


def _dying_daemons() -> list[int]:
    """Storage daemons that were killed and can't end (in state D or Z)."""
    found = []
    for directory in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            name, _, rest = (directory / "stat").read_text().partition("(")[2].rpartition(")")
            if name.startswith("qemu-storage") and rest.split()[0] in "DZ":
                found.append(int(directory.name))
    return found


def _remove_file(path: Path) -> bool:
    try:
        path.unlink()
    except OSError:
        return False
    return True


def _remove_tree(path: Path) -> bool:
    """Remove a build directory, unless something is mounted in it: what is in there would not be ours."""
    if not path.name.startswith(BUILD_PREFIX) or path.is_symlink() or not path.is_dir():
        return False
    if any(mounted == path or path in mounted.parents for mounted in mount_table.points()):
        return False
    shutil.rmtree(path, ignore_errors=True)
    return not path.exists()
