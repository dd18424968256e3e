"""``qemu-img convert``: from the disk of a build to one self-contained file."""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from pathlib import Path

from dib_py.disk.chain import Chain
from dib_py.errors import HostError, OutputError
from dib_py.events import Events, Progress
from dib_py.process import CommandFailed, follow

# 8 requests in flight, written as they are ready: compression then uses all processors
PARALLEL = ("-m", "8", "-W")
_PERCENT = re.compile(rb"\((\d+)(?:\.\d+)?/100%\)")


def require_qemu_img() -> None:
    """Raise HostError unless qemu-img is on PATH."""
    if shutil.which("qemu-img") is None:
        raise HostError("qemu-img is not installed", hint="apt install qemu-utils, or dnf install qemu-img")


def convert(source: Chain, destination: Path, format: str, arguments: Sequence[str], events: Events) -> None:
    """Write the disk ``source`` as ``format``, telling its progress; OutputError with what qemu-img said."""
    argv = ["qemu-img", "convert", "-p", *PARALLEL, "-O", format, *arguments]
    told = -1

    def progress(chunk: bytes) -> None:
        nonlocal told
        if (seen := _PERCENT.findall(chunk)) and (percent := int(seen[-1])) > told:
            told = percent
            events.emit(Progress(f"write {format}", percent, 100, "percent"))

    try:
        follow([*argv, source.name, str(destination)], progress)
    except CommandFailed as error:
        why = error.output.strip().splitlines()[-1:] or [str(error)]
        said = why[0].replace(source.name, str(source.top))
        hint = "free space on the output's filesystem" if "No space left" in error.output else ""
        raise OutputError(f"the {format} image can't be written: {said}", hint=hint) from error
