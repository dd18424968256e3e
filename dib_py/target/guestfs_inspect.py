"""What is inside a base image, and the memory of it: libguestfs's inspection takes half as long as its start."""

from __future__ import annotations

import dataclasses
import functools
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

from dib_py.errors import BaseError
from dib_py.target import Inspection, Mount
from dib_py.target.base_system import release_fields
from dib_py.target.guestfs_appliance import CALLED, Appliance, stable_name
from dib_py.target.guestfs_look import look


def inspect(appliance: Appliance) -> Inspection:
    """The one operating system on the disk, with its filesystems; BaseError for none or several."""
    seen = look(appliance.engine_runner, appliance.base_disk(), CALLED)
    if seen is not None:
        return seen
    roots: list[str] = appliance.call(lambda g: g.inspect_os())
    if not roots:
        raise BaseError(
            "no operating system was found on the base image",
            hint="virt-inspector shows what libguestfs sees in it",
        )
    if len(roots) > 1:
        raise BaseError(f"the base image holds more than one operating system: on {', '.join(sorted(roots))}")
    return _describe(appliance, roots[0])


def remembered(cache: Path) -> Inspection | None:
    """The inspection that :func:`remember` wrote, None where there is none that can be read."""
    try:
        values = json.loads(cache.read_text())
        mounts = tuple(Mount(**mount) for mount in values.pop("mounts"))
        return Inspection(mounts=mounts, **values)
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None


def remember(cache: Path, inspection: Inspection) -> None:
    """Write it whole or not at all."""
    cache.parent.mkdir(parents=True, exist_ok=True)
    fresh = cache.with_name(f"{cache.name}.{os.getpid()}")
    fresh.write_text(json.dumps(dataclasses.asdict(inspection)))
    fresh.replace(cache)


def _describe(appliance: Appliance, root: str) -> Inspection:
    mounts = appliance.call(lambda g: _mounts(g, root))
    release = _os_release(appliance, mounts)
    stable = tuple(replace(mount, device=stable_name(mount.device)) for mount in mounts)

    def ask(handle: Any) -> Inspection:
        number = f"{handle.inspect_get_major_version(root)}.{handle.inspect_get_minor_version(root)}"
        return Inspection(
            mounts=stable,
            distro=release.get("ID") or handle.inspect_get_distro(root),
            version=release.get("VERSION_ID") or number,
            arch=handle.inspect_get_arch(root),
            root_label=handle.vfs_label(root),
            root_fstype=mounts[0].fstype,
        )

    return appliance.call(ask)


def _mounts(handle: Any, root: str) -> list[Mount]:
    """The root, and what its fstab names below it, as far as it is there: old entries may stay in an image.

    Devices have the names that libguestfs gives them in this appliance.
    """
    found: dict[str, str] = handle.inspect_get_mountpoints(root)
    mounts = []
    for path in sorted(found, key=lambda path: (len(path), path)):
        try:
            mounts.append(Mount(found[path], path, handle.vfs_type(found[path])))
        except RuntimeError:
            if path == "/":
                raise
    return mounts


def _mount(handle: Any, mount: Mount) -> None:
    handle.mount_options("ro", mount.device, mount.path)


def _os_release(appliance: Appliance, mounts: list[Mount]) -> dict[str, str]:
    """The fields of os-release; {} for what has none (Windows)."""

    def read(handle: Any) -> list[str]:
        has_one = handle.is_file("/etc/os-release", followsymlinks=True)
        return list(handle.read_lines("/etc/os-release")) if has_one else []

    try:
        for mount in mounts:
            if mount.path in ("/", "/usr"):
                appliance.call(functools.partial(_mount, mount=mount))
        lines = appliance.call(read)
    finally:
        appliance.call(lambda g: g.umount_all())
    return release_fields("\n".join(lines))
