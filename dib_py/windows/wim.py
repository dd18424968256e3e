"""A Windows image file (WIM, ESD, or split SWM): what is in it, and its content written to an NTFS filesystem.

wimlib does the work. It runs nothing of what it writes, and needs neither root nor a mount.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from dib_py.errors import BaseError, nearest
from dib_py.process import CommandFailed, follow, run

PROGRAM = "wimlib-imagex"

_ARCHITECTURES = {"0": "x86", "9": "amd64", "12": "arm64"}  # PROCESSOR_ARCHITECTURE_*, winnt.h
_PERCENT = re.compile(rb"\((\d{1,3})%\)")


@dataclass(frozen=True)
class Edition:
    """One image in a WIM: ``label`` is what it was captured as, ``id`` Windows' own word for it (``ServerStandard``).

    ``size`` is its content in bytes.
    """

    index: int
    name: str
    label: str = ""
    id: str = ""
    arch: str = ""
    size: int = 0

    def __str__(self) -> str:
        label = f", '{self.label}'" if self.label not in ("", self.name) else ""
        return f"{self.index}: {self.name}{label}" + (f" ({self.id})" if self.id else "")


@dataclass(frozen=True)
class Wim:
    """A WIM of this machine; ``parts`` are the further files of a split one."""

    path: Path
    editions: tuple[Edition, ...]
    parts: tuple[Path, ...] = ()

    @staticmethod
    def read(path: Path, parts: Sequence[Path] = ()) -> Wim:
        """Look into a WIM; BaseError if it is none or was damaged."""
        try:
            listed = bytearray()
            follow([PROGRAM, "info", path, "--xml"], listed.extend)
            root = ElementTree.fromstring(bytes(listed))  # UTF-16 with its mark, which the parser knows
        except CommandFailed as error:
            raise BaseError(f"is no WIM that can be read: {_why(error)}", where=str(path)) from error
        except ElementTree.ParseError as error:
            raise BaseError(f"its list of editions can't be read: {error}", where=str(path)) from error
        return Wim(path, tuple(_edition(image) for image in root.iter("IMAGE")), tuple(parts))

    def choose(self, wanted: str) -> Edition:
        """The edition that ``wanted`` names: its number, its name or Windows' word for it, in any case.

        Nothing is wanted where there is only one. BaseError lists what there is.
        """
        listed = "it has " + "; ".join(map(str, self.editions))
        if not wanted:
            if len(self.editions) == 1:
                return self.editions[0]
            raise BaseError(
                "the media have several editions", hint=f"DIB_WINDOWS_EDITION names one: {listed}", where=str(self.path)
            )
        folded = wanted.casefold()
        ways = [
            [one for one in self.editions if folded in (str(one.index), one.label.casefold())],
            [one for one in self.editions if folded == one.name.casefold()],
            [one for one in self.editions if folded == one.id.casefold()],
        ]
        found = next(filter(None, ways), [])
        if len(found) == 1:
            return found[0]
        if found:
            numbers = " or ".join(str(one.index) for one in found)
            what, meant = "more than one edition", f"use the number, {numbers}: "
        else:
            near = nearest(wanted, [one.name for one in self.editions], 1)
            what, meant = "no edition", f"did you mean '{near[0]}'? " if near else ""
        raise BaseError(f"the media have {what} '{wanted}'", hint=meant + listed, where=str(self.path))

    def apply(self, edition: Edition, filesystem: Path, progress: Callable[[int], None]) -> None:
        """Write an edition to an NTFS filesystem, a file or device that nobody has mounted.

        Access control, links, streams and short names come with it. ``progress`` is called with percents.
        """
        argv: list[str | Path] = [PROGRAM, "apply", self.path, str(edition.index), filesystem, *self._others()]
        last = -1

        def output(chunk: bytes) -> None:
            nonlocal last
            for found in _PERCENT.findall(chunk):
                if int(found) != last:
                    last = int(found)
                    progress(last)

        try:
            follow(argv, output)
        except CommandFailed as error:
            raise BaseError(f"{edition.name} can't be written: {_why(error)}", where=str(self.path)) from error

    def extract(self, edition: Edition, paths: Sequence[str], directory: Path) -> list[Path]:
        r"""Copy files and trees of an edition, as ``\Windows\Boot\EFI``, to a directory; returns those it has."""
        argv: list[str | Path] = [
            PROGRAM,
            "extract",
            self.path,
            str(edition.index),
            *paths,
            f"--dest-dir={directory}",
            "--no-acls",
        ]
        try:
            run([*argv, "--nullglob", "--no-attributes", *self._others()])
        except CommandFailed as error:
            raise BaseError(f"{edition.name} can't be read: {_why(error)}", where=str(self.path)) from error
        return sorted(directory.iterdir())

    def _others(self) -> list[str]:
        return [f"--ref={part}" for part in self.parts]


def _edition(image: ElementTree.Element) -> Edition:
    def text(path: str) -> str:
        return (image.findtext(path) or "").strip()

    return Edition(
        index=int(image.get("INDEX", "0")),
        name=text("DISPLAYNAME") or text("NAME"),
        label=text("NAME"),
        id=text("WINDOWS/EDITIONID") or text("FLAGS"),
        arch=_ARCHITECTURES.get(text("WINDOWS/ARCH"), ""),
        size=int(text("TOTALBYTES") or 0),
    )


def _why(error: CommandFailed) -> str:
    """What wimlib says in its last error, in one line."""
    lines = [line.strip() for line in error.output.splitlines() if line.strip()]
    told = [line.split("]", 1)[-1].strip() for line in lines if line.startswith("[ERROR]")]
    return told[0] if told else lines[-1] if lines else f"exit code {error.returncode}"
