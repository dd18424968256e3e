"""Trees and changes at random, and what two trees are compared by; shared by the tests of artefacts."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from hypothesis import strategies as st

from dib_py import namespaces

NAMES = ("a", "b", "c d", "é", os.fsdecode(b"\xff:,"))
Operation = tuple[object, ...]

_PATHS = st.lists(st.sampled_from(NAMES), min_size=1, max_size=3).map("/".join)
_OWNERS = st.sampled_from((0, 1000, 70000) if os.geteuid() == 0 else (os.geteuid(),))
_OPERATIONS = st.one_of(
    st.tuples(st.just("directory"), _PATHS),
    st.tuples(st.just("file"), _PATHS, st.binary(max_size=40)),
    st.tuples(st.just("append"), _PATHS, st.binary(min_size=1, max_size=9)),
    st.tuples(st.just("link"), _PATHS, st.sampled_from(("a", "./b", "../..", "/etc", "no//where"))),
    st.tuples(st.just("hard link"), _PATHS, _PATHS),
    st.tuples(st.just("fifo"), _PATHS),
    st.tuples(st.just("socket"), _PATHS),
    st.tuples(st.just("remove"), _PATHS),
    st.tuples(st.just("rename"), _PATHS, _PATHS),
    st.tuples(st.just("mode"), _PATHS, st.sampled_from((0o600, 0o755, 0o2750, 0o4711))),
    st.tuples(st.just("owner"), _PATHS, _OWNERS),
    st.tuples(st.just("attribute"), _PATHS, st.binary(max_size=9)),
    st.tuples(st.just("time"), _PATHS, st.sampled_from((0, -1_500_000_001, 1_234_567_890_123_456_789, 2**33 * 10**9))),
)
OPERATIONS = st.lists(_OPERATIONS, max_size=25)


def carry_out(root: Path, operations: list[Operation]) -> None:
    """Do what can be done; what can't is left out."""
    for kind, path, *arguments in operations:
        with suppress(OSError):
            _ACTIONS[str(kind)](root / str(path), root, *arguments)


def _append(path: Path, root: Path, data: bytes) -> None:
    if not path.is_symlink():  # it may lead out of here
        with path.open("r+b") as file:
            file.seek(0, os.SEEK_END)
            file.write(data)


def _remove(path: Path, root: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def _write(path: Path, root: Path, data: bytes) -> None:
    with path.open("xb") as file:
        file.write(data)


_ACTIONS: dict[str, Callable[..., object]] = {
    "directory": lambda path, root: path.mkdir(),
    "file": _write,
    "append": _append,
    "link": lambda path, root, target: path.symlink_to(target),
    "hard link": lambda path, root, other: os.link(root / other, path, follow_symlinks=False),
    "fifo": lambda path, root: os.mkfifo(path),
    "socket": lambda path, root: os.mknod(path, stat.S_IFSOCK | 0o600),
    "remove": _remove,
    "rename": lambda path, root, other: path.rename(root / other),
    "mode": lambda path, root, mode: None if path.is_symlink() else path.chmod(mode),
    "owner": lambda path, root, owner: os.chown(path, owner, owner, follow_symlinks=False),
    "attribute": lambda path, root, value: os.setxattr(path, "user.test", value, follow_symlinks=False),
    "time": lambda path, root, time: os.utime(path, ns=(time, time), follow_symlinks=False),
}


def snapshot(root: Path, *, links: bool = True, directory_times: bool = True) -> dict[str, object]:
    """Everything of a tree that can be told, but for sockets; by path."""
    found: dict[str, object] = {}
    names: dict[tuple[int, int], str] = {}
    for path in sorted([root, *root.rglob("*")]):
        status = path.lstat()
        kind = stat.S_IFMT(status.st_mode)
        if kind == stat.S_IFSOCK:
            continue
        relative = str(path.relative_to(root))
        content: object = None
        if kind == stat.S_IFREG:
            content = path.read_bytes()
        elif kind == stat.S_IFLNK:
            content = os.readlink(path)  # noqa: PTH115 - exactly as it is
        is_directory = kind == stat.S_IFDIR
        attributes = {
            name: os.getxattr(path, name, follow_symlinks=False)
            for name in os.listxattr(path, follow_symlinks=False)
            if name.startswith("user.test")
        }
        time = None if is_directory and not directory_times else status.st_mtime_ns
        first = names.setdefault((status.st_dev, status.st_ino), relative) if links and not is_directory else ""
        found[relative] = (oct(status.st_mode), status.st_uid, status.st_gid, attributes, time, content, first)
    return found


def copy(source: Path, destination: Path) -> None:
    """A copy that no test can tell from the first."""
    subprocess.run(["cp", "--archive", "--no-target-directory", source, destination], check=True)


def in_own_mounts(work: Callable[[], None], flags: int = 0) -> None:
    """Run ``work`` in a process with a mount namespace as a build's worker has it; what it raises fails the test."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            uid, gid = os.geteuid(), os.getegid()
            namespaces.unshare(namespaces.CLONE_NEWNS | flags)
            if flags & namespaces.CLONE_NEWUSER:
                namespaces.map_to_root(uid, gid)
            namespaces.propagation("/", namespaces.MS_SLAVE | namespaces.MS_REC)
            namespaces.propagation("/", namespaces.MS_SHARED | namespaces.MS_REC)
            work()
            code = 0
        except BaseException:
            os.write(writing, traceback.format_exc()[-60000:].encode(errors="replace"))
        finally:
            os._exit(code)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        said = pipe.read().decode()
    _, status = os.waitpid(child, 0)
    assert status == 0, said
