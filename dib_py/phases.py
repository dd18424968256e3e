"""The phases of a build, in their order: what runs on the host and what in the guest."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


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

BY_DIRECTORY = {phase.directory: phase for phase in PHASES}
