"""A disk's files as a value: which of them lies on which, whatever their headers say.

Headers are followed only where they lead to the next file of the chain: qemu opens a long chain ten times faster so
than one that it is told file by file (150 files: 0.09 s and 0.9 s).
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dib_py.disk.image import header_backing
from dib_py.errors import DiskError


@dataclass(frozen=True)
class ImageFile:
    """One file of a chain and its format, which is never guessed."""

    path: Path
    format: str


@dataclass(frozen=True)
class Chain:
    """The files of a disk from the top down; the last is a base image or stands on nothing."""

    files: tuple[ImageFile, ...]

    @classmethod
    def of(cls, layers: Iterable[Path], base: Path | None = None, base_format: str | None = None) -> Chain:
        """Of qcow2 ``layers``, the nearest to the base first, on ``base`` or on nothing."""
        files = [ImageFile(path.absolute(), "qcow2") for path in layers]
        if base is not None:
            if base_format is None:
                raise DiskError("the format of a base image is given, never guessed", where=str(base))
            files.insert(0, ImageFile(base.absolute(), base_format))
        return cls(tuple(reversed(files)))

    @property
    def top(self) -> Path:
        """The file that lies on all others."""
        return self.files[0].path

    @property
    def name(self) -> str:
        """What qemu-img and its like take for an image; it says the formats too, so no ``-f`` goes with it."""
        return f"json:{json.dumps(self.node())}"

    def moved(self, place: Callable[[Path], Path]) -> Chain:
        """The same chain with its files where ``place`` says that each is now."""
        return Chain(tuple(ImageFile(place(file.path), file.format) for file in self.files))

    def node(self) -> dict[str, Any]:
        """What QMP's blockdev-add takes for this chain, without a name for its node."""
        node: dict[str, Any] = {}
        led = False  # whether the headers from here down lead through all of the chain
        below: ImageFile | None = None
        for file in reversed(self.files):
            led = _leads_to(file, below, led)
            lower, node = node, {"driver": file.format, "file": {"driver": "file", "filename": str(file.path)}}
            if file.format == "qcow2" and not (led and below):
                node["backing"] = lower or None
            below = file
        return node


def _leads_to(file: ImageFile, below: ImageFile | None, led: bool) -> bool:
    """Whether the header of ``file`` leads to ``below`` and ``led``, that those under it go on as they should."""
    if file.format != "qcow2":
        return below is None
    try:
        name, backing_format = header_backing(file.path)
    except DiskError:  # qemu says it better
        return False
    if below is None:
        return not name
    # as text, like qemu: from the directory of the name that the file was opened by
    where = os.path.join(file.path.parent, name)  # noqa: PTH118
    return led and (where, backing_format) == (str(below.path), below.format)
