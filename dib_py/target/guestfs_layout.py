"""Laying a disk out in the appliance: partitions, volumes and filesystems, and their growth.

The appliance sees the disk's whole capacity; tables and filesystems are made for its size.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass

from dib_py.disk.layout import Filesystem, Layout
from dib_py.disk.partitions import sfdisk_script
from dib_py.errors import DiskError, TargetError
from dib_py.target.guestfs_runner import Runner
from dib_py.target.host_growth import FLEXIBLE_TABLES
from dib_py.target.mkfs import mkfs_argv

_MODULES = {"xfs": "xfs", "btrfs": "btrfs", "vfat": "vfat", "fat": "vfat", "msdos": "vfat"}
_PACKAGES = {"xfs": "libguestfs-xfs"}

# the appliance has no thin_check, and a pool that is new needs none
_NEW_POOLS = ("--config", 'global/thin_check_executable=""')

# Whoever watches the disk opens it when its writer has closed it, and the kernel reads no table of a disk that is open.
READ_TABLE = r"""
read_table() { # disk
    local left
    for ((left = 40; ; left--)); do
        udevadm settle 2>/dev/null || :
        blockdev --rereadpt "$1" 2>/tmp/rereadpt && return
        if [[ $left = 0 ]]; then
            cat /tmp/rereadpt >&2
            return 1
        fi
        sleep 0.25
    done
}
"""
_PARTITION = rf"""
{READ_TABLE}
sfdisk --quiet --wipe always --wipe-partitions always --no-reread "$1"
read_table "$1"
"""
_NODES = 'udevadm settle 2>/dev/null; for n in "$@"; do i=0; until [ -b "$n" ]; do ((++i < 100)); sleep 0.1; done; done'

# $1 disk, $2 its size in bytes: what lies last on it
_FIND_LAST = r"""
disk=$1 size=$2
fs_device=$disk room=$size
sector=$(blockdev --getss "$disk")
table=$(blkid -p -s PTTYPE -o value "$disk" || :)
last='' last_start=0 extended=''
if [ -n "$table" ]; then
    while IFS= read -r line; do
        case $line in "$disk"[0-9]*) ;; *) continue ;; esac
        node=${line%% *}
        [[ $line =~ start=\ *([0-9]+) ]]
        start=${BASH_REMATCH[1]}
        if [[ $line =~ type=(5|f|85)(,|$) ]]; then
            extended=${node#"$disk"} extended_start=$start
        elif ((start > last_start)); then
            last=${node#"$disk"} last_start=$start
        fi
    done < <(sfdisk --dump "$disk")
    [ -n "$last" ]
    [ "$last" -ge 5 ] || extended=''
    fs_device=$disk$last room=$((size - 1048576 - last_start * sector))
fi
end_partition() { # number, first sector
    echo "$2, $(((size - 1048576) / sector - $2))" | sfdisk --quiet --force --no-reread --no-tell-kernel -N "$1" "$disk"
    partx --update --nr "$1" "$disk"
}
"""

# What the last partition is, and everything that lies on it, made as large as can be
_GROW = r"""
if [ -n "$table" ]; then
    [ "$table" != gpt ] || sgdisk -e "$disk" >/dev/null
    [ -z "$extended" ] || end_partition "$extended" "$extended_start"
    end_partition "$last" "$last_start"
fi
type=$(blkid -p -s TYPE -o value "$fs_device" || :)
if [ "$type" = LVM2_member ]; then
    lvm pvresize "$fs_device" >/dev/null
    fs_device=$(findmnt -n -o SOURCE /sysroot || :)
    [ -n "$fs_device" ] || { echo "the root volume is not mounted"; exit 1; }
    lvm lvextend -l +100%FREE "$fs_device" >/dev/null 2>&1 || :
    type=$(blkid -p -s TYPE -o value "$fs_device")
fi
mounted=$(findmnt -n -o TARGET --first-only --source "$fs_device" || :)
case $type in
ext2 | ext3 | ext4)
    [ -n "$mounted" ] || e2fsck -fp "$fs_device" >/dev/null || [ $? -le 2 ]
    if [ "$fs_device" = "$disk" ]; then resize2fs "$fs_device" "$((size / 1024))K"; else resize2fs "$fs_device"; fi
    ;;
xfs | btrfs)
    if [ -z "$mounted" ]; then
        mounted=/run/dib/growing
        mkdir -p "$mounted"
        mount "$fs_device" "$mounted"
        trap 'umount "$mounted"' EXIT
    fi
    if [ "$type" = btrfs ]; then
        to=max
        [ "$fs_device" != "$disk" ] || to=$size
        btrfs filesystem resize "$to" "$mounted"
    else
        to=()
        [ "$fs_device" != "$disk" ] || to=(-D "$((size / $(stat -f -c %S "$mounted")))")
        xfs_growfs "${to[@]}" "$mounted"
    fi
    ;;
ntfs)
    [ -z "$mounted" ] || { echo "an NTFS volume can't grow while it is mounted"; exit 1; }
    ntfsresize --force --force --no-progress-bar "$fs_device" >/dev/null
    ;;
*)
    echo "the last filesystem is of type ${type:-unknown}, which can't grow"
    exit 1
    ;;
esac
"""


# The same, cut; $3 bytes more in a first step: the inode tables of groups that go lie in the first ones (flex_bg), and
# give their room only to the next resize. -f, since what resize2fs calls the minimum is only an estimate.
_SHRINK = r"""
type=$(blkid -p -s TYPE -o value "$fs_device" || :)
case $type in
ext2 | ext3 | ext4) ;;
*)
    echo "a filesystem of type ${type:-unknown} can't shrink"
    exit 1
    ;;
