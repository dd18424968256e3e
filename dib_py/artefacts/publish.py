"""What was caught beside the image goes to its real place: each file by one rename, whole or not at all."""

from __future__ import annotations

import errno
import os
import shutil
import stat
from contextlib import suppress
from pathlib import Path

from dib_py import mount_table, overlay
from dib_py.artefacts import trees
from dib_py.artefacts.archive import dress, make_directory, remove
from dib_py.output.beside import Naming


def publish(upper: Path, real: Path, naming: Naming) -> list[Path]:
    """Do to ``real`` what the upper directory says; returns what was put there or removed, but for directories.

    Directories are merged. ``naming`` gives the name beside a file under which it is copied, where it can't just be
    renamed. OSError where something can't be done; what was published by then stays.
    """
    return _Publication(_on_the_mount_of(real, upper), naming).tree("", real)


def _on_the_mount_of(real: Path, upper: Path) -> Path:
    """A name of ``upper`` on the mount that ``real`` is on, if there is one: a rename does not cross mounts."""
    with suppress(OSError):
        number = mount_table.mount_number(real)
        for name in mount_table.aliases(upper):
            if mount_table.mount_number(name) == number:
                return name
    return upper


class _Publication:
    def __init__(self, upper: Path, naming: Naming) -> None:
        self._upper = upper
        self._naming = naming
        self._copies: dict[tuple[int, int], Path] = {}  # where a file with several names was copied to

    def tree(self, path: str, real: Path) -> list[Path]:
        node = trees.look(self._upper / path)
        if node.opaque and path:
            with suppress(FileNotFoundError):
                remove(real)
        is_new = not real.is_dir() or real.is_symlink()
        if is_new:
            make_directory(real)
        if not node.has_same_attributes(trees.look(real)):
            dress(real, node.uid, node.gid, stat.S_IMODE(node.mode), dict(node.attributes))
        done = self._entries(path, real)
        if is_new:
            os.utime(real, ns=(node.mtime_ns, node.mtime_ns))
        return done

    def _entries(self, path: str, real: Path) -> list[Path]:
        done: list[Path] = []
        with os.scandir(self._upper / path) as entries:
            names = sorted(entry.name for entry in entries)
        for name in names:
            done += self._entry(f"{path}/{name}" if path else name, real / name)
        return done

    def _entry(self, path: str, real: Path) -> list[Path]:
        source = self._upper / path
        status = source.lstat()
        if stat.S_ISSOCK(status.st_mode):
            return []
        if overlay.is_whiteout(status):
            with suppress(FileNotFoundError):
                remove(real)
                return [real]
            return []
        if stat.S_ISDIR(status.st_mode):
            return self.tree(path, real)
        if real.is_dir() and not real.is_symlink():
            remove(real)
        self._file(source, status, real)
        return [real]

    def _file(self, source: Path, status: os.stat_result, real: Path) -> None:
        for name in os.listxattr(source, follow_symlinks=False):
            if name.startswith(overlay.ATTRIBUTES):
                os.removexattr(source, name, follow_symlinks=False)
        if stat.S_ISREG(status.st_mode):
            _write_back(source)
        try:
            source.replace(real)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            self._copy(source, status, real)

    def _copy(self, source: Path, status: os.stat_result, real: Path) -> None:
        hidden = self._naming(real)
        try:
            self._make_copy(source, status, hidden)
            hidden.replace(real)
        finally:
            hidden.unlink(missing_ok=True)
        if status.st_nlink > 1:
            self._copies[status.st_dev, status.st_ino] = real

    def _make_copy(self, source: Path, status: os.stat_result, hidden: Path) -> None:
        known = self._copies.get((status.st_dev, status.st_ino))
        if known is not None:
            hidden.hardlink_to(known)
            return
        if stat.S_ISREG(status.st_mode):
            shutil.copyfile(source, hidden)
        elif stat.S_ISLNK(status.st_mode):
            hidden.symlink_to(os.readlink(source))  # noqa: PTH115 - exactly as it is
        else:
            os.mknod(hidden, stat.S_IFMT(status.st_mode) | 0o600, status.st_rdev)
        dress(hidden, status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode), dict(trees.attributes(source)))
        os.utime(hidden, ns=(status.st_atime_ns, status.st_mtime_ns), follow_symlinks=False)
        if stat.S_ISREG(status.st_mode):
            _write_back(hidden)


def _write_back(path: Path) -> None:
    """So that a power cut leaves the old file or the new one."""
    with path.open("rb") as file:
        os.fdatasync(file.fileno())
