"""``--qemu-img-options``: one text for every format that qemu-img writes, each of which takes what it knows.

With several formats an option goes to those that know it; one that none of them knows goes to all, and is refused
before the build, like all that qemu-img does not like.
"""

from __future__ import annotations

import functools
import re
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress

from dib_py.errors import DibError, UsageError
from dib_py.process import CommandFailed, run
from dib_py.settings import Settings
from dib_py.units import MIB

# what qemu-img calls our formats; raw is not among them: as in DIB, options are not for raw
QEMU_FORMATS = {
    "qcow2": "qcow2",
    "vdi": "vdi",
    "vhd": "vpc",
    "vhd-fixed": "vpc",
    "vhdx": "vhdx",
    "vmdk": "vmdk",
}
# options that would make the result need another file
_REFERENCES = ("backing_file", "backing_fmt", "data_file", "data_file_raw")
_NOT_OURS = {"size": "--image-size says how large a disk is"}


def options_for(settings: Settings, name: str) -> dict[str, str]:
    """The options that the format ``name`` is given, in their order; UsageError for one that may not be given."""
    given = parse(settings.qemu_img_options)
    others = {QEMU_FORMATS[other] for other in settings.image_types if other in QEMU_FORMATS} - {QEMU_FORMATS[name]}
    known = _known(QEMU_FORMATS[name]) if given and others else frozenset(given)
    taken = {
        option: value
        for option, value in given.items()
        if option in known or not any(option in _known(other) for other in others)
    }
    for option in _REFERENCES:
        if option in taken:
            raise UsageError(f"--qemu-img-options: {option} would make an image that needs another file")
    for option, instead in _NOT_OURS.items():
        if option in taken:
            raise UsageError(f"--qemu-img-options takes no {option}", hint=instead)
    return taken


def parse(text: str) -> dict[str, str]:
    """``k=v,k=v`` as qemu reads it: a doubled comma is a comma of the value, a bare name means ``on``."""
    pairs = (part.replace("\0", ",").partition("=") for part in text.replace(",,", "\0").split(",") if part)
    return {name: value if equals else "on" for name, equals, value in pairs}


def arguments(options: Mapping[str, str]) -> list[str]:
    """``options`` as arguments of qemu-img."""
    text = ",".join(f"{name}={value.replace(',', ',,')}" for name, value in options.items())
    return ["-o", text] if text else []


def try_options(name: str, given: Sequence[str], settings: Settings) -> None:
    """Make an empty image with these arguments, so that what qemu-img refuses is known before the build."""
    size = settings.image_size or 64 * MIB
    with tempfile.TemporaryDirectory(prefix="dib-py-") as directory:
        create = ["qemu-img", "create", "-q", "-f", QEMU_FORMATS[name], *given, f"{directory}/probe", str(size)]
        try:
            run(create)
        except CommandFailed as error:
            why = error.output.strip().splitlines()[-1:] or [str(error)]
            hint = "use --compression zlib" if "compression_type" in why[0] else ""
            said = why[0].replace(f"{directory}/probe", "the image")
            raise UsageError(f"qemu-img refuses the options for {name}: {said}", hint=hint) from error


@functools.cache
def _known(format: str) -> frozenset[str]:
    """The names of the options of qemu's ``format``; none where this qemu-img does not know it."""
    with suppress(DibError):
        listing = run(["qemu-img", "create", "-f", format, "-o", "help"])
        return frozenset(re.findall(r"^  ([a-z0-9_.-]+)=", listing, re.MULTILINE))
    return frozenset()
