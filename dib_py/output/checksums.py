"""Checksum files beside an image, as md5sum and sha256sum write them: one read of the image for all of them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from dib_py.events import Events, Progress

KINDS = ("md5", "sha256")
BLOCK = 4 * 1024 * 1024  # bytes; hashlib lets other threads run while it works on a block


def digests(path: Path, kinds: Sequence[str], label: str, events: Events) -> dict[str, str]:
    """The digest of a file for each of ``kinds``, in hexadecimal; progress is told under ``label``."""
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
                events.emit(Progress(f"checksum {label}", done, total))
    return {kind: known.hexdigest() for kind, known in hashes.items()}


def checksum_line(digest: str, given: str) -> str:
    """One line of a checksum file; ``given`` is the image's path as the user gave it."""
    return f"{digest}  {given}\n"
