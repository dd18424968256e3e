"""Where drivers come from: an ISO, a directory, or the tree of a distribution's package; and which of them fit.

virtio-win's media have drivers below ``<driver>/<windows>/<architecture>`` (the ISO), ``drivers/by-driver/...`` in the
same order, or ``drivers/by-os/<architecture>/<windows>`` with all drivers together (the distributions' packages). Names
are compared without regard to case: they differ from release to release.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from dib_py.errors import HostError
from dib_py.windows.medium import Directory, Medium, iso

# What stands for a generation on the media; what an older medium has instead, the best first: its kernel is like it.
_INSTEAD = {
    "2k25": ("2k22", "2k19", "2k16", "w10"),
    "2k22": ("2k19", "2k16", "w10"),
    "2k19": ("2k16", "w10"),
    "2k16": ("w10",),
    "w11": ("w10",),
    "w10": ("2k16",),
    "2k12r2": ("w8.1",),
    "w8.1": ("2k12r2",),
    "2k12": ("w8",),
    "w8": ("2k12",),
    "2k8r2": ("w7",),
    "w7": ("2k8r2",),
    "2k8": (),
}
_OTHER_NAMES = {  # in the packages of older releases
    "win10": "w10",
    "win8.1": "w8.1",
    "win8": "w8",
    "win7": "w7",
    "win2008": "2k8",
    "win2008r2": "2k8r2",
    "win2012": "2k12",
    "win2012r2": "2k12r2",
    "win2016": "2k16",
    "win2019": "2k19",
}
_WINDOWS = {*_INSTEAD, "xp", "2k3", "winxp", "win2003"}
_ARCHITECTURES = {"amd64": "amd64", "x64": "amd64", "x86": "x86", "i386": "x86", "arm64": "arm64"}
_DRIVERS_OF_INF = {"vioser": "vioserial", "pvpanic-pci": "pvpanic"}  # where they are not called alike
_UNWANTED_DIRECTORIES = {"sriov"}  # vioprot binds to the cards of NetKVM
_UNWANTED_STEMS = {"vioprot"}


@dataclass(frozen=True)
class Candidate:
    """An INF file of a medium that is meant for the generation ``windows``, or for any (empty)."""

    path: str
    windows: str

    @property
    def directory(self) -> str:
        return str(PurePosixPath(self.path).parent)


@contextlib.contextmanager
def opened(source: Path) -> Iterator[Medium]:
    """The medium at ``source``; HostError with the ways to have one where there is none."""
    if source.is_dir():
        medium = Directory(source)
        image = _image_instead(source, medium)
        if image is None:
            yield medium
            return
        source = image
    if not source.is_file():
        raise HostError(
            f"{source}: there are no drivers for Windows",
            hint="download virtio-win.iso, or install the distribution's package virtio-win, and name the file or the "
            "directory",
        )
    with iso(source) as found:
        yield found


def candidates(medium: Medium, driver: str, generation: str, arch: str) -> list[Candidate]:
    """The INF files of a driver for a generation (as directories of media are called) and an architecture.

    Those of the generation's own directory, else of the nearest that stands in for it; of files without any such
    directory above them all. One for each name of an INF file, in a directory of the driver's own if there is one.
    """
    mine = [(path, *_meant_for(path)) for path in medium.paths() if _is_inf_of(path, driver)]
    known = {windows for _, windows, found in mine if found in (arch, "")}
    order = (generation, *_INSTEAD.get(generation, ()), "")
    windows = next((name for name in order if name in known), None)
    found: dict[str, Candidate] = {}
    for path, meant, there in sorted(mine, key=lambda one: (not is_own(one[0], driver), one[0].count("/"), one[0])):
        if meant == windows and there in (arch, ""):
            found.setdefault(PurePosixPath(path).stem.casefold(), Candidate(path, meant))
    return list(found.values())


def generations_with(medium: Medium, driver: str) -> list[str]:
    """For what a medium has a driver, as its directories say it; one that says nothing is empty."""
    meant = (_meant_for(path) for path in medium.paths() if _is_inf_of(path, driver))
    return sorted({"/".join(filter(None, one)) for one in meant})


def below(medium: Medium, directory: str) -> dict[str, str]:
    """The files below a directory that may be wanted: their paths, by what follows the directory in small letters."""
    start = f"{directory.casefold()}/" if directory != "." else ""
    return {
        path.casefold().removeprefix(start): path
        for path in medium.paths()
        if path.casefold().startswith(start) and not _is_unwanted(path)
    }


def is_own(path: str, driver: str) -> bool:
    """Whether a directory above a file is called like the driver."""
    return driver.casefold() in PurePosixPath(path.casefold()).parts[:-1]


def _is_inf_of(path: str, driver: str) -> bool:
    if not path.casefold().endswith(".inf") or _is_unwanted(path):
        return False
    place = PurePosixPath(path.casefold())
    return is_own(path, driver) or driver.casefold() in (place.stem, _DRIVERS_OF_INF.get(place.stem))


def _is_unwanted(path: str) -> bool:
    place = PurePosixPath(path.casefold())
    return (
        place.suffix == ".pdb"
        or place.stem in _UNWANTED_STEMS
        or not _UNWANTED_DIRECTORIES.isdisjoint(place.parts[:-1])
    )


def _meant_for(path: str) -> tuple[str, str]:
    """The generation and the architecture that the directories above a file name, each empty where none does."""
    windows = arch = ""
    for name in PurePosixPath(path.casefold()).parts[:-1]:
        if name in _ARCHITECTURES:
            arch = _ARCHITECTURES[name]
        elif name in _WINDOWS or name in _OTHER_NAMES:
            windows = _OTHER_NAMES.get(name, name)
    return windows, arch


def _image_instead(directory: Path, medium: Medium) -> Path | None:
    """The ISO image in a directory that has no drivers besides: some distributions package nothing else."""
    if any(path.casefold().endswith(".inf") for path in medium.paths()):
        return None
    images = sorted(path for path in directory.iterdir() if path.suffix.casefold() == ".iso" and path.is_file())
    return images[0] if images else None
