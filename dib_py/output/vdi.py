"""vdi: for VirtualBox; growing, unless the options ask for static=on."""

from __future__ import annotations

from pathlib import Path

from dib_py.disk.chain import Chain
from dib_py.events import Events
from dib_py.output import qemu_options
from dib_py.output.convert import ANY_ORDER, convert, require_qemu_img
from dib_py.settings import Settings


class Vdi:
    name = "vdi"
    suffix = "vdi"

    def check(self, settings: Settings) -> None:
        require_qemu_img()
        qemu_options.try_options(self.name, self._arguments(settings), settings)

    def write(self, source: Chain, destination: Path, settings: Settings, events: Events) -> None:
        convert(source, destination, self.name, [*ANY_ORDER, *self._arguments(settings)], events)

    def _arguments(self, settings: Settings) -> list[str]:
        return qemu_options.arguments(qemu_options.options_for(settings, self.name))
