"""``qemu-img convert``: from the disk of a build to one self-contained file."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

from dib_py.disk.chain import Chain
from dib_py.errors import OutputError
from dib_py.events import Events, Progress
from dib_py.host_programs import require
from dib_py.process import CommandFailed, follow, run

# 8 requests in flight
PARALLEL = ("-m", "8")
# written as they are ready: compression then uses all processors
ANY_ORDER = ("-W",)
_PERCENT = re.compile(rb"\((\d+)(?:\.\d+)?/100%\)")


def require_qemu_img() -> None:
    """Raise HostError unless qemu-img is on PATH."""
    require("qemu-img")


def convert(
    source: Chain, destination: Path, format: str, arguments: Sequence[str], events: Events, *, name: str = ""
) -> None:
    """Write the disk ``source`` in qemu's ``format``, telling its progress; OutputError with what qemu-img said.

    ``name`` is what the format is called to the user, where that is not qemu's name.
    """
    argv = ["qemu-img", "convert", "-p", *PARALLEL, "-O", format, *arguments]
    name = name or format
    told = -1

    def progress(chunk: bytes) -> None:
        nonlocal told
        if (seen := _PERCENT.findall(chunk)) and (percent := int(seen[-1])) > told:
            told = percent
            events.emit(Progress(f"write {name}", percent, 100, "percent"))

    try:
        follow([*argv, source.name, str(destination.absolute())], progress)  # a:b alone is an address to qemu
    except CommandFailed as error:
        raise unwritable(name, error, source) from error


def create(destination: Path, format: str, arguments: Sequence[str], size: int, *, name: str) -> None:
    """Make an empty image of ``size`` bytes, for a :func:`convert` with ``-n``; OutputError where it can't be."""
    try:
        run(["qemu-img", "create", "-q", "-f", format, *arguments, destination.absolute(), str(size)])
    except CommandFailed as error:
        raise unwritable(name, error) from error


def virtual_size(source: Chain) -> int:
    """How large the disk is for the guest, in bytes."""
    return int(json.loads(run(["qemu-img", "info", "--output=json", source.name]))["virtual-size"])


def unwritable(name: str, error: CommandFailed, source: Chain | None = None) -> OutputError:
    """What to tell of a program that could not write an image."""
    why = error.output.strip().splitlines()[-1:] or [str(error)]
    said = why[0] if source is None else why[0].replace(source.name, str(source.top))
    hint = "free space on the output's filesystem" if "No space left" in error.output else ""
    return OutputError(f"the {name} image can't be written: {said}", hint=hint)
