"""What the store knows of a step that ran: the record beside its layer.

Invariant: a record is written last, so a layer without one was never committed. A record that this version can't read
counts as none.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from dib_py.keys import Ingredients

FORMAT = 1  # of records; one of another format is a miss


@dataclass(frozen=True)
class DiskState:
    """What the engine must know of a disk to go on from a layer; sizes in bytes.

    ``roomy``: it has more room than the image needs and is cut to its size later. ``grows``: it grows on demand.
    ``uuids`` are those of the layout's filesystems, by name, as they were made.
    """

    size: int
    capacity: int
    roomy: bool = False
    grows: bool = False
    uuids: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class BaseRecord:
    """The base image below the first layer."""

    location: str
    format: str
    digest: str


@dataclass(frozen=True)
class PackageChanges:
    """What a step did to the guest's packages: versions by name; those that changed are in both."""

    before: Mapping[str, str]
    after: Mapping[str, str]


@dataclass(frozen=True)
class BindMount:
    """What a host-side hook left mounted in the guest's tree: ``source`` on this machine, ``path`` in the guest."""

    source: str
    path: str


@dataclass(frozen=True)
class Record:
    """A step that ran and succeeded.

    ``backing`` is the key of the layer below ("" for the base image or nothing): the parent's, unless that was merged.
    ``digest`` is the layer file's blake2b, and "" where the layer was merged into a later one. ``ingredients`` are
    what the key was made of. ``artefacts`` are the paths in this step's archive, "" for none.
    """

    key: str
    phase: str
    element: str
    name: str
    kind: str
    ingredients: Ingredients
    backing: str
    disk: DiskState
    base: BaseRecord | None
    digest: str
    allocated: int  # bytes of the layer file on its filesystem
    seconds: float
    finished: str  # UTC, ISO 8601
    target: str
    engine: str  # version of dib-py
    packages: PackageChanges | None = None
    artefacts: tuple[str, ...] = ()
    mounts: tuple[BindMount, ...] = ()

    @property
    def parent(self) -> str:
        return self.ingredients.parent

    @property
    def title(self) -> str:
        """How people call the step."""
        return f"{self.phase}/{self.name}"

    def to_json(self) -> str:
        return json.dumps({"format": FORMAT, **dataclasses.asdict(self)}, indent=1, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Record:
        """Raises ValueError for what is no record of this format."""
        try:
            data = json.loads(text)
            if data.pop("format") != FORMAT:
                raise ValueError("another format")
            return cls._from(data)
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"no record: {error}") from error

    @classmethod
    def _from(cls, data: dict[str, Any]) -> Record:
        nested: dict[str, Any] = {
            "ingredients": Ingredients.from_dict(data["ingredients"]),
            "disk": DiskState(**data["disk"]),
            "base": None if data["base"] is None else BaseRecord(**data["base"]),
            "packages": None if data["packages"] is None else PackageChanges(**data["packages"]),
            "artefacts": tuple(data["artefacts"]),
            "mounts": tuple(BindMount(**mount) for mount in data["mounts"]),
        }
        return cls(**{**data, **nested})
