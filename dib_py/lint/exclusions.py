"""What is left out: rules that a repository switches off, and files that git ignores."""

from __future__ import annotations

import configparser
from collections.abc import Iterable, Iterator
from pathlib import Path

from dib_py import process
from dib_py.errors import FileError, HostError

CONFIGURATION = ("tox.ini", "setup.cfg")
SECTION = "dib-lint"


def ignored_codes(directory: Path) -> frozenset[str]:
    """The rules that ``ignore`` in ``[dib-lint]`` names, in the repository's tox.ini or setup.cfg.

    The nearest file with that section counts, from the elements upwards to the root of the repository. Raises
    FileError for one that cannot be read.
    """
    for path in _configurations(directory.resolve()):
        # interpolation off: tox.ini is full of braces and percent signs that mean something else
        parser = configparser.ConfigParser(interpolation=None, strict=False)
        try:
            parser.read_string(path.read_text(encoding="utf-8"))
        except configparser.ParsingError as error:
            raise FileError(path, "cannot be read", line=error.errors[0][0] if error.errors else None) from error
        except (configparser.Error, UnicodeDecodeError, OSError) as error:
            raise FileError(path, f"cannot be read: {error}") from error
        if parser.has_section(SECTION):
            return frozenset(parser.get(SECTION, "ignore", fallback="").replace(",", " ").split())
    return frozenset()


def _configurations(directory: Path) -> Iterator[Path]:
    for parent in (directory, *directory.parents):
        yield from (path for name in CONFIGURATION if (path := parent / name).is_file())
        if (parent / ".git").exists():
            return


def ignored_by_git(directory: Path, paths: Iterable[Path]) -> frozenset[Path]:
    """Those of ``paths`` that git ignores; none outside of a repository, without git, or where it ignores all."""
    text = "\0".join(str(path) for path in (directory, *paths))
    try:
        printed = process.run(["git", "-C", directory, "check-ignore", "--stdin", "-z"], input=text)
    except HostError:  # also its way to say that it ignores none
        return frozenset()
    ignored = frozenset(Path(name) for name in printed.split("\0") if name)
    return frozenset() if directory in ignored else ignored  # whoever asks for a directory means it
