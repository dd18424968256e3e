"""Filesystems that an older guest can mount, check and enlarge, made by this machine's newer programs.

What mkfs turns on by default is what this machine's kernel knows. A base image brings a kernel, a GRUB and an e2fsck of
its own, which refuse a filesystem with a feature that they have not heard of.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from dib_py import process
from dib_py.disk.layout import Filesystem, Layout
from dib_py.errors import HostError

_EL = ("centos", "rhel", "ol", "scientific", "rocky", "almalinux", "virtuozzo", "cloudlinux")
# features by how old the guest is: those of the last ones are new to all that is in use
_EXT4 = {"el7": ("metadata_csum", "64bit"), "any": ("orphan_file", "metadata_csum_seed")}
# option of mkfs.xfs, feature, and the first version of xfsprogs that has it
_XFS = {
    "el7": (("-m", "reflink", (4, 9)), ("-m", "rmapbt", (4, 8)), ("-i", "sparse", (4, 2))),
    "el8": (("-m", "bigtime", (5, 10)), ("-m", "inobtcount", (5, 10))),
    "any": (("-i", "nrext64", (5, 19)), ("-i", "exchange", (6, 10)), ("-n", "parent", (6, 10))),
}
_MKE2FS_CONF = Path("/etc/mke2fs.conf")


def for_guest(layout: Layout, distro: str, version: str) -> Layout:
    """The layout with options for mkfs that leave out what this guest (ID and VERSION_ID of os-release) may not know.

    The user's own options win over these.
    """
    ages = ("any", *_ages(distro, version))
    return replace(layout, filesystems=tuple(_older(filesystem, ages) for filesystem in layout.filesystems))


def _ages(distro: str, version: str) -> tuple[str, ...]:
    """Of "el7" and "el8" those that tell what the guest does not know yet."""
    major = int(match[0]) if (match := re.match(r"\d+", version)) else 0
    if distro in _EL and 0 < major <= 7:
        return "el7", "el8"
    old = {"debian": 10, "ubuntu": 20, "opensuse-leap": 15, "sles": 15, "amzn": 2, **dict.fromkeys(_EL, 8)}
    return ("el8",) if 0 < major <= old.get(distro, 0) else ()


def _older(filesystem: Filesystem, ages: Iterable[str]) -> Filesystem:
    options: tuple[str, ...] = ()
    if filesystem.type == "ext4" and "-O" not in filesystem.options:
        on = _ext4_defaults()
        features = [name for age in ages for name in _EXT4.get(age, ()) if name in on]
        options = ("-O", ",".join(f"^{name}" for name in features)) if features else ()
    if filesystem.type == "xfs":
        given = set(re.findall(r"\w+", " ".join(filesystem.options)))
        have = _xfsprogs()
        options = tuple(
            word
            for age in ages
            for option, name, since in _XFS[age]
            if have >= since and name not in given
            for word in (option, f"{name}=0")
        )
    return replace(filesystem, options=(*options, *filesystem.options))


def _ext4_defaults() -> set[str]:
    """The features that mke2fs may turn on by itself."""
    try:
        return set(re.findall(r"\w+", _MKE2FS_CONF.read_text()))
    except OSError:
        return set()


def _xfsprogs() -> tuple[int, ...]:
    """The version of mkfs.xfs; () where there is none, and so none in the appliance."""
    try:
        printed = process.run(["mkfs.xfs", "-V"], timeout=30)
    except HostError:
        return ()
    return tuple(int(number) for number in re.findall(r"\d+", printed)[:2])
