"""The content of a base image copied to the filesystems of a new layout, both mounted on this machine."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from dib_py import process
from dib_py.disk import moving
from dib_py.disk.layout import Layout
from dib_py.errors import DiskError
from dib_py.target import Mount
from dib_py.target.guest_tree import GuestTree
from dib_py.target.host_devices import Devices
from dib_py.target.host_mounts import unmount_below


@contextmanager
def mounted(devices: Devices, mounts: Sequence[Mount], root: Path) -> Iterator[GuestTree]:
    """The base image's filesystems, for reading, at ``root`` while it is open."""
    root.mkdir(exist_ok=True)
    tree = GuestTree(root)
    try:
        for mount in mounts:
            point = root if mount.path == "/" else tree.resolved(mount.path)
            options = moving.mount_options(mount.fstype, mount.options)
            process.run(["mount", "-t", mount.fstype, "-o", options, devices.path(mount.device), point], timeout=300)
        yield tree
    finally:
        unmount_below(root)


def copy(share: moving.Share, source: GuestTree, new: GuestTree, layout: Layout) -> None:
    """Copy what one filesystem gets, which is mounted in the ``new`` tree; DiskError where it has too little room."""
    if not source.exists(share.path):
        return
    if source.resolved(share.path) != source.root / share.path.lstrip("/"):
        raise DiskError(
            f"the filesystem {share.name} is for {share.path}, which is a symbolic link in the base image",
            where=layout.source,
        )
    needed = int(process.run(share.measure(str(source.root)), timeout=600).split()[0])
    room = os.statvfs(new.resolved(share.path))
    share.check_room(needed, room.f_bfree * room.f_frsize, layout)
    with process.reading(share.pack(str(source.root))) as archive:
        process.run(share.unpack(str(new.root), f"/proc/{os.getpid()}/fd/{archive.fileno()}"))
