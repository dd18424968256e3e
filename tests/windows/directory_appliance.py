"""What stands in for the appliance where only its calls on files matter: they act on this machine's own."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from dib_py.errors import TargetError

T = TypeVar("T")


class DirectoryAppliance:
    """Answers :meth:`dib_py.target.guestfs_appliance.Appliance.call`; ``calls`` are those that were made."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def call(self, work: Callable[[Any], T]) -> T:
        return work(_Handle(self.calls))


class _Handle:
    """The calls of libguestfs that a volume makes, each with what it does there."""

    def __init__(self, calls: list[str]) -> None:
        self._calls = calls

    def __getattribute__(self, name: str) -> Any:
        if not name.startswith("_"):
            self._calls.append(name)
        return object.__getattribute__(self, name)

    def readdir(self, directory: str) -> list[dict[str, Any]]:
        found = [{"name": name, "ftyp": "d"} for name in (".", "..")]
        for entry in Path(directory).iterdir():
            kind = "l" if entry.is_symlink() else "d" if entry.is_dir() else "r"
            found.append({"name": entry.name, "ftyp": kind})
        return found

    def realpath(self, path: str) -> str:
        try:
            return str(Path(path).resolve(strict=True))
        except (OSError, RuntimeError) as error:
            raise TargetError(f"libguestfs: realpath: {error}") from error

    def readlink(self, path: str) -> str:
        return str(Path(path).readlink())

    def is_dir(self, path: str) -> bool:
        return Path(path).is_dir()

    def filesize(self, path: str) -> int:
        return Path(path).stat().st_size

    def pread(self, path: str, count: int, offset: int) -> bytes:
        return Path(path).read_bytes()[offset : offset + count]

    def download(self, path: str, destination: str) -> None:
        Path(destination).write_bytes(Path(path).read_bytes())

    def upload(self, source: str, path: str) -> None:
        Path(path).write_bytes(Path(source).read_bytes())

    def upload_offset(self, source: str, path: str, offset: int) -> None:
        with Path(path).open("r+b") as file:
            file.seek(offset)
            file.write(Path(source).read_bytes())

    def tar_in(self, archive: str, directory: str) -> None:
        with Path(archive).open("rb") as file:
            subprocess.run(["tar", "-xpf", "-", "-C", directory], stdin=file, check=True)

    def chmod(self, mode: int, path: str) -> None:
        Path(path).chmod(mode)

    def rm_rf(self, path: str) -> None:
        if Path(path).is_dir() and not Path(path).is_symlink():
            shutil.rmtree(path)
        else:
            Path(path).unlink(missing_ok=True)

    def statvfs(self, path: str) -> dict[str, int]:
        found = os.statvfs(path)
        return {"bavail": found.f_bavail, "bsize": found.f_bsize}
