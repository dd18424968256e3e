"""raw: the disk's bytes, with holes where it is empty."""

from __future__ import annotations

from pathlib import Path

from dib_py.disk.chain import Chain
from dib_py.events import Events
from dib_py.output.convert import ANY_ORDER, convert, require_qemu_img
from dib_py.settings import Settings


class Raw:
    name = "raw"
    suffix = "raw"

    def check(self, settings: Settings) -> None:
        require_qemu_img()

    def write(self, source: Chain, destination: Path, settings: Settings, events: Events) -> None:
        """Options for qemu-img are those of qcow2 and its like: as in DIB, they are not for raw."""
        convert(source, destination, "raw", ANY_ORDER, events)
