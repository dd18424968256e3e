r"""What Windows Setup is given on a medium of its own: an answer file for all passes, drivers, and the elements' work.

Setup takes ``Autounattend.xml`` from the root of any removable medium and, as that asks for it, copies what is in
``$OEM$`` beside it: ``$$`` to the system root, ``$1`` to C:. Elements that are written for images serve here too: what
they declare is applied to a guest with nothing in it (:mod:`blank_guest`), and what is in it afterwards is copied.
Registry keys are imported in the specialize pass, when the hives are the installation's own, by a script
(:mod:`setup_script`) that first gives what was copied the access that it is to have.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

from dib_py.windows import (
    answer_file,
    blank_guest,
    driver_choice,
    refusals,
    reg_file,
    setup_answers,
    setup_script,
    unattend,
)
from dib_py.windows.blank_guest import FOLDERS, BlankGuest
from dib_py.windows.declarations import Declared
from dib_py.windows.drivers import Drivers
from dib_py.windows.hive import Hive, Value
from dib_py.windows.installation import Installation
from dib_py.windows.registry import standard_hives
from dib_py.windows.registry_edits import KeyEdit, RegistryEdits
from dib_py.windows.setup_answers import SetupChoices
from dib_py.windows.virtio_media import opened

ANSWER_FILE = "Autounattend.xml"
DRIVERS = "drivers"  # the directory on the medium
OURS = "Setup/dib-py"  # below the system root: what is needed until sysprep is through, and removed then
PREPARE = "prepare.cmd"
_SYSTEM, _DRIVE = "$OEM$/$$", "$OEM$/$1"
_MACHINE, _USERS = "machine.reg", "users.reg"
_DEPLOYED = "unattend.xml"  # for sysprep, which makes the next start read it
_COMMAND = rf"cmd.exe /d /c %SystemRoot%\Setup\dib-py\{PREPARE}"
_PROFILE = r"HKEY_USERS\dib-py"  # where the profile of new users is loaded while keys are imported to it
_CONTROL_SET = "ControlSet001\\"
_LONG_ROOTS = (("HKLM\\", "HKEY_LOCAL_MACHINE\\"), ("HKU\\", "HKEY_USERS\\"))


@dataclass(frozen=True)
class ConfigurationSet:
    """What is on the medium, below ``tree``; ``told`` are remarks on what was taken, and what could not be."""

    tree: Path
    told: tuple[str, ...]


def compose(
    declared: Iterable[Declared],
    choices: SetupChoices,
    architecture: str,
    scratch: Path,
    variables: Mapping[str, str],
) -> ConfigurationSet:
    """Put everything into a tree below ``scratch``, an empty directory; DibError for drivers that are missing."""
    tree = scratch / "tree"
    ours = tree / _SYSTEM / OURS
    ours.mkdir(parents=True)
    blank = blank_guest.make(scratch / "guest", choices.generation, architecture, variables)
    guest = blank.installation
    before = {file.mounted: _content(guest, file.mounted) for file in _hives(guest)}
    told: list[str] = []
    edits: list[KeyEdit] = []
    for one in declared:
        told += _take(one, guest, tree, edits)
    guest.commit()
    edits += _edits_of(guest, before)
    copied = _placed(blank)
    rights = setup_script.rights(blank.root, copied, OURS)
    (ours / PREPARE).write_bytes(setup_script.script(rights, _imports(edits, ours)))
    if (tree / DRIVERS).is_dir():
        choices = replace(choices, drivers=DRIVERS)
    _answers(guest, choices, architecture, tree)
    _copy(blank, copied, tree)
    return ConfigurationSet(tree, tuple(told))


def _take(one: Declared, guest: Installation, tree: Path, edits: list[KeyEdit]) -> Iterator[str]:
    kind = one.declaration.kind.name
    value: Any = one.value
    if kind == "drivers":
        yield from _drivers(value, guest, tree)
    elif kind == "registry":
        edits += value.edits  # as they are: there is nothing yet that a deletion could be seen by
    else:
        one.apply(guest)


# -- drivers
def _drivers(wanted: Drivers, guest: Installation, tree: Path) -> Iterator[str]:
    """The packages that fit, each in a directory of its own, where Setup looks for devices it has no driver for."""
    with opened(wanted.source) as medium:
        chosen, missing = driver_choice.choose(medium, wanted.wanted, guest.facts)
        refusals.refuse(missing)
        for one in chosen:
            directory = tree / DRIVERS / one.driver
            for name, content in {**one.stored, **one.others}.items():
                place = directory / name
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_bytes(content)
            yield f"driver {one.driver} {'.'.join(map(str, one.package.version))} from {one.place}"


# -- registry
def _hives(guest: Installation) -> Iterator[Any]:
    return (file for file in standard_hives(guest.facts.system_root) if guest.volume.exists(file.path))


def _content(guest: Installation, mounted: str) -> dict[str, dict[str, Value]]:
    hive: Hive = guest.registry.hive(mounted)
    return {path: {value.name: value for value in values} for path, values in hive.walk()}


def _edits_of(guest: Installation, before: Mapping[str, dict[str, dict[str, Value]]]) -> Iterator[KeyEdit]:
    """What was written to the hives, under the names that the keys have in a running Windows."""
    for file in _hives(guest):
        for path, values in _content(guest, file.mounted).items():
            known = before[file.mounted].get(path)
            new = tuple(value for name, value in values.items() if known is None or known.get(name) != value)
            if new or known is None:
                if file.mounted == r"HKLM\SYSTEM" and path.startswith(_CONTROL_SET):
                    path = "CurrentControlSet\\" + path.removeprefix(_CONTROL_SET)
                yield KeyEdit(f"{file.mounted}\\{path}", new)


def _imports(edits: Iterable[KeyEdit], directory: Path) -> Iterator[str]:
    """Write the keys to files, and give the commands that import them."""
    machine, users = [], []
    for edit in edits:
        if edit.key == "HKCU" or edit.key.startswith("HKCU\\"):
            users.append(replace(edit, key=_PROFILE + edit.key.removeprefix("HKCU")))
        else:
            machine.append(replace(edit, key=_long(edit.key)))
    for name, wanted in ((_MACHINE, machine), (_USERS, users)):
        if wanted:
            (directory / name).write_bytes(reg_file.write(RegistryEdits(directory / name, tuple(wanted))))
    if machine:
        yield rf'reg.exe import "%~dp0{_MACHINE}"'
    if users:
        yield rf'reg.exe load {_PROFILE} "%SystemDrive%\Users\Default\NTUSER.DAT"'
        yield rf'reg.exe import "%~dp0{_USERS}"'
        yield rf"reg.exe unload {_PROFILE}"


def _long(key: str) -> str:
    """Regedit's file has the long names of roots only."""
    for short, long in _LONG_ROOTS:
        if key.startswith(short):
            return long + key.removeprefix(short)
    return key


