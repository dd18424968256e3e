"""Digests of files: all kinds in one read, and remembered as long as the file is the same.

A file counts as the same while its device, inode, size, mtime and ctime are; ctime can't be set back. A digest is not
remembered for a file that was touched a moment before it was read, as another change could fall into the same tick.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from dib_py.events import Events, Progress

BLOCK = 4 * 1024 * 1024  # bytes; hashlib lets other threads run while it works on a block
TICK = 2.0  # seconds, the coarsest clock of a filesystem


def digests(path: Path, kinds: Sequence[str], task: str, events: Events) -> dict[str, str]:
    """The digest of a file for each of ``kinds`` (names of hashlib), in hexadecimal; progress is told as ``task``."""
    if not kinds:
        return {}
    hashes = {kind: hashlib.new(kind, usedforsecurity=False) for kind in kinds}
    total, done, told = path.stat().st_size, 0, 0
    with path.open("rb") as file, ThreadPoolExecutor(len(hashes)) as pool:
        while block := file.read(BLOCK):
            list(pool.map(lambda known, data=block: known.update(data), hashes.values()))
            done += len(block)
            if done - told >= total // 20 or done == total:
                told = done
                events.emit(Progress(task, done, total))
    return {kind: known.hexdigest() for kind, known in hashes.items()}


class Memory:
    """Digests by path, kept as one small file each in ``directory``; a broken one is forgotten, never an error.

    Without a directory, or where it can't be written, they are remembered for as long as this object lives.
    """

    def __init__(self, directory: Path | None) -> None:
        self._directory = directory
        self._here: dict[Path, tuple[list[int], dict[str, str]]] = {}

    def digests(self, path: Path, kinds: Sequence[str], task: str, events: Events) -> dict[str, str]:
        """As the function of this name, reading the file only for what is not remembered."""
        return self._remembered(path, kinds, lambda missing: digests(path, missing, task, events))

    def digest(self, path: Path, kind: str, read: Callable[[], str]) -> str:
        """A digest of another kind, such as of what is in a disk image, which ``read`` finds."""
        return self._remembered(path, [kind], lambda missing: {kind: read()})[kind]

    def _remembered(
        self, path: Path, kinds: Sequence[str], read: Callable[[list[str]], dict[str, str]]
    ) -> dict[str, str]:
        identity = file_identity(path)
        known = self._recall(path, identity)
        missing = [kind for kind in kinds if kind not in known]
        if missing:
            started = time.time()
            known |= read(missing)
            after = file_identity(path)
            if after == identity and path.stat().st_ctime < started - TICK:
                self._keep(path, identity, known)
        return {kind: known[kind] for kind in kinds}

    def remember(self, path: Path, known: Mapping[str, str]) -> None:
        """Take somebody's word for the digests of a file, as it is now."""
        self._keep(path, file_identity(path), dict(known))

    def forget(self, path: Path) -> None:
        """The file has gone."""
        self._here.pop(path, None)
        if self._directory is not None:
            self.file(path).unlink(missing_ok=True)

    def file(self, path: Path) -> Path:
        """Where the digests of ``path`` are kept."""
        assert self._directory is not None
        return self._directory / f"{hashlib.sha256(os.fsencode(path.resolve())).hexdigest()[:32]}.json"

    def _recall(self, path: Path, identity: list[int]) -> dict[str, str]:
        here = self._here.get(path)
        if here is not None and here[0] == identity:
            return dict(here[1])
        if self._directory is not None:
            with suppress(OSError, ValueError, KeyError, TypeError):
                kept = json.loads(self.file(path).read_text())
                if kept["identity"] == identity:
                    known = {str(kind): str(digest) for kind, digest in kept["digests"].items()}
                    self._here[path] = (identity, known)
                    return dict(known)
        return {}

    def _keep(self, path: Path, identity: list[int], known: dict[str, str]) -> None:
        self._here[path] = (identity, dict(known))
        if self._directory is None:
            return
        file = self.file(path)
        fresh = file.with_suffix(f".{os.getpid()}")
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            fresh.write_text(json.dumps({"path": str(path.resolve()), "identity": identity, "digests": known}))
            fresh.replace(file)
        except OSError:  # a full or read-only disk: it will be read once more
            with suppress(OSError):
                fresh.unlink(missing_ok=True)


def file_identity(path: Path) -> list[int]:
    """What changes of a file when somebody writes to it or puts another one in its place; OSError where none is."""
    found = path.stat()
    return [found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns]
