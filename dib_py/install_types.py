"""Install types, foreseen: which hooks ``install-types`` will link into install.d during extra-data.d.

``install.d/NAME-TYPE-install/`` holds the hooks for one way of installing NAME; ``DIB_INSTALLTYPE_NAME`` or
``DIB_DEFAULT_INSTALLTYPE`` chooses. The element's own hook makes the links, after this has told the plan of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from dib_py.hooks import FORESEEN, Entry, MergedHooks
from dib_py.resolve import Resolution

ELEMENT = "install-types"
_PREFIX = "DIB_INSTALLTYPE_"
_DIRECTORY = "install.d"


def foresee(resolution: Resolution, merged: MergedHooks, environment: Mapping[str, str]) -> MergedHooks:
    """The merged hooks as they will be when install.d begins; unchanged where install-types is not in the image."""
    if ELEMENT not in resolution.members:
        return merged
    entries = dict(merged.entries)
    for chosen in _chosen(merged, environment):
        prefix = f"{_DIRECTORY}/{chosen}/"
        for path, entry in merged.entries.items():
            name = path[len(prefix) :]
            if path.startswith(prefix) and "/" not in name and not name.startswith("."):
                entries[f"{_DIRECTORY}/{name}"] = Entry(entry.element, entry.source, FORESEEN)
    return replace(merged, entries=dict(sorted(entries.items())))


def _chosen(merged: MergedHooks, environment: Mapping[str, str]) -> list[str]:
    """The directories whose hooks are linked, in the order in which they are."""
    types = {
        name[len(_PREFIX) :].replace("_", "-"): value
        for name, value in sorted(environment.items())
        if name.startswith(_PREFIX)
    }
    named = [f"{name}-{kind}-install" for name, kind in types.items()]
    suffix = f"-{environment.get('DIB_DEFAULT_INSTALLTYPE', 'source')}-install"
    defaults = [
        path[len(_DIRECTORY) + 1 :]
        for path, entry in merged.entries.items()
        if entry.kind == "directory" and path.startswith(f"{_DIRECTORY}/") and path.count("/") == 1
        if path.endswith(suffix) and path[len(_DIRECTORY) + 1 : -len(suffix)] not in types
    ]
    return [*named, *defaults]
