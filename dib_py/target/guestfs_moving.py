"""The content of a base image copied to the filesystems of a new layout, both in the appliance.

The base image is the appliance's second disk. libguestfs is asked what is on it, and everything else is done by the
appliance's own programs: libguestfs knows one tree only.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import replace

from dib_py.disk import moving
from dib_py.disk.layout import Layout
from dib_py.errors import DiskError
from dib_py.target import Mount
from dib_py.target.guestfs_appliance import Appliance, real_name
from dib_py.target.guestfs_layout import Devices
from dib_py.target.guestfs_runner import Runner

_OLD, _NEW = "/run/dib/old", "/run/dib/new"
_COPY_TIMEOUT = 3600.0  # seconds for one filesystem; without KVM some MB go in a second

# $1 device, $2 directory, $3 type, $4 options
_MOUNT = 'mkdir -p "$2"; mount -t "$3" -o "$4" "$1" "$2"'

# Volume groups of the new layout that the base image has too: theirs get another name. Prints the old and the new one,
# among what LVM may say.
_RENAME = r"""
for name; do
    if lvm vgs "$name" >/dev/null 2>&1; then
        lvm vgrename "$name" "$name-of-base" >/dev/null
        echo "renamed $name $name-of-base"
    fi
done
"""

# Ends what the base image's disk is used for, and takes it away: its labels and volumes are not the image's any more.
_LET_GO = r"""
umount -R /run/dib/new /run/dib/old
lvm vgs --noheadings -o vg_name,pv_name | while read -r group device; do
    case $device in "$1"*) lvm vgchange -an "$group" </dev/null >/dev/null ;; esac
done
echo 1 >"/sys/block/${1##*/}/device/delete"
udevadm settle
"""

_BOTH = "set -o pipefail; {} | {}"


def free_names(runner: Runner, layout: Layout, mounts: Sequence[Mount]) -> list[Mount]:
    """Rename what the base image has under the names of the layout's volume groups; the mounts as they are then."""
    printed = runner.check(_RENAME, *(group.name for group in layout.groups))
    words = (line.split() for line in printed.splitlines() if line.startswith("renamed "))
    renamed = {old: new for _, old, new in words}
    return [replace(mount, device=_renamed(mount.device, renamed)) for mount in mounts]


def copy(appliance: Appliance, source: str, layout: Layout, mounts: Sequence[Mount]) -> None:
    """Copy the tree that ``mounts`` make up, of the disk ``source``, to the layout's filesystems, and let go of it."""
    runner = appliance.engine_runner
    for mount in mounts:
        device, subvolume = real_name(mount.device, source)
        options = moving.mount_options(mount.fstype, ",".join(filter(None, (mount.options, subvolume))))
        runner.check(_MOUNT, device, f"{_OLD}{mount.path}", mount.fstype, options)
    devices = Devices(layout, appliance.disk)
    new = {fs.mount_point: fs for fs in layout.mounted}
    for share in moving.shares(layout, [mount.path for mount in mounts]):
        filesystem = new[share.path]
        runner.check(_MOUNT, devices.real(filesystem.base), f"{_NEW}{share.path}", filesystem.type, "rw")
        _copy(runner, share, layout)
    runner.check(_LET_GO, source)


def _copy(runner: Runner, share: moving.Share, layout: Layout) -> None:
    place = runner.check('readlink -e "/run/dib/old$1" || :', share.path).strip()
    if not place:
        return
    if place != f"{_OLD}{share.path}".rstrip("/"):
        raise DiskError(
            f"the filesystem {share.name} is for {share.path}, which is a symbolic link in the base image",
            where=layout.source,
        )
    needed = int(runner.check(shlex.join(share.measure(_OLD))).split()[0])
    room = runner.check('stat -f -c "%S %f" "$1"', f"{_NEW}{share.path}").split()
    share.check_room(needed, int(room[0]) * int(room[1]), layout)
    both = _BOTH.format(shlex.join(share.pack(_OLD)), shlex.join(share.unpack(_NEW)))
    runner.check(both, timeout=_COPY_TIMEOUT)


def _renamed(device: str, names: dict[str, str]) -> str:
    group, _, volume = device.removeprefix("/dev/").partition("/")
    return f"/dev/{names[group]}/{volume}" if device.startswith("/dev/") and group in names else device
