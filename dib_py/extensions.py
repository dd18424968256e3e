"""Output formats, what their files are called, and targets; here because plans and completion load no drivers."""

from __future__ import annotations

from collections.abc import Collection

from dib_py.errors import UsageError, nearest

CHECKSUMS = ("md5", "sha256")  # kinds of checksum files, and their extensions behind the image's
VERDICTS = ("verdict.json", "verdict.html")  # of a verification, beside an image as checksum files are

TARGET_NAMESPACE = "dib_py.target"
TARGETS = ("auto", "guestfs", "host")

FORMATS = (
    *("docker", "oci", "qcow2", "raw", "squashfs", "tar", "tar.zst", "tgz"),
    *("vdi", "vhd", "vhd-fixed", "vhdx", "vmdk"),
)

# those that have the guest's files, and not the disk
OF_FILES = frozenset({"docker", "oci", "squashfs", "tar", "tar.zst", "tgz"})

# those that are not called like their format; drivers of third parties say their own
_OTHERS = {
    "docker": "docker.tar",
    "oci": "oci.tar",
    "squashfs": "squash",  # as in diskimage-builder
    "vhd-fixed": "vhd",
}


def extension(format: str) -> str:
    """The extension of an image of this format, without its first dot."""
    return _OTHERS.get(format, format)


def without_extension(name: str, format: str) -> str:
    """``name`` without the extension that may be given: the format's own, or the format itself as in DIB."""
    for suffix in (f".{extension(format)}", f".{format}"):
        if name.endswith(suffix):
            return name[: -len(suffix)]
    return name


def misleading(name: str, formats: Collection[str]) -> str:
    """The format whose extension ``name`` ends in although it is none of ``formats``; empty where there is none."""
    written = {extension(format) for format in formats}
    found = [one for one in FORMATS if extension(one) not in written and name.endswith(f".{extension(one)}")]
    return max(found, key=lambda one: len(extension(one)), default="")


def check_target(name: str, where: str = "") -> None:
    """Raise UsageError for a target that no entry point has; ``where`` is the option or variable that names it."""
    if name in TARGETS:
        return
    from importlib.metadata import entry_points  # costs a tenth of what a small command takes

    known = sorted({*TARGETS, *(found.name for found in entry_points(group=TARGET_NAMESPACE))})
    if name not in known:
        meant = nearest(name, known)
        hint = f"did you mean {' or '.join(meant)}? " if meant else ""
        raise UsageError(f"unknown target '{name}'", hint=f"{hint}there are {', '.join(known)}", where=where)
