"""A base image made of Windows' installation media: the chosen edition applied to a new disk, once for each."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from dib_py.base.spec import Media
from dib_py.errors import BaseError
from dib_py.events import Events, Progress

_SCRATCH = "media."  # how the directories begin in which a disk is made
VERSION = 1  # counts up when another disk is made of the same media


def disk_name(sha256: str, media: Media) -> str:
    """What the cache knows the disk as that is made of media with this digest."""
    return f"media:{VERSION}:{sha256}:{media.edition}:{media.disk_size}"


def check_media(source: Path, media: Media) -> None:
    """BaseError for what holds no Windows or, as far as that can be told without a copy, not the edition."""
    from dib_py.windows import new_disk, setup_media

    wim = setup_media.look(source)
    if wim is not None:
        new_disk.check_room(wim.choose(media.edition), media.disk_size)


def make_disk(source: Path, media: Media, destination: Path, *, events: Events) -> None:
    """Make a qcow2 image of an ISO or a WIM; BaseError if it has no such edition, or no room is left."""
    from dib_py.windows import new_disk, setup_media  # most builds have nothing to do with Windows

    for left in destination.parent.glob(f"{_SCRATCH}*"):  # by one that was killed: this one has the directory to itself
        shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=_SCRATCH, dir=destination.parent) as scratch:
        try:
            wim = setup_media.find_wim(source, Path(scratch), events)
            edition = wim.choose(media.edition)
            new_disk.check(edition, media.disk_size, destination.parent)
            events.info(f"base image: a new disk with {edition.name}, applied from {source.name}")

            def progress(percent: int) -> None:
                events.emit(Progress(f"apply {edition.name}", percent * edition.size // 100, edition.size))

            new_disk.make(wim, edition, media.disk_size, destination, progress)
        except BaseError as error:  # the copy out of an ISO is gone when somebody reads this
            error.where = error.where.replace(scratch, str(source)) if error.where else str(source)
            raise
