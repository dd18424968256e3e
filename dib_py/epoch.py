"""How fresh packages are to be, as the text that is in the keys of steps which can fetch.

By default that is the day (UTC), or what ``--packages-epoch`` says. ``--refresh`` asks for an epoch of its own, which
takes the place of that one in the store as soon as a step has fetched with it: so later builds of the day go on from
the refreshed layers, and a refresh that could fetch nothing changes nothing.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from dib_py.settings import Settings

FILE = "epoch"  # in the store: a JSON object, from the epoch that was asked for to the one that was refreshed to
KEPT = 32  # how many of them; days that are over would heap up


def declared(settings: Settings, now: float | None = None) -> str:
    """What a build asks for, if nobody ever said ``--refresh``; ``now`` is in seconds since 1970."""
    return settings.packages_epoch or time.strftime("%Y-%m-%d", time.gmtime(now))


def find(settings: Settings, store: Path | None, now: float | None = None) -> str:
    """The epoch of a build that begins now. ``store`` is the directory of the layers, which need not be there."""
    asked = declared(settings, now)
    if settings.refresh:
        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now))
        return f"{settings.packages_epoch} {stamp}".lstrip()
    return _read(store).get(asked, asked) if store is not None else asked


def remember(settings: Settings, store: Path, epoch: str) -> None:
    """After a step was committed with the epoch of a ``--refresh``: the builds to come go on from it.

    Does nothing for a build that was not asked to refresh, nor where the store can't be written.
    """
    if not settings.refresh:
        return
    known = _read(store)
    asked = settings.packages_epoch or epoch[: len("YYYY-MM-DD")]  # a build may end on another day than it began
    if known.get(asked) == epoch:
        return
    known.pop(asked, None)
    kept = dict([*known.items(), (asked, epoch)][-KEPT:])
    with suppress(OSError):
        descriptor, fresh = tempfile.mkstemp(dir=store, prefix=f".{FILE}-")
        try:
            with os.fdopen(descriptor, "w") as file:
                json.dump(kept, file, indent=1)
            Path(fresh).replace(store / FILE)
        except OSError:
            Path(fresh).unlink(missing_ok=True)
            raise


def _read(store: Path) -> dict[str, str]:
    """What was refreshed; nothing where the file can't be understood."""
    try:
        known = json.loads((store / FILE).read_text())
    except (OSError, ValueError):
        return {}
    if not isinstance(known, dict):
        return {}
    return {asked: epoch for asked, epoch in known.items() if isinstance(epoch, str)}
