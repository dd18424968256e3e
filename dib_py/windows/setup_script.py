r"""The script that Windows Setup runs in the specialize pass of an installation, before anything else of ours.

It gives what was copied the access that it has in an image, where Setup gives it that of its folder: on C: itself and
in ``ProgramData`` that lets users write. Setup's copy of the whole medium, below the system root, is closed as well.
Where that fails Setup is ended, as secrets would lie open.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

# SYSTEM, Administrators and everyone, by the numbers that they have in every language
_OWNERS, _EVERYONE = ("S-1-5-18", "S-1-5-32-544"), "S-1-1-0"
_WRITABLE = (".", "programdata", "users", "users/default", "users/public")  # folders in which users make files
_LOG = r'>>"%~dp0log.txt" 2>&1'
_HEAD = (
    "@echo off",
    "rem Windows Setup runs this as SYSTEM in the specialize pass. Made by dib-py.",
    "setlocal EnableExtensions DisableDelayedExpansion",
    'set "CODE=0"',
)
_IF_FAILED = 'if not "%ERRORLEVEL%"=="0"'
_FAILED = 3  # 1 and 2 would make Setup restart
COPY = "ConfigSetRoot"  # below the system root


def script(rights: Iterable[str], imports: Iterable[str]) -> bytes:
    """Run programs of System32, each with what it says in a log beside the script; ``rights`` have to be given."""
    lines = list(_HEAD)
    copy = rf"%SystemRoot%\{COPY}"
    # no one-line if: a parenthesis may end it
    lines += [f'if not exist "{copy}" goto closed', *_needed(_grant(copy, private=True, directory=True)), ":closed"]
    for command in rights:
        lines += _needed(command)
    for command in imports:
        lines += [_run(command), f"{_IF_FAILED} echo {command} has failed {_LOG}"]
    text = "\r\n".join([*lines, "exit /b %CODE%", ""])
    return (text if text.isascii() else text.replace("\r\n", "\r\nchcp 65001 >nul\r\n", 1)).encode()


def _needed(command: str) -> list[str]:
    return [_run(command), f'{_IF_FAILED} set "CODE={_FAILED}"']


def _run(command: str) -> str:
    program, _, rest = command.partition(" ")
    return rf'"%SystemRoot%\System32\{program}" {rest} {_LOG}'


def rights(root: Path, copied: Iterable[Path], ours: str) -> Iterator[str]:
    """Commands for what was copied from below ``root``, C:; ``ours`` is a directory in Windows' own that is private."""
    yield _grant(rf"%SystemRoot%\{ours}".replace("/", "\\"), private=True, directory=True)
    closed: set[Path] = set()
    for path in sorted(copied):
        parent = path.parent.relative_to(root).as_posix().casefold()
        private = not path.stat().st_mode & 0o077
        if not closed.isdisjoint(path.parents) or not (private or parent in _WRITABLE):
            continue
        if private and path.is_dir():
            closed.add(path)
        yield _grant(_in_windows(path.relative_to(root)), private=private, directory=path.is_dir())


def _in_windows(path: Path) -> str:
    windows = path.parts[0].casefold() == "windows"
    names = path.parts[1:] if windows else path.parts
    return "\\".join(["%SystemRoot%" if windows else "%SystemDrive%", *(name.replace("%", "%%") for name in names)])


def _grant(place: str, *, private: bool, directory: bool) -> str:
    inherited = "(OI)(CI)" if directory else ""
    grants = [f"/grant:r *{sid}:{inherited}F" for sid in _OWNERS]
    grants += [] if private else [f"/grant:r *{_EVERYONE}:{inherited}RX"]
    return f'icacls.exe "{place}" /inheritance:r {" ".join(grants)}'
