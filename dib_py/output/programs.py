"""Programs that write images: missed before a build starts, with the package that brings them."""

from __future__ import annotations

import shutil

from dib_py.errors import HostError
from dib_py.host_programs import PROGRAMS


def require(program: str, purpose: str = "") -> None:
    """Raise HostError unless ``program`` is on PATH; ``purpose`` is the format that needs it."""
    if shutil.which(program) is not None:
        return
    needing = f", which {purpose} needs," if purpose else ""
    known = next((one for one in PROGRAMS if one.name == program), None)
    hint = f"apt install {known.debian}, or dnf install {known.fedora}" if known else ""
    raise HostError(f"{program}{needing} is not installed", hint=hint)
