r"""``files/``: a tree that is laid over the guest's C:, onto the folders that it has, however it spells them.

``files/Windows`` means the directory of the installation, whatever it is called. Nobody but Administrators and SYSTEM
may write to what is placed. What holds secrets by its place nobody else may read either. A program or script is
written anew, so that it does not keep the access of one of the same name that was there.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dib_py.errors import FileError, TargetError
from dib_py.windows.volume import Access, segments

if TYPE_CHECKING:
    from dib_py.windows.installation import Installation

# patterns of paths below C: whose files nobody else may read; "Windows" is the system root
_PRIVATE = (
    "ProgramData/ssh/administrators_authorized_keys",  # else sshd does not look at it
    "ProgramData/ssh/ssh_host_*_key",
    "Windows/Panther/*",
    "Windows/Setup/FirstBoot/*",
    "Windows/System32/config/*",
)
_RUNNABLE = re.compile(
    r"\.(?:bat|cmd|com|cpl|dll|drv|efi|exe|jse?|msc|ms[ip]|ocx|ps1|psd1|psm1|pyd?|scr|sys|vb[es]|wsf)$", re.IGNORECASE
)
_KNOWN_FOLDERS = {  # as they are called on the volume, in every language
    "%systemdrive%": "",
    "%systemroot%": "Windows",
    "%windir%": "Windows",
    "%programfiles%": "Program Files",
    "%programfiles(x86)%": "Program Files (x86)",
    "%programdata%": "ProgramData",
    "%allusersprofile%": "ProgramData",
    "%public%": "Users/Public",
}
_LEADING_VARIABLE = re.compile(r"^%[^%\\/]*%")


@dataclass(frozen=True)
class PlacedFile:
    """A file or an empty directory of an element, and its path from C:, with ``/`` between names."""

    path: str
    source: Path


def parse(path: Path, variables: Mapping[str, str]) -> tuple[PlacedFile, ...]:
    """The files below an element's ``files/``; FileError for a name that Windows does not allow."""
    found = tuple(_walk(path, ""))
    refuse_twins(found)
    return found


def needs(wanted: Iterable[PlacedFile], guest: Installation) -> int:
    return sum(file.source.stat().st_size for file in wanted if file.source.is_file())


def apply(wanted: Iterable[PlacedFile], guest: Installation) -> None:
    for file in wanted:
        if file.source.is_dir():
            guest.volume.make_directory(in_guest(file.path, guest))
        else:
            place(file.source, file.path, guest)


def place(source: Path, path: str, guest: Installation, access: Access | None = None) -> None:
    """Copy a file of this machine to a path from C:, with that access or the one for its place."""
    destination = in_guest(path, guest)
    if is_runnable(path):
        guest.volume.remove(destination)
    guest.volume.store(source, destination, access or access_of(path))


def write(content: bytes, path: str, guest: Installation, access: Access | None = None) -> None:
    """The same for a file that is made here."""
    destination = in_guest(path, guest)
    if is_runnable(path):
        guest.volume.remove(destination)
    guest.volume.write(destination, content, access or access_of(path))


def in_guest(path: str, guest: Installation) -> str:
    """A path of the guest's volume: ``Windows`` at the top is where the installation is."""
    first, _, rest = path.partition("/")
    if first.casefold() == "windows":
        return guest.windows(rest)
    return f"/{path}"


def normal_path(text: str, where: Path, line: int | None = None) -> str:
    r"""``%SystemRoot%\x``, ``C:\Windows\x`` or ``Windows/x`` as ``Windows/x``; FileError for what Windows refuses."""
    match = _LEADING_VARIABLE.match(text)
    if match is not None:
        folder = _KNOWN_FOLDERS.get(match[0].casefold())
        if folder is None:
            raise FileError(where, f"{match[0]} is not known here", line=line, hint=f"{', '.join(_KNOWN_FOLDERS)}")
        text = folder + text[match.end() :]
    elif re.match(r"^[A-Za-z]:", text) and not re.match(r"^[cC]:[\\/]", text):
        raise FileError(where, f"{text}: only paths on C: can be reached", line=line)
    try:
        names = segments(text)
    except TargetError as error:
        raise FileError(where, error.message, line=line) from error
    if not names:
        raise FileError(where, "a path without a name", line=line)
    return "/".join(names)


def access_of(path: str) -> Access:
    """Who may read what is placed there."""
    folded = path.casefold()
    is_private = any(fnmatch.fnmatchcase(folded, pattern.casefold()) for pattern in _PRIVATE)
    return Access.PRIVATE if is_private else Access.PUBLIC


def is_runnable(path: str) -> bool:
    """Whether Windows runs such a file, or programs load it."""
    return _RUNNABLE.search(path) is not None


def refuse_twins(files: Iterable[PlacedFile]) -> None:
    """FileError for two files whose names differ by case only: Windows would see one of them."""
    seen: dict[str, Path] = {}
    for file in files:
        twin = seen.setdefault(file.path.casefold(), file.source)
        if twin != file.source:
            raise FileError(file.source, f"differs from {twin} by case only, which Windows does not look at")


def _walk(directory: Path, above: str) -> Iterator[PlacedFile]:
    try:
        entries = sorted(directory.iterdir())
    except OSError as error:
        raise FileError(directory, f"cannot be read: {error.strerror}") from error
    for entry in entries:
        path = normal_path(f"/{above}{entry.name}", entry)
        if entry.is_dir():
            if entry.resolve() in (directory.resolve(), *directory.resolve().parents):
                raise FileError(entry, "a link leads back to a directory above it")
            inside = tuple(_walk(entry, f"{path}/"))
            yield from inside or (PlacedFile(path, entry),)
        elif entry.is_file():
            yield PlacedFile(path, entry)
        else:
            raise FileError(entry, "is no file or directory, nor a link to one")
