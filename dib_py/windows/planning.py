"""What a plan for a Windows image can't have, told before anything runs: nothing runs inside, and its disk stays."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from dib_py.errors import BaseError, DiskError, UsageError
from dib_py.plan import SETUP_MEDIA
from dib_py.settings import Settings
from dib_py.windows.kinds import BOOT_ENTRIES
from dib_py.windows.new_disk import check_room
from dib_py.windows.setup_answers import SetupChoices

if TYPE_CHECKING:
    from dib_py.plan import Plan
    from dib_py.windows.declarations import Declaration

_ONE_OFFS = {
    "run": "an element's firstboot.d has scripts for the first start",
    "copy-in": "an element's files/ has what is to be placed",
    "root-password": "the element admin-password is for that",
}


def taken(plan: Plan, declarations: Iterable[Declaration]) -> tuple[list[Declaration], list[str]]:
    """The declarations that are for what the plan makes, and what is to be said of the others."""
    found, told = [], []
    for one in declarations:
        if plan.makes_media and one.kind.name == BOOT_ENTRIES:
            told.append(f"{one.name} is left out: Setup makes the boot entries, and no file can be given for them")
        else:
            found.append(one)
    return found, told


def _refuse_for_media(plan: Plan) -> None:
    if plan.settings.base:
        raise UsageError(
            f"{SETUP_MEDIA} makes a medium for an installation, which starts from no image: {plan.settings.base}",
            hint=f"leave --base (DIB_LOCAL_IMAGE) out, or name windows in the place of {SETUP_MEDIA}",
        )
    SetupChoices.of(plan.environment)
    if plan.settings.image_types != Settings().image_types:
        named = ",".join(plan.settings.image_types)
        raise UsageError(f"-t {named}: {SETUP_MEDIA} makes an ISO, and no image", hint="leave -t out")
    if plan.settings.verify:
        raise UsageError(f"--verify: {SETUP_MEDIA} makes no image that could be booted", hint="leave --verify out")
    if (size := plan.settings.image_size) is not None:
        raise UsageError(
            f"--image-size {size}: {SETUP_MEDIA} makes no disk", hint="Windows Setup takes all of its disk"
        )


def refuse(plan: Plan) -> None:
    """Raise a DibError for what was asked for and makes no sense with Windows."""
    settings = plan.settings
    if plan.makes_media:
        _refuse_for_media(plan)
    elif plan.base is None:
        raise BaseError(
            "a Windows image is made from one that is there, and none is given",
            hint="--base FILE or DIB_LOCAL_IMAGE names an installed, sysprepped or applied image",
        )
    elif plan.base.media is not None:
        check_room(None, plan.base.media.disk_size)  # before gigabytes of media are fetched
    if plan.layout is not None:
        raise DiskError(
            "a Windows image keeps the partitions of its base image",
            hint="leave the block device out",
            where=plan.layout.source,
        )
    if settings.packages:
        raise UsageError("-p installs packages of a Linux distribution", hint="elements add what Windows is to have")
    for one in settings.one_offs:
        raise UsageError(f"--{one.kind}: nothing can run inside a Windows image", hint=_ONE_OFFS[one.kind])
    if settings.breakpoints:
        point = settings.breakpoints[0]
        raise UsageError(f"break={point}: there is no shell inside a Windows image", hint="dib-py inspect looks at it")
    if settings.target == "host":
        raise UsageError("the host target has no place for NTFS", hint="--target guestfs, or leave it out")
