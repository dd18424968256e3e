"""What both formats say, before either is chosen."""

from __future__ import annotations

import uuid
from dataclasses import astuple, dataclass
from datetime import datetime, timezone

from table import Package, System

_NAMESPACE = uuid.UUID("5b0c2f55-62e6-5d0f-8f0c-6a1f0c1e7a5d")


@dataclass(frozen=True)
class Document:
    name: str  # of the image
    time: int  # seconds since 1970
    system: System
    packages: tuple[Package, ...]  # sorted, no two alike

    @property
    def created(self) -> str:
        return datetime.fromtimestamp(self.time, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")

    @property
    def uuid(self) -> uuid.UUID:
        """Another one for other content, the same one for the same: nothing in it is random."""
        parts = [self.name, self.created, *astuple(self.system)]
        parts += ["\t".join(astuple(package)) for package in self.packages]
        return uuid.uuid5(_NAMESPACE, "\n".join(parts))