# -- files
def _placed(blank: BlankGuest) -> list[Path]:
    """What was placed there for the installation: no folder of every Windows, no hive, not the answer file."""
    guest = blank.installation
    known = {*FOLDERS, guest.windows(unattend.PLACE), *(file.path for file in _hives(guest))}
    left_out = {one.strip("/").casefold() for one in known}
    return [
        path
        for path in sorted(blank.root.rglob("*"))
        if path.relative_to(blank.root).as_posix().casefold() not in left_out
    ]


def _copy(blank: BlankGuest, copied: Iterable[Path], tree: Path) -> None:
    for path in copied:
        if path.is_dir():
            continue
        name = path.relative_to(blank.root)
        windows = name.parts[0].casefold() == "windows"
        place = tree / _SYSTEM / Path(*name.parts[1:]) if windows else tree / _DRIVE / name
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, place)


# -- the answer file
def _answers(guest: Installation, choices: SetupChoices, architecture: str, tree: Path) -> None:
    """Setup's own answers, and those of the elements; the latter alone as well, for what sysprep is to be given."""
    place = guest.windows(unattend.PLACE)
    wanted: ET.Element | None = None
    if guest.volume.exists(place):
        content = guest.volume.read(place)
        wanted = answer_file.read_ours(content)
        (tree / _SYSTEM / OURS / _DEPLOYED).write_bytes(content)
    root = answer_file.empty()
    answer_file.merge(root, setup_answers.answers(choices), architecture)
    answer_file.merge(root, setup_answers.commands("specialize", [_COMMAND]), architecture)
    if wanted is not None:
        answer_file.merge(root, wanted, architecture)
    (tree / ANSWER_FILE).write_bytes(answer_file.written(root))
