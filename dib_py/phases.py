"""The phases of a build, in their order: what runs on the host and what in the guest."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from dib_py.errors import UsageError, nearest


class Side(Enum):
    """Where the hooks of a phase run."""

    HOST = "host"
    GUEST = "guest"


@dataclass(frozen=True)
class Phase:
    name: str
    side: Side

    @property
    def directory(self) -> str:
        return f"{self.name}.d"


ROOT = Phase("root", Side.HOST)
EXTRA_DATA = Phase("extra-data", Side.HOST)
PRE_INSTALL = Phase("pre-install", Side.GUEST)
INSTALL = Phase("install", Side.GUEST)
POST_INSTALL = Phase("post-install", Side.GUEST)
POST_ROOT = Phase("post-root", Side.HOST)
BLOCK_DEVICE = Phase("block-device", Side.HOST)
PRE_FINALISE = Phase("pre-finalise", Side.HOST)
FINALISE = Phase("finalise", Side.GUEST)
CLEANUP = Phase("cleanup", Side.HOST)

PHASES = (
    ROOT,
    EXTRA_DATA,
    PRE_INSTALL,
    INSTALL,
    POST_INSTALL,
    POST_ROOT,
    BLOCK_DEVICE,
    PRE_FINALISE,
    FINALISE,
    CLEANUP,
)

HOOKS_IN_GUEST = "/tmp/in_target.d"  # where the directories of phases are for those that run there
AFTER_ERROR = "after-error"
STOPS = (*(f"{when}-{phase.name}" for phase in PHASES for when in ("before", "after")), AFTER_ERROR)

BY_DIRECTORY = {phase.directory: phase for phase in PHASES}


def check_stops(points: Iterable[str], where: str = "a break point") -> None:
    """Raise UsageError for a point that no build reaches; ``where`` is the option or variable that names it."""
    for point in points:
        if point not in STOPS:
            meant = nearest(point, STOPS)
            hint = f"did you mean {' or '.join(meant)}?" if meant else f"there are {', '.join(STOPS)}"
            raise UsageError(f"{where} names no point of a build: '{point}'", hint=hint)
