r"""``unattend.d/*.xml``: the answer file that Windows reads when it is set up or started after sysprep.

Each file is an answer file of its own; all of them become ``Panther\unattend.xml``, merged by pass and component. Every
other place where Windows would look first is cleared, and an image that Setup is through with is refused: it would
never read one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from dib_py.windows import answer_file, refusals
from dib_py.windows.volume import Access

if TYPE_CHECKING:
    from dib_py.windows.installation import Installation

PLACE = "Panther/unattend.xml"  # below the system root, as are:
_BEFORE_IT = (
    "Panther/Unattend/Unattend.xml",
    "Panther/Unattend/Autounattend.xml",
    "Panther/Autounattend.xml",
    "System32/Sysprep/Unattend.xml",
    "System32/Sysprep/Autounattend.xml",
)
_AT_THE_TOP = ("/Unattend.xml", "/Autounattend.xml")
_SETUP = r"HKLM\SYSTEM\Setup"
_POINTER = "UnattendFile"  # a value that names the answer file, and comes before all places
_NEVER_READ = ("windowsPE", "offlineServicing", "generalize")


@dataclass(frozen=True)
class AnswerFile:
    """What one file asks for, as XML; it may hold passwords, which are encoded but not encrypted."""

    path: Path = field(compare=False)
    xml: bytes = field(repr=False)

    @property
    def tree(self) -> ET.Element:
        return ET.fromstring(self.xml)


def parse(path: Path, variables: Mapping[str, str]) -> AnswerFile:
    """What a file asks for; FileError with the line for what is no answer file."""
    return AnswerFile(path, ET.tostring(answer_file.read(path, variables), encoding="utf-8"))


def warnings(wanted: AnswerFile) -> Iterator[str]:
    for settings in wanted.tree:
        if settings.get("pass") in _NEVER_READ:
            yield f"the pass {settings.get('pass')} is over in an image, so its settings will not be read"


def check(wanted: AnswerFile, guest: Installation) -> None:
    """BaseError for an image that Setup is through with, unless nothing of the file applies."""
    if not len(wanted.tree):
        return
    there = refusals.compressed(guest.volume, guest.windows(PLACE))
    refusals.refuse((*refusals.answer_file(guest.facts), *there))


def apply(wanted: AnswerFile, guest: Installation) -> None:
    if not len(wanted.tree):
        return
    place = guest.windows(PLACE)
    before = guest.volume.read(place) if guest.volume.exists(place) else b""
    tree = answer_file.read_ours(before)
    if tree is None:
        tree = answer_file.empty()
        if before:
            print(f"{place} was not made by dib-py: it is replaced")
            guest.volume.remove(place)  # with it goes its access
    answer_file.merge(tree, wanted.tree, guest.facts.architecture)
    after = answer_file.written(tree)
    if after != before:
        guest.volume.write(place, after, Access.PRIVATE)
    _clear_the_way(guest)


def _clear_the_way(guest: Installation) -> None:
    for path in (*map(guest.windows, _BEFORE_IT), *_AT_THE_TOP):
        if guest.volume.exists(path):
            print(f"{guest.volume.resolve(path)} would be read first: it is removed")
            guest.volume.remove(path)
    if guest.registry.value(_SETUP, _POINTER) is not None:
        guest.registry.delete_value(_SETUP, _POINTER)
