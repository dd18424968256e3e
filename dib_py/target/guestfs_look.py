"""A look at a base image by the appliance's shell, in a tenth of the time that libguestfs's inspection takes.

It recognises what nearly every cloud image is: one Linux on plain partitions, or on none. For all else (LVM, btrfs
subvolumes, encryption, Windows, several systems) it has no answer, and libguestfs is to be asked.
"""

from __future__ import annotations

from dib_py.errors import TargetError
from dib_py.target import Inspection
from dib_py.target.base_system import PROGRAM_HEAD, Known, Root, architecture, release_fields, tags
from dib_py.target.guestfs_runner import Runner

_PLAIN = {"ext2", "ext3", "ext4", "xfs", "vfat", "swap"}
_ROOTS = {"ext2", "ext3", "ext4", "xfs"}
_FIELDS = 5
_TAGS = {"PART_ENTRY_NUMBER": "NUMBER", "PART_ENTRY_UUID": "PARTUUID", "PART_ENTRY_NAME": "PARTLABEL"}

# For each filesystem of the disk $1: its node, what blkid says, os-release, fstab and a program's first $2 bytes in
# hexadecimal, each ended by NUL. A path with a symbolic link in it is not read: here it may lead out of the image.
_LOOK = r"""
real() { # whether the file $1 of the image is there, with no link on the way
    local part place=/run/dib/look
    local -a parts
    IFS=/ read -r -a parts <<<"$1"
    for part in "${parts[@]}"; do
        place+=/$part
        [[ ! -L $place ]] || return 1
    done
    [[ -f $place ]]
}
first() { # the first of these files that is one
    local path
    for path; do
        if real "$path"; then
            found=/run/dib/look/$path
            return
        fi
    done
    found=/dev/null
}
mkdir -p /run/dib/look
for node in "$1" "$1"[0-9]*; do
    [[ -b $node ]] || continue
    values=$(blkid -p -o export "$node") || continue
    release='' fstab='' head=''
    case $values in
    *TYPE=ext[234]* | *TYPE=xfs*)
        type=${values#*$'\n'TYPE=}
        if mount -t "${type%%$'\n'*}" -o ro "$node" /run/dib/look 2>/dev/null; then
            first etc/os-release usr/lib/os-release
            release=$(<"$found")
            first etc/fstab
            fstab=$(<"$found")
            first usr/bin/bash bin/bash usr/bin/dash bin/dash usr/bin/busybox bin/busybox usr/bin/env
            head=$(od -An -v -tx1 -N "$2" "$found")
            umount /run/dib/look
        fi
        ;;
    esac
    printf '%s\0' "$node" "$values" "$release" "$fstab" "$head"
done
"""


def look(runner: Runner, disk: str, called: str) -> Inspection | None:
    """What is on ``disk``, which libguestfs calls ``called``; None where it takes libguestfs to tell."""
    fields = runner.check(_LOOK, disk, str(PROGRAM_HEAD), timeout=300).split("\0")[:-1]
    known: dict[str, dict[str, str]] = {}
    roots = []
    for place in range(0, len(fields), _FIELDS):
        node, values, release, fstab, head = fields[place : place + _FIELDS]
        device = called + node[len(disk) :]
        known[device] = _tagged(values)
        if known[device].get("TYPE") in _ROOTS and release:
            roots.append(_root(device, known[device], release, fstab, head))
    return _inspection(roots, known)


def _tagged(printed: str) -> dict[str, str]:
    return {_TAGS.get(name, name): value for name, value in tags(printed).items()}


def _root(device: str, values: dict[str, str], release: str, fstab: str, head: str) -> Root:
    arch = architecture(bytes.fromhex(head))
    return Root(device, values["TYPE"], "", release_fields(release), arch, fstab, values.get("LABEL", ""))


def _inspection(roots: list[Root], known: Known) -> Inspection | None:
    if len(roots) != 1 or not roots[0].arch or not roots[0].fstab:
        return None
    if any(values.get("TYPE", "vfat") not in _PLAIN for values in known.values()):
        return None
    try:
        return roots[0].inspection(known)
    except TargetError:  # of what fstab mounts, something is not there
        return None
