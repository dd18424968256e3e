r"""``unattend.d/*.xml``: the answer file that Windows reads when it is set up or started after sysprep.

Each file is an answer file of its own; all of them become ``Panther\unattend.xml``, merged by pass and component. Every
other place where Windows would look first is cleared, and an image that Setup is through with is refused: it would
never read one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from dib_py.windows import answer_file, refusals
from dib_py.windows.generations import Generation
from dib_py.windows.inspection import SPECIALIZED
from dib_py.windows.volume import Access

if TYPE_CHECKING:
    from dib_py.windows.declarations import Declared
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
_LANGUAGES = r"HKLM\SYSTEM\CurrentControlSet\Control\MUI\UILanguages"  # a key for each that the image has
_LANGUAGE = "en-US"  # where the image has several, or does not tell


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


def of(declared: Iterable[Declared]) -> list[AnswerFile]:
    """The answer files among what elements declare."""
    return [one.value for one in declared if isinstance(one.value, AnswerFile)]


def advice(wanted: Iterable[AnswerFile], generation: Generation) -> Iterator[str]:
    """What all answer files together lack for a first start of that Windows at which nobody is asked anything."""
    trees = [one.tree for one in wanted]
    answers = any(settings.get("pass") == "oobeSystem" for tree in trees for settings in tree)
    if generation.server and answers and not any(_all(tree, "AdministratorPassword") for tree in trees):
        yield (
            f"no answer file has a password for Administrator: {generation.title} may ask for one at the first start, "
            "and first-boot scripts wait for that (the element admin-password sets one)"
        )


def apply(wanted: AnswerFile, guest: Installation) -> None:
    if not len(wanted.tree):
        return
    if guest.facts.image_state == SPECIALIZED and any(one.get("pass") == "specialize" for one in wanted.tree):
        print("the pass specialize is over in this image, so its settings will not be read")
    place = guest.windows(PLACE)
    before = guest.volume.read(place) if guest.volume.exists(place) else b""
    tree = answer_file.read_ours(before)
    if tree is None:
        tree = answer_file.empty()
        if before:
            print(f"{place} was not made by dib-py: it is replaced")
            guest.volume.remove(place)  # with it goes its access
    answer_file.merge(tree, wanted.tree, guest.facts.architecture)
    for language in _all(tree, "UILanguage"):
        language.text = language.text or _language(guest)
    after = answer_file.written(tree)
    if after != before:
        guest.volume.write(place, after, Access.PRIVATE)
    _clear_the_way(guest)


def _all(tree: ET.Element, name: str) -> list[ET.Element]:
    return list(tree.iter(f"{{{answer_file.NAMESPACE}}}{name}"))


def _language(guest: Installation) -> str:
    """The language of menus that the image has; an empty UILanguage stands for it."""
    found = guest.registry.keys(_LANGUAGES)
    return found[0] if len(found) == 1 else _LANGUAGE


def _clear_the_way(guest: Installation) -> None:
    for path in (*map(guest.windows, _BEFORE_IT), *_AT_THE_TOP):
        if guest.volume.exists(path):
            print(f"{guest.volume.resolve(path)} would be read first: it is removed")
            guest.volume.remove(path)
    if guest.registry.value(_SETUP, _POINTER) is not None:
        guest.registry.delete_value(_SETUP, _POINTER)
