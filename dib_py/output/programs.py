"""Programs that write images: missed before a build starts, with the package that brings them."""

from __future__ import annotations

import shutil

from dib_py.errors import HostError

# by program: the package of Debian and Ubuntu, and that of Fedora and its kin
PACKAGES = {
    "gzip": ("gzip", "gzip"),
    "qemu-img": ("qemu-utils", "qemu-img"),
    "qemu-nbd": ("qemu-utils", "qemu-img"),
    "tar": ("tar", "tar"),
    "tar2sqfs": ("squashfs-tools-ng", "squashfs-tools-ng"),
    "zstd": ("zstd", "zstd"),
}


def require(program: str, purpose: str = "") -> None:
    """Raise HostError unless ``program`` is on PATH; ``purpose`` is the format that needs it."""
    if shutil.which(program) is not None:
        return
    needing = f", which {purpose} needs," if purpose else ""
    if program not in PACKAGES:
        raise HostError(f"{program}{needing} is not installed")
    debian, fedora = PACKAGES[program]
    raise HostError(f"{program}{needing} is not installed", hint=f"apt install {debian}, or dnf install {fedora}")
