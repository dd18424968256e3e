"""The plan: base, ordered steps, packages and output, as a pure value that is computed before anything runs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from dib_py.phases import Phase


@dataclass(frozen=True)
class Step:
    """One thing to run, in its place.

    ``kind`` is ``hook`` (``name`` is its file in the phase directory), or for what the command line asks for
    ``packages`` (-p), ``run`` (--run), ``copy-in`` or ``root-password``. ``key`` names the layer that it produces.
    """

    index: int
    phase: Phase
    element: str
    name: str
    kind: str
    key: str
    source: Path | None = None  # the hook's file in its element
    argument: str = ""  # what the option was given, for steps of the command line
