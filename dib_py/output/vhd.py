"""vhd: for Hyper-V, Xen and Azure, growing or of fixed size; the disk has a whole number of MiB, as Azure requires."""

from __future__ import annotations

from pathlib import Path

from dib_py.disk.chain import Chain
from dib_py.errors import UsageError
from dib_py.events import Events
from dib_py.output import qemu_options
from dib_py.output.convert import ANY_ORDER, convert, create, require_qemu_img, virtual_size
from dib_py.settings import Settings
from dib_py.units import MIB


class Vhd:
    """The growing kind, as diskimage-builder's vhd-util makes it, unless the options ask for the other one."""

    name = "vhd"
    suffix = "vhd"
    _subformat = ""

    def check(self, settings: Settings) -> None:
        require_qemu_img()
        qemu_options.try_options(self.name, self._arguments(settings), settings)

    def write(self, source: Chain, destination: Path, settings: Settings, events: Events) -> None:
        size = -(-virtual_size(source) // MIB) * MIB
        create(destination, "vpc", self._arguments(settings), size, name=self.name)
        convert(source, destination, "vpc", [*ANY_ORDER, "-n", "--target-is-zero"], events, name=self.name)

    def _arguments(self, settings: Settings) -> list[str]:
        """Without force_size qemu would make the disk as large as cylinders, heads and sectors can say."""
        options = qemu_options.options_for(settings, self.name)
        subformat = options.get("subformat", "")
        if self._subformat and subformat not in ("", self._subformat):
            raise UsageError(f"{self.name} and subformat={subformat} of --qemu-img-options contradict each other")
        chosen = {"subformat": self._subformat} if self._subformat else {}
        return qemu_options.arguments({"force_size": "on", **options, **chosen})


class FixedVhd(Vhd):
    """The disk's bytes with a footer: what Azure takes; holes in the file stay holes."""

    name = "vhd-fixed"
    _subformat = "fixed"
