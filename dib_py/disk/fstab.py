"""The guest's /etc/fstab, in diskimage-builder's format: by label, in mounting order."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Collection

from dib_py.disk.layout import Filesystem, Layout

_ESCAPED = {" ": "\\040", "\t": "\\011", "\n": "\\012", "\\": "\\134"}
_SYMBOLS = re.compile(r"\\([0-7]{3})")
_DEVICE = re.compile(r"/dev/|(UUID|LABEL|PARTUUID|PARTLABEL)=")


def render(layout: Layout) -> str:
    """A line for each filesystem that asked for one; swap comes last."""
    swap = (fs for fs in layout.filesystems if fs.mount_point is None)
    return "".join(_line(fs) for fs in (*layout.mounted, *swap) if fs.fstab_options is not None)


def moved(text: str, layout: Layout, mount_points: Collection[str]) -> str:
    """A base image's fstab for its new ``layout``: other filesystems are where its own were at ``mount_points``.

    What else is mounted (tmpfs, the network, disks that are attached later) stays, as do comments.
    """
    gone = {*mount_points, *(fs.mount_point for fs in layout.mounted)}
    kept = [line for line in text.splitlines() if not _is_gone(line, gone)]
    return render(layout) + "".join(f"{line}\n" for line in kept)


def _is_gone(line: str, mount_points: Collection[str | None]) -> bool:
    fields = [_SYMBOLS.sub(lambda match: chr(int(match[1], 8)), field) for field in line.partition("#")[0].split()]
    if len(fields) < 3:
        return False
    device, path, fstype = fields[:3]
    if fstype == "swap":
        return bool(_DEVICE.match(device))  # a file with swap came with the tree
    return path.startswith("/") and posixpath.normpath(path) in mount_points


def _line(fs: Filesystem) -> str:
    device = f"LABEL={fs.label}" if fs.label else f"UUID={fs.uuid}"
    fields = (device, fs.mount_point or "none", fs.type, fs.fstab_options or "defaults")
    return " ".join((*map(_field, fields), str(fs.fstab_dump), str(fs.fstab_pass))) + "\n"


def _field(text: str) -> str:
    return "".join(_ESCAPED.get(character, character) for character in text)
