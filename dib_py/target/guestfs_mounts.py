"""What the guest's tree in the appliance has mounted below it while its programs run, besides the image's filesystems.

The scripts start as few programs as they can: see guestfs-runner.sh.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Sequence
from pathlib import Path

from dib_py.target import guestfs_caches
from dib_py.target.guestfs_runner import Runner

_POINTS = r"""
points() { # fills "points" with what is mounted, in that order
    local place
    points=()
    while IFS=' ' read -r _ _ _ _ place _; do
        printf -v place %b "$place"
        points+=("$place")
    done </proc/self/mountinfo
}
"""
# $1: where /tmp of the guest really is. proc is private, so that a program's own one over it is seen by that only;
# the guest's root is shared, so that what a program mounts there stays for the next one.
_MOUNT = r"""
directory() { [ -d "$1" ] || mkdir "$1"; }
cd /sysroot
mount --make-shared /sysroot
directory dev
directory proc
directory sys
mount --bind /dev dev
directory dev/pts
mount -t devpts -o newinstance,gid=5,mode=620,ptmxmode=666 devpts dev/pts
mount -t proc -o nosuid,nodev,noexec --make-private proc proc
mount -t sysfs -o ro,nosuid,nodev,noexec sysfs sys
[ -d "/sysroot$1" ] || mkdir -m 1777 "/sysroot$1"
hooks=/sysroot$1/in_target.d
if [ -e "$hooks" ] || [ -L "$hooks" ]; then # a build that goes on inside finds one, and an image may hold a link
    rm -rf --one-file-system "$hooks"
fi
mkdir "$hooks"
mount -t tmpfs -o mode=755,nosuid,nodev tmpfs "$hooks"
tar -x --numeric-owner -C "$hooks"
mount -o remount,ro "$hooks"
"""
# In reverse, with what programs mounted over it, and as far as it came.
_UNMOUNT = (
    _POINTS
    + r"""
set -- "/sysroot$1/in_target.d" /sysroot/sys /sysroot/proc /sysroot/dev
left() { # fills "left" with those of these places where something is mounted
    local place point
    left=()
    points
    for place; do
        for point in "${points[@]}"; do
            if [ "$point" = "$place" ]; then
                left+=("$place")
                break
            fi
        done
    done
}
left "$@"
while ((${#left[@]})); do
    if ! umount -R "${left[@]}" 2>/dev/null; then # in use
        left "$@"
        umount -R -l "${left[@]}"
    fi
    left "$@"
done
rm -rf --one-file-system "$1"
"""
)


# Unmounts all below the guest's root but the image's own filesystems, which $3... are, the last mounted first. $2 says
# whether filesystems were made: their links by label and UUID are then. Prints the partitions of the disk $1.
_LEAVE_ONLY = (
    _POINTS
    + r"""
points
for ((n = ${#points[@]} - 1; n >= 0; n--)); do
    [[ ${points[n]} == /sysroot/* ]] || continue
    for own in "${@:3}"; do [[ $own != "${points[n]}" ]] || continue 2; done
    umount -l "${points[n]}"
done
if [ "$2" = made ]; then udevadm trigger --action=change --subsystem-match=block --settle; fi
for node in "$1"[0-9]*; do
    [ ! -b "$node" ] || echo "$node"
done
"""
)


def mount(runner: Runner, tmp: str, caches: Sequence[str], hooks: Path) -> None:
    """Mount what programs of the guest need, ``hooks`` read-only in its /tmp, which really is at ``tmp``, and the
    package caches that belong at the paths ``caches``."""
    script = _MOUNT + (guestfs_caches.MOUNT if caches else "")
    runner.check(script, tmp, *caches, input=_archive(hooks))


def unmount(runner: Runner, tmp: str, caches: Sequence[str]) -> str:
    """Unmount what :func:`mount` mounted, as far as it came; returns what the caches have to say of it."""
    return runner.check((guestfs_caches.UNMOUNT if caches else "") + _UNMOUNT, tmp, *caches)


def leave_only(runner: Runner, points: Sequence[str], disk: str, *, new: bool) -> list[str]:
    """Unmount all below the guest's root but the image's own filesystems, which are mounted at ``points``; returns the
    partitions of ``disk``. Where that is ``new``, links to its filesystems are made."""
    return runner.check(_LEAVE_ONLY, disk, "made" if new else "found", *points).split()


def _archive(directory: Path) -> bytes:
    """A tar archive of what is in ``directory``, owned by root."""
    memory = io.BytesIO()

    def owned_by_root(member: tarfile.TarInfo) -> tarfile.TarInfo:
        member.uid = member.gid = 0
        member.uname = member.gname = ""
        return member

    with tarfile.open(fileobj=memory, mode="w", format=tarfile.PAX_FORMAT) as archive:
        archive.add(directory, ".", filter=owned_by_root)
    return memory.getvalue()
