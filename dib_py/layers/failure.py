"""A step that failed, as the store keeps it: its overlay, and all that it takes to be there again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dib_py.layers.record import BindMount, DiskState


@dataclass(frozen=True)
class FailedStep:
    """``parent`` is the key of the step before; ``argv``, ``environ`` and ``cwd`` are those of the command."""

    overlay: Path
    parent: str
    phase: str
    element: str
    name: str
    exit_code: int
    variables: Mapping[str, str]
    disk: DiskState
    mounts: tuple[BindMount, ...]
    argv: tuple[str, ...]
    environ: Mapping[str, str]
    cwd: Path

    @property
    def title(self) -> str:
        return f"{self.phase}/{self.name}"

    @classmethod
    def of(cls, overlay: Path, data: Mapping[str, Any]) -> FailedStep:
        """From what :mod:`dib_py.checkpoints` wrote down; ValueError for what it did not."""
        try:
            return cls(
                overlay=overlay,
                parent=data["parent"],
                phase=data["phase"],
                element=data["element"],
                name=data["name"],
                exit_code=data["exit_code"],
                variables=data["variables"],
                disk=DiskState(**data["disk"]),
                mounts=tuple(BindMount(**mount) for mount in data["mounts"]),
                argv=tuple(data["argv"]),
                environ=data["environ"],
                cwd=Path(data["cwd"]),
            )
        except (KeyError, TypeError) as error:
            raise ValueError(f"no failure: {error}") from error