esac
e2fsck -f -p "$fs_device" || [ $? -le 2 ]
blocks=0 block=0
while IFS=: read -r name value; do
    case $name in "Block count") blocks=$((value)) ;; "Block size") block=$((value)) ;; esac
done < <(tune2fs -l "$fs_device")
for step in $((room + $3)) "$room"; do
    if ((step < blocks * block)); then resize2fs -f "$fs_device" "$((step / 1024))K"; fi
done
if [ -n "$table" ]; then
    end_partition "$last" "$last_start"
    [ -z "$extended" ] || end_partition "$extended" "$extended_start"
fi
"""


@dataclass(frozen=True)
class Devices:
    """The names of a layout's parts: ``real`` is the appliance's own, ``called`` what libguestfs's calls take."""

    layout: Layout
    disk: str

    def real(self, name: str) -> str:
        return self._device(name, self.disk)

    def called(self, name: str) -> str:
        return self._device(name, "/dev/sda")

    def names(self) -> list[str]:
        """The disk, its partitions and its logical volumes."""
        partitions = self.layout.table.partitions if self.layout.table else ()
        return [self.layout.name, *(one.name for one in partitions), *(one.name for one in self.layout.volumes)]

    def _device(self, name: str, disk: str) -> str:
        if name == self.layout.name:
            return disk
        for partition in self.layout.table.partitions if self.layout.table else ():
            if partition.name == name:
                return f"{disk}{partition.number}"
        for volume in self.layout.volumes:
            if volume.name == name:
                return f"/dev/{volume.group}/{volume.name}"
        raise DiskError(f"the layout has nothing called {name}", where=self.layout.source)


def create(runner: Runner, layout: Layout, disk: str, size: int) -> None:
    """Partition the blank ``disk`` for ``size`` bytes and make the layout's volumes and filesystems."""
    devices = Devices(layout, disk)
    for filesystem in layout.filesystems:
        _check_type(runner, filesystem)
    if layout.table is not None:
        _partition(runner, layout, devices, size)
    for command in _lvm(layout, devices):
        runner.check(shlex.join(["lvm", *command]))
    for filesystem in layout.filesystems:
        whole = filesystem.base == layout.name
        argv = mkfs_argv(filesystem, devices.real(filesystem.base), size if whole else None)
        runner.check(shlex.join(argv))
    runner.check("udevadm settle")


def grow(runner: Runner, disk: str, size: int) -> None:
    """Make the last partition (or volume group) and its filesystem fill ``size`` bytes of the disk, mounted or not."""
    try:
        runner.check(_FIND_LAST + _GROW, disk, str(size))
    except TargetError as error:
        reason = error.message.rpartition("\n")[2]
        raise DiskError(f"the last partition and its filesystem can't be enlarged: {reason}") from error


def shrink(runner: Runner, disk: str, size: int) -> None:
    """Cut the last filesystem, which is not mounted, and the partition table to ``size`` bytes of the disk."""
    try:
        runner.check(_FIND_LAST + _SHRINK, disk, str(size), str(FLEXIBLE_TABLES), timeout=None)
    except TargetError as error:
        reason = error.message.rpartition("\n")[2]
        raise DiskError(f"the last partition and its filesystem can't be cut: {reason}") from error


def _partition(runner: Runner, layout: Layout, devices: Devices, size: int) -> None:
    assert layout.table is not None
    script = sfdisk_script(layout, size)
    runner.check(_PARTITION, devices.disk, input=script.encode())
    runner.check(_NODES, *(devices.real(one.name) for one in layout.table.partitions))


def _lvm(layout: Layout, devices: Devices) -> list[list[str]]:
    """Arguments for lvm, in order."""
    commands = [["pvcreate", "-y", *one.options, devices.real(one.base)] for one in layout.physical_volumes]
    for group in layout.groups:
        members = [devices.real(name) for name in group.devices]
        commands.append(["vgcreate", "-y", *group.options, group.name, *members])
    for volume in layout.volumes:
        room = (
            ["-l", volume.extents] if volume.extents else ["-V" if volume.type == "thin" else "-L", f"{volume.size}b"]
        )
        kind = ["--type", volume.type] if volume.type else []
        pool = ["--thinpool", volume.thin_pool] if volume.thin_pool else []
        name = ["-n", volume.name, volume.group]
        wipe = ["-Wy"] if volume.type != "thin-pool" else []  # it has no content of its own
        thin = list(_NEW_POOLS) if volume.type else []
        commands.append(["lvcreate", "-y", *wipe, *thin, *volume.options, *kind, *pool, *room, *name])
    return commands


def _check_type(runner: Runner, filesystem: Filesystem) -> None:
    """DiskError where the appliance can't make or mount a filesystem of this type."""
    program = "mkswap" if filesystem.type == "swap" else f"mkfs.{filesystem.type}"
    if filesystem.type in ("fat", "msdos"):
        program = "mkfs.vfat"
    module = _MODULES.get(filesystem.type, "")
    missing = runner.check(
        'command -v "$1" >/dev/null || echo "$1"; [ -z "$2" ] || modprobe "$2" || echo "the kernel module $2"',
        program,
        module,
    ).strip()
    if missing:
        package = _PACKAGES.get(filesystem.type)
        raise DiskError(
            f"the libguestfs appliance can't make the {filesystem.type} filesystem {filesystem.name}: "
            f"it lacks {missing.splitlines()[-1]}",
            hint=f"install {package} on this machine" if package else "",
        )
