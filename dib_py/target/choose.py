"""Which target a build uses, why, and what this machine can't build at all."""

from __future__ import annotations

import importlib.util
import os
import platform
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from dib_py.disk import Disk
from dib_py.disk.layout import Layout
from dib_py.errors import TargetError
from dib_py.events import Events
from dib_py.extensions import TARGET_NAMESPACE, check_target
from dib_py.host_programs import BOTH, HOST, PROGRAMS, find
from dib_py.settings import Settings
from dib_py.target import Target, host_layouts
from dib_py.target.probe import Verdict, kvm_works

HOST_DEVICES = (Path("/dev/loop-control"), Path("/dev/fuse"))

# what diskimage-builder and distributions call an architecture, by what the kernel calls it
_NAMES = {
    "amd64": "x86_64",
    "x86-64": "x86_64",
    "arm64": "aarch64",
    "ppc64el": "ppc64le",
    "armhf": "armv7l",
    "i386": "i686",
}

_ALSO_RUN = {"x86_64": ("i686", "i586", "i486")}


@dataclass(frozen=True)
class Choice:
    """A target's name, and why it is this one, in one line."""

    name: str
    reason: str


def choose(
    settings: Settings,
    base_trusted: bool,
    layout: Layout | None = None,
    *,
    probe: Callable[[Settings], Verdict] | None = None,
) -> Choice:
    """The target to use: the one asked for; else guestfs where KVM works, else host where it can and the base is
    trusted, else guestfs without KVM. ``layout`` is that of a disk that has to be made.

    Raises TargetError where none can work, or the one asked for can't or mayn't.
    """
    if settings.target == "host":
        return _asked_for_host(base_trusted, layout)
    lacking_guestfs = why_no_guestfs()
    if settings.target == "guestfs":
        if lacking_guestfs:
            raise TargetError(f"the guestfs target can't work here: {lacking_guestfs}", hint=_GUESTFS_HINT)
        return Choice("guestfs", "asked for")
    if settings.target != "auto":
        return Choice(settings.target, "asked for")
    lacking_host = why_no_host() or _why_not_make(layout)
    if lacking_guestfs:
        if lacking_host:
            raise TargetError(
                f"no target can work here: guestfs: {lacking_guestfs}; host: {lacking_host}", hint=_GUESTFS_HINT
            )
        if not base_trusted:
            raise TargetError(
                f"the base image is not verified, and the guestfs target can't work here: {lacking_guestfs}",
                hint=f"{_GUESTFS_HINT}, give the image's --base-checksum, or say --trust-base",
            )
        return Choice("host", f"the guestfs target can't work here: {lacking_guestfs}")
    verdict = (probe or _probe)(settings)
    if verdict.works:
        return Choice("guestfs", verdict.reason)
    if lacking_host:
        return Choice("guestfs", f"slow, without KVM ({verdict.reason}): the host target can't do it: {lacking_host}")
    if not base_trusted:
        return Choice("guestfs", f"slow, without KVM ({verdict.reason}): nobody vouches for the base image")
    return Choice("host", verdict.reason)


def choose_for_windows() -> Choice:
    """The target for a Windows image, in which nothing ever runs; TargetError where it can't work."""
    if lacking := why_no_guestfs():
        raise TargetError(f"the guestfs target can't work here: {lacking}", hint=_GUESTFS_HINT)
    return Choice("guestfs", "it has what writes NTFS")


def _why_not_make(layout: Layout | None) -> str:
    """Why the host target can't make the layout; empty where it can, or there is none to make."""
    return host_layouts.why_not(layout) if layout is not None else ""


def _asked_for_host(base_trusted: bool, layout: Layout | None) -> Choice:
    lacking = why_no_host()
    if lacking:
        raise TargetError(f"the host target can't work here: {lacking}", hint="--target guestfs needs none of that")
    if layout is not None and (why := _why_not_make(layout)):
        hint = "use the guestfs target: --target guestfs"
        raise TargetError(f"the host target can't make this layout: {why}", hint=hint, where=layout.source)
    if not base_trusted:
        raise TargetError(
            "the base image is not verified, and the host target would run its programs on this machine",
            hint="give its --base-checksum, say --trust-base, or use --target guestfs",
        )
    return Choice("host", "asked for")


_GUESTFS_HINT = "install python3-guestfs and use the system's python3"


def _probe(settings: Settings) -> Verdict:
    return kvm_works(settings.environ)


def why_no_guestfs() -> str:
    """What the guestfs target lacks on this machine; empty where it has all."""
    if importlib.util.find_spec("guestfs") is None:
        return "this python has no libguestfs bindings"
    return ""


def why_no_host() -> str:
    """What the host target lacks on this machine; empty where it has all."""
    if os.geteuid() != 0:
        return "it needs root"
    for device in HOST_DEVICES:
        if not device.exists():
            return f"there is no {device}"
    needed = [one.name for one in PROGRAMS if one.required and one.group in (BOTH, HOST)]
    missing = [name for name in needed if find(name) is None]
    return f"{', '.join(missing)} not installed" if missing else ""


def open_target(name: str, disk: Disk, directory: Path, settings: Settings, events: Events) -> Target:
    """The target of that name on ``disk``, for a ``with``; ``directory`` is the build's own.

    A driver is called with these arguments but the name. UsageError for a name that nobody provides.
    """
    from stevedore.driver import DriverManager  # costs as much as the rest of a small command

    check_target(name)
    driver: Any = DriverManager(TARGET_NAMESPACE, name, on_load_failure_callback=_not_loaded).driver
    return cast(Target, driver(disk, directory, settings, events))


def _not_loaded(manager: Any, entry_point: Any, error: BaseException) -> None:
    raise TargetError(f"the target {entry_point.name} can't be loaded: {error}") from error


def refuse_other_architecture(arch: str, machine: str | None = None) -> None:
    """Raise TargetError unless programs of ``arch`` (any of its names) run on this ``machine``; empty is this one's.

    Emulated ones would, where binfmt_misc is set up, but neither in the appliance nor at a bearable speed.
    """
    own = machine or platform.machine()
    wanted = arch.lower()
    wanted = _NAMES.get(wanted, wanted)
    if wanted in ("", "noarch", "all", "unknown", own, *_ALSO_RUN.get(own, ())):
        return
    raise TargetError(
        f"an image for {arch} can't be built on this machine, which is {own}: its programs would not run here",
        hint=f"build it on a machine of architecture {arch}",
    )
