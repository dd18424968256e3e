"""qcow2: compressed with zstd unless something asks otherwise."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from dib_py.disk.chain import Chain
from dib_py.errors import UsageError
from dib_py.events import Events
from dib_py.output import qemu_options
from dib_py.output.convert import ANY_ORDER, convert, require_qemu_img
from dib_py.settings import Settings

# versions of the format that know no other compression than zlib
_OLD = ("0.10", "v2")


class Qcow2:
    name = "qcow2"
    suffix = "qcow2"

    def check(self, settings: Settings) -> None:
        require_qemu_img()
        arguments = _arguments(settings)
        qemu_options.try_options("qcow2", [argument for argument in arguments if argument != "-c"], settings)

    def write(self, source: Chain, destination: Path, settings: Settings, events: Events) -> None:
        convert(source, destination, "qcow2", [*ANY_ORDER, *_arguments(settings)], events)


def _arguments(settings: Settings) -> list[str]:
    """The arguments of qemu-img convert that make the compression and the options that were asked for."""
    options = qemu_options.options_for(settings, "qcow2")
    compression = _compression(settings, options)
    if compression == "none":
        return qemu_options.arguments(options)
    if options.get("preallocation", "off") != "off":
        raise UsageError("--qemu-img-options: preallocation and compression exclude each other", hint="add -u")
    if compression == "zstd":
        options = {**options, "compression_type": "zstd"}
    return ["-c", *qemu_options.arguments(options)]


def _compression(settings: Settings, options: Mapping[str, str]) -> str:
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
