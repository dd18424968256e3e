"""The settings of commands that look at images: what is set for builds, right or wrong, is nothing to them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from dib_py.cli.options import parse
from dib_py.settings import Settings, table

_USED = frozenset({"cache_dir", "tmp_dir", "memory", "vcpus"})


def looking_settings(environ: Mapping[str, str]) -> Settings:
    """What the variables say of caches, places and the appliance; UsageError for one of those that says nonsense."""
    names = {name for setting in table() if setting.name in _USED for name in setting.environment}
    used = {name: value for name, value in environ.items() if name in names}
    return replace(parse([], used), environ=dict(environ))
