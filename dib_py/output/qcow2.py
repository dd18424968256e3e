"""qcow2: compressed with zstd unless something asks otherwise."""

from __future__ import annotations

import tempfile
from pathlib import Path

from dib_py.disk.chain import Chain
from dib_py.errors import UsageError
from dib_py.events import Events
from dib_py.output.convert import convert, require_qemu_img
from dib_py.process import CommandFailed, run
from dib_py.settings import Settings

# versions of the format that know no other compression than zlib
_OLD = ("0.10", "v2")
# options that would make the result need another file
_REFERENCES = ("backing_file", "backing_fmt", "data_file", "data_file_raw")


class Qcow2:
    name = "qcow2"
    suffix = "qcow2"

    def check(self, settings: Settings) -> None:
        require_qemu_img()
        arguments = _arguments(settings)
        _try_options([argument for argument in arguments if argument != "-c"])

    def write(self, source: Chain, destination: Path, settings: Settings, events: Events) -> None:
        convert(source, destination, "qcow2", _arguments(settings), events)


def _arguments(settings: Settings) -> list[str]:
    """The arguments of qemu-img convert that make the compression and the options that were asked for."""
    text = settings.qemu_img_options
    options = _options(text)
    for name in _REFERENCES:
        if name in options:
            raise UsageError(f"--qemu-img-options: {name} would make an image that needs another file")
    given = ["-o", text] if text else []
    compression = _compression(settings, options)
    if compression == "none":
        return given
    if options.get("preallocation", "off") != "off":
        raise UsageError("--qemu-img-options: preallocation and compression exclude each other", hint="add -u")
    if compression == "zstd" and "compression_type" not in options:
        given += ["-o", "compression_type=zstd"]
    return ["-c", *given]


def _compression(settings: Settings, options: dict[str, str]) -> str:
    """``zstd``, ``zlib`` or ``none``; UsageError where two options contradict each other."""
    asked, wanted = settings.compression, options.get("compression_type")
    if not settings.compress and asked not in ("", "none"):
        raise UsageError(f"-u and --compression {asked} contradict each other")
    if asked and wanted and asked != wanted:
        raise UsageError(
            f"--compression {asked} and compression_type={wanted} of --qemu-img-options contradict each other"
        )
    if not settings.compress or asked == "none":
        return "none"
    if options.get("compat") in _OLD:
        if "zstd" in (asked, wanted):
            raise UsageError(
                f"compat={options['compat']} of --qemu-img-options knows no zstd", hint="use --compression zlib"
            )
        return "zlib"
    return asked or wanted or "zstd"


def _options(text: str) -> dict[str, str]:
    """``k=v,k=v`` as qemu reads it: a doubled comma is a comma of the value, a bare name means ``on``."""
    pairs = (part.replace("\0", ",").partition("=") for part in text.replace(",,", "\0").split(",") if part)
    return {name: value if equals else "on" for name, equals, value in pairs}


def _try_options(arguments: list[str]) -> None:
    """Make an empty image with them, so that what qemu-img refuses is known before the build."""
    with tempfile.TemporaryDirectory(prefix="dib-py-") as directory:
        try:
            run(["qemu-img", "create", "-q", "-f", "qcow2", *arguments, f"{directory}/probe", "1M"])
        except CommandFailed as error:
            why = error.output.strip().splitlines()[-1:] or [str(error)]
            hint = "use --compression zlib" if "compression_type" in why[0] else ""
            raise UsageError(f"qemu-img refuses the options for qcow2: {why[0]}", hint=hint) from error
