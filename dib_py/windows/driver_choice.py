"""Which driver packages of a medium an installation gets, and what keeps it from getting those that it needs."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from dib_py.errors import HostError
from dib_py.windows import driver_package, inf
from dib_py.windows.driver_package import DriverPackage
from dib_py.windows.inf_target import SERVER, WORKSTATION, System
from dib_py.windows.inspection import Inspection
from dib_py.windows.medium import Medium
from dib_py.windows.refusals import Refusal
from dib_py.windows.virtio_media import Candidate, below, candidates, generations_with, is_own

# Devices of these classes are set up while Windows starts, from SYSTEM's driver database; all others later, from that
# of DRIVERS. Display and network cards are not needed to start.
_SET_UP_AT_START = {"scsiadapter", "hdc", "system", "hidclass", "keyboard", "mouse", "usb", "diskdrive", "volume"}


@dataclass(frozen=True)
class Wanted:
    """A driver by its name on the medium; ``instead`` is one that does as well where the medium lacks the first.

    ``boot`` says whether Windows must have it before there is a disk to read; None: what the INF file says.
    """

    name: str
    instead: str = ""
    optional: bool = False
    boot: bool | None = None


@dataclass(frozen=True)
class Chosen:
    """A package for an installation; the files by their paths in its directory, in small letters.

    ``stored`` are those that belong to the package: the INF, its catalog, and what the INF names. ``others`` lie beside
    them on the medium. ``meant_for`` is another generation where the medium has nothing for this one.
    """

    driver: str
    package: DriverPackage
    arch: str
    stored: Mapping[str, bytes]
    others: Mapping[str, bytes]
    boot: bool | None
    place: str
    meant_for: str = ""

    @property
    def starts_at_boot(self) -> bool:
        return self.package.starts_at_boot if self.boot is None else self.boot

    @property
    def set_up_at_start(self) -> bool:
        """Whether it belongs to the drivers that Windows sets up while it starts."""
        return self.starts_at_boot or (self.boot is None and self.package.class_name.casefold() in _SET_UP_AT_START)

    @property
    def label(self) -> str:
        """The package's name in the driver store; how Windows makes the digest in it is not public, so it is ours."""
        digest = hashlib.blake2b(digest_size=8)
        for name in sorted(self.stored):
            digest.update(name.encode() + b"\0" + hashlib.blake2b(self.stored[name]).digest())
        return f"{self.package.name}_{self.arch}_{digest.hexdigest()}"


def system_of(facts: Inspection) -> System:
    """For what INF files are asked."""
    major, minor, build, _ = facts.version
    return System(facts.architecture, major, minor, build, SERVER if facts.generation.server else WORKSTATION)


def choose(medium: Medium, wanted: Iterable[Wanted], facts: Inspection) -> tuple[list[Chosen], list[Refusal]]:
    """What fits of the drivers that are wanted, and a refusal for each that is needed and does not."""
    chosen: list[Chosen] = []
    refusals: list[Refusal] = []
    for one in wanted:
        found = list(_fitting(medium, one.name, one, facts))
        if not found and one.instead:
            found = list(_fitting(medium, one.instead, one, facts))
        chosen += found
        if not found and not one.optional:
            refusals.append(_missing(medium, one.name, facts))
    return chosen, refusals


def _fitting(medium: Medium, driver: str, wanted: Wanted, facts: Inspection) -> Iterator[Chosen]:
    generation = facts.generation.driver_directory.casefold()
    system = system_of(facts)
    for candidate in candidates(medium, driver, generation, facts.architecture):
        path = Path(medium.name) / candidate.path
        package = driver_package.read(inf.parse(path, medium.read(candidate.path)), system)
        if package.devices:
            yield _chosen(medium, driver, candidate, package, wanted, facts)


def _chosen(
    medium: Medium, driver: str, candidate: Candidate, package: DriverPackage, wanted: Wanted, facts: Inspection
) -> Chosen:
    there = below(medium, candidate.directory)
    belonging = {package.name, package.catalog.casefold(), *package.sources} & there.keys()
    # in a directory of its own a driver has programs and libraries that its INF does not name
    own = is_own(candidate.path, driver)
    beside = {name for name in there if own and "/" not in name} - belonging
    generation = facts.generation.driver_directory.casefold()
    chosen = Chosen(
        driver,
        package,
        facts.architecture,
        {name: medium.read(there[name]) for name in sorted(belonging)},
        {name: medium.read(there[name]) for name in sorted(beside)},
        wanted.boot,
        f"{medium.name}/{candidate.path}",
        candidate.windows if candidate.windows not in ("", generation) else "",
    )
    _check_files(chosen)
    return chosen


def _check_files(chosen: Chosen) -> None:
    """What is needed while Windows does not run must be there; for the rest it looks itself."""
    if not chosen.set_up_at_start:
        return
    if chosen.boot and not any(one.service for one in chosen.package.configurations):
        raise HostError(f"{chosen.place} has no service that could start at boot", hint="leave out boot: true")
    names = {PurePosixPath(name).name for name in chosen.stored}
    for configuration in chosen.package.configurations:
        for copy in configuration.copies:
            if copy.directory is None:
                raise HostError(
                    f"{chosen.place} puts {copy.name} where only a Windows that runs knows the place",
                    hint="boot: false leaves all of it to Windows",
                )
            if copy.source.casefold() not in names:
                raise HostError(f"{chosen.place} names {copy.source}, which is not there", hint="the medium is damaged")


def _missing(medium: Medium, driver: str, facts: Inspection) -> Refusal:
    known = generations_with(medium, driver)
    wanted = f"{facts.generation.title} on {facts.architecture} ({facts.generation.driver_directory})"
    if not known:
        return Refusal(f"{medium.name} has no driver {driver}", "take a complete virtio-win image")
    return Refusal(
        f"{medium.name} has the driver {driver} not for {wanted}, but for {', '.join(filter(None, known)) or 'others'}",
        "take a virtio-win image of another release: old ones have drivers for 7 and 2008 R2, new ones for 11 and 2025",
    )
