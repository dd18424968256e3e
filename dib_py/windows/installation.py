"""An installation that is opened to be worked on: what every room that applies something is handed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from dib_py.errors import BaseError
from dib_py.windows.inspection import BIOS_STORE, UEFI_STORE, Inspection, find_system_root, inspect
from dib_py.windows.registry import Registry, standard_hives
from dib_py.windows.volume import Volume


@dataclass(frozen=True)
class Installation:
    """Its ``volume`` is C:; ``boot`` the one that it starts from (the ESP, or "System Reserved"), None for C: itself.

    ``facts`` are those of the moment when it was opened. ``variables`` are what a hook would see: opt-ins to what is
    else refused are looked up there.
    """

    volume: Volume
    boot: Volume | None
    registry: Registry
    facts: Inspection
    variables: Mapping[str, str] = field(default_factory=dict)

    def windows(self, path: str = "") -> str:
        r"""A path below ``%SystemRoot%``: ``windows("System32/drivers")``."""
        return f"{self.facts.system_root}/{path}" if path else self.facts.system_root

    def boot_store(self) -> tuple[Volume, str] | None:
        """Where the boot configuration data are; None where there are none."""
        volumes = [self.volume] if self.boot is None else [self.boot, self.volume]
        places = [(volume, path) for path in (UEFI_STORE, BIOS_STORE) for volume in volumes]
        return next(((volume, path) for volume, path in places if volume.exists(path)), None)

    def commit(self) -> list[str]:
        """Write what was changed of the registry back; returns where those hives are mounted."""
        return self.registry.commit()


def open_installation(
    volume: Volume, boot: Volume | None, scratch: Path, variables: Mapping[str, str] | None = None
) -> Installation:
    """Look at what is on the volumes; ``scratch`` is a directory of this machine for copies of the hives.

    BaseError where there is no Windows. Nothing is changed.
    """
    system_root = find_system_root(volume)
    if not system_root:
        raise BaseError(
            "no Windows was found on the volume: none of its directories holds System32/config/SYSTEM",
            hint="an image of a Linux distribution is built with that distribution's elements",
        )
    registry = Registry(volume, scratch, standard_hives(system_root))
    return Installation(volume, boot, registry, inspect(volume, boot, registry, system_root), variables or {})
