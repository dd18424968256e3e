"""The guest's /etc/fstab, in diskimage-builder's format: by label, in mounting order."""

from __future__ import annotations

from dib_py.disk.layout import Filesystem, Layout

_ESCAPED = {" ": "\\040", "\t": "\\011", "\n": "\\012", "\\": "\\134"}


def render(layout: Layout) -> str:
    """A line for each filesystem that asked for one; swap comes last."""
    swap = (fs for fs in layout.filesystems if fs.mount_point is None)
    return "".join(_line(fs) for fs in (*layout.mounted, *swap) if fs.fstab_options is not None)


def _line(fs: Filesystem) -> str:
    device = f"LABEL={fs.label}" if fs.label else f"UUID={fs.uuid}"
    fields = (device, fs.mount_point or "none", fs.type, fs.fstab_options or "defaults")
    return " ".join((*map(_field, fields), str(fs.fstab_dump), str(fs.fstab_pass))) + "\n"


def _field(text: str) -> str:
    return "".join(_ESCAPED.get(character, character) for character in text)
