"""The base images that layers lie on, as files of this machine."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from pathlib import Path

from dib_py.base import BaseSpec, obtain
from dib_py.errors import BaseError, HostError
from dib_py.events import Events
from dib_py.layers.record import BaseRecord, Record
from dib_py.settings import Settings


def find_bases(records: Iterable[Record], settings: Settings) -> list[tuple[BaseRecord, Path]]:
    """The base images below these steps, each once, where they were or in the cache; HostError if one is gone."""
    bases = dict.fromkeys(record.base for record in records if record.base is not None)
    return [(base, _find(base, settings)) for base in bases]


def _find(base: BaseRecord, settings: Settings) -> Path:
    hint = "the importing machine can get it by itself: leave --with-base out"
    try:
        image = obtain(BaseSpec(base.location, "", "a layer"), dataclasses.replace(settings, offline=True), Events())
    except BaseError as error:
        raise HostError(f"the base image is not at hand: {error}", hint=hint) from error
    if image.digest != base.digest:
        raise HostError(f"the base image {base.location} is not what it was", hint=hint)
    return image.path
