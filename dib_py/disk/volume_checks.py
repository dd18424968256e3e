"""What can be wrong with logical volumes: thin ones without their pool, and those that do not fit their group."""

from __future__ import annotations

import re
from collections.abc import Mapping

from dib_py.disk import partitions
from dib_py.disk.block_device_tree import Entry, Findings
from dib_py.disk.layout import Layout, LogicalVolume, VolumeGroup
from dib_py.disk.size import shown
from dib_py.errors import nearest
from dib_py.units import KIB, MIB

EXTENT = 4 * MIB  # LVM's default, to which volumes' sizes are cut
_OWN_ROOM = MIB  # what LVM has for itself at the start of a physical volume
_CHUNK = KIB  # bytes of a pool that a byte of its metadata is for: 64 bytes for a chunk of 64 KiB
_SHARE = re.compile(r"(\d+(?:\.\d+)?)(?:%(VG|PVS|FREE))?")
# with these the numbers above are others, so nothing is said
_OTHER_GROUPS = ("-s", "--physicalextentsize")
_OTHER_DEVICES = ("--metadatasize", "--dataalignment", "--dataalignmentoffset", "--setphysicalvolumesize")


def volumes(layout: Layout, entries: Mapping[str, Entry], findings: Findings) -> None:
    """Thin volumes have a pool that is made before them, pools carry no filesystem, and all fit where that is known."""
    made: dict[str, LogicalVolume] = {}
    for volume in layout.volumes:
        _check_kind(volume, made, layout, entries, findings)
        made[volume.name] = volume
    pools = {one.name for one in layout.volumes if one.type == "thin-pool"}
    for fs in layout.filesystems:
        if fs.base in pools:
            what = f"mkfs {fs.name} can't lie on {fs.base}, which is a thin pool"
            findings.error(entries[fs.name].line_of("base"), what, "make a lv of type thin in the pool for it")
    if layout.size is not None and not findings.errors:
        lengths = {one.name: one.length for one in partitions.place(layout, layout.size)}
        for group in layout.groups:
            _check_room(group, layout, lengths, entries, findings)


def _check_kind(
    volume: LogicalVolume,
    made: Mapping[str, LogicalVolume],
    layout: Layout,
    entries: Mapping[str, Entry],
    findings: Findings,
) -> None:
    entry = entries[volume.name]
    if volume.thin_pool is None:
        return  # a thin one without was found already
    line = entry.line_of("thin-pool")
    if volume.type != "thin":
        findings.error(line, f"lv {volume.name} has a thin-pool, but is not thin", "add type: thin")
        return
    if volume.size is None and volume.extents is not None:
        what = f"the thin lv {volume.name} has extents, which it takes only as it fills"
        findings.error(entry.line_of("extents"), what, "give its size instead, which may be larger than the pool")
    pool = made.get(volume.thin_pool)
    if pool is not None and pool.type == "thin-pool" and pool.group == volume.group:
        return
    what = f"the pool {volume.thin_pool} of the thin lv {volume.name}"
    if volume.thin_pool not in (one.name for one in layout.volumes):
        close = nearest(volume.thin_pool, [one.name for one in layout.volumes if one.type == "thin-pool"], 1)
        hint = f"did you mean {close[0]}?" if close else "add a lv of type thin-pool before it"
        findings.error(line, f"{what} is not there", hint)
    elif pool is None:
        findings.error(line, f"{what} comes after it", "volumes are made in the order of the file")
    elif pool.type != "thin-pool":
        findings.error(line, f"{what} is none: it has not the type thin-pool")
    else:
        findings.error(line, f"{what} is in another volume group, {pool.group}")


def _check_room(
    group: VolumeGroup, layout: Layout, lengths: Mapping[str, int], entries: Mapping[str, Entry], findings: Findings
) -> None:
    """In the order in which they are made, as lvcreate counts."""
    options = [option for pv in layout.physical_volumes if pv.base in group.devices for option in pv.options]
    if any(option.startswith(_OTHER_GROUPS) for option in group.options):
        return
    if any(option.startswith(_OTHER_DEVICES) for option in options):
        return
    total = sum(max(0, lengths.get(name, layout.size or 0) - _OWN_ROOM) // EXTENT for name in group.devices)
    free, spare = total, 0
    for volume in layout.volumes:
        if volume.group != group.name or volume.type == "thin":
            continue
        entry = entries[volume.name]
        if any(
            option.startswith(("-m", "-i", "--mirrors", "--stripes", "--type", "--raid")) for option in volume.options
        ):
            return
        wanted = _extents(volume, total, free)
        if wanted is None:
            return
        if wanted > free:
            what = f"lv {volume.name} needs {shown(wanted * EXTENT)}, and the volume group {group.name} has"
            line = entry.line_of("size" if volume.size is not None else "extents")
            findings.error(
                line, f"{what} {shown(free * EXTENT)} left for it", "ask for a larger disk or a smaller volume"
            )
            return
        free -= wanted
        if volume.type == "thin-pool":
            metadata = max(1, -(-wanted // _CHUNK))
            free, spare = max(0, free - metadata - max(0, metadata - spare)), max(spare, metadata)


def _extents(volume: LogicalVolume, total: int, free: int) -> int | None:
    """How many extents a volume takes; None where that can't be foreseen."""
    if volume.size is not None:
        return volume.size // EXTENT
    match = _SHARE.fullmatch(volume.extents or "")
    if match is None:
        return None
    if match[2] is None:
        return int(float(match[1]))
    return int((free if match[2] == "FREE" else total) * float(match[1]) / 100)
