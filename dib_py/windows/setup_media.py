"""Windows' installation media: the WIM with its editions, in an ISO or by itself."""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath

from dib_py.base.image_format import WIM
from dib_py.errors import BaseError
from dib_py.events import Events
from dib_py.windows import medium
from dib_py.windows.wim import Wim

_INSTALL = re.compile(r"(?:x64/|arm64/)?sources/install([0-9]*)\.(wim|esd|swm)", re.IGNORECASE)


def find_wim(source: Path, scratch: Path, events: Events) -> Wim:
    """The WIM in ``source``, which is one or an ISO with one; it is copied out of an ISO to ``scratch``.

    BaseError where there is none, or where it is the first part of a split one without the others.
    """
    if _is_wim(source):
        return Wim.read(source, _parts_beside(source))
    with medium.iso(source) as media:
        found = _parts_in(media)
        copies = []
        for path in found:
            events.info(f"copying {path} out of {source.name}")
            copies.append(scratch / PurePosixPath(path).name.casefold())
            media.fetch(path, copies[-1])
    return Wim.read(copies[0], copies[1:])


def look(source: Path) -> Wim | None:
    """The WIM, if ``source`` is one; None for an ISO with one, as it takes a copy of gigabytes to read it there.

    BaseError for what is neither.
    """
    if _is_wim(source):
        return Wim.read(source, _parts_beside(source))
    with medium.iso(source) as media:
        _parts_in(media)
    return None


def _is_wim(source: Path) -> bool:
    with source.open("rb") as file:
        return file.read(len(WIM)) == WIM


def _parts_in(media: medium.Medium) -> list[str]:
    """The path of the WIM on the media, and those of its further parts, in their order."""
    found = [path for path in media.paths() if _INSTALL.fullmatch(path)]
    if not found:
        raise BaseError(
            "has no sources/install.wim (or .esd, .swm): it is no installation medium of Windows",
            hint="evaluation media and those of volume licensing have one, those with drivers or languages not",
            where=media.name,
        )
    return sorted(found, key=lambda path: (len(path), path.casefold()))


def _parts_beside(first: Path) -> list[Path]:
    """The further parts of a split WIM: ``install2.swm`` and so on beside ``install.swm``."""
    if first.suffix.casefold() != ".swm":
        return []
    return sorted(path for path in first.parent.glob(f"{first.stem}[0-9]*.swm") if path != first)
