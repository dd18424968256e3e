"""vmdk: for VMware, as one compressed stream, which is what an OVF template and glance take."""

from __future__ import annotations

from pathlib import Path

from dib_py.disk.chain import Chain
from dib_py.errors import UsageError
from dib_py.events import Events
from dib_py.output import qemu_options
from dib_py.output.convert import convert, require_qemu_img
from dib_py.settings import Settings

_ONE_FILE = ("streamOptimized", "monolithicSparse")


class Vmdk:
    name = "vmdk"
    suffix = "vmdk"

    def check(self, settings: Settings) -> None:
        require_qemu_img()
        qemu_options.try_options("vmdk", _arguments(settings), settings)

    def write(self, source: Chain, destination: Path, settings: Settings, events: Events) -> None:
        """Blocks are written in their order on the disk, as readers of a stream expect them."""
        convert(source, destination, "vmdk", _arguments(settings), events)


def _arguments(settings: Settings) -> list[str]:
    options = {"subformat": "streamOptimized", **qemu_options.options_for(settings, "vmdk")}
    if options["subformat"].startswith(("twoGb", "monolithicFlat")):
        raise UsageError(
            f"--qemu-img-options: subformat={options['subformat']} makes more than one file",
            hint=f"there are {' and '.join(_ONE_FILE)}",
        )
    return qemu_options.arguments(options)
