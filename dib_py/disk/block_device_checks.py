"""What can be wrong with a block-device file although its grammar is right; each check adds its findings."""

from __future__ import annotations

import posixpath
import re
import uuid
from collections.abc import Mapping
from dataclasses import replace

from dib_py.disk import partitions
from dib_py.disk.block_device_tree import Entry, Findings
from dib_py.disk.layout import Layout
from dib_py.disk.size import shown
from dib_py.errors import DiskError, nearest
from dib_py.units import MIB

# bytes; mke2fs, mkfs.xfs, mkfs.fat, mkswap and mkfs.btrfs cut or refuse what is longer
LABEL_LIMITS = {"ext2": 16, "ext3": 16, "ext4": 16, "xfs": 12, "vfat": 11, "msdos": 11, "swap": 16, "btrfs": 255}

# bytes; smaller than this mkfs.xfs and mkfs.btrfs refuse
_SMALLEST = {"xfs": 300 * MIB, "btrfs": 109 * MIB}
_NOT_IN_VFAT = set('*?.,;:/\\|+=<>[]"')

# what may lie on what
_BASES = {
    "partitioning": ("local_loop",),
    "mkfs": ("local_loop", "partition", "lv"),
    "mount": ("mkfs",),
    "fstab": ("mount",),
    "pv": ("local_loop", "partition"),
    "vg": ("pv",),
    "lv": ("vg",),
}
_KINDS = {"local_loop": "disk", "lv": "logical volume", "pv": "physical volume", "vg": "volume group", "lvm": "lvm"}
_SHARED = frozenset({"vg"})  # a volume group carries many volumes; everything else carries one thing
_FLAGS = ("boot", "primary")
_VOLUME_TYPES = ("thin", "thin-pool")
_EXTENTS = re.compile(r"\d+(\.\d+)?(%(VG|PVS|FREE|ORIGIN))?")
_WITH_UUID = frozenset({"ext2", "ext3", "ext4", "xfs", "swap", "btrfs"})
_GPT_NAME_LIMIT = 36


def names(entries: list[Entry], findings: Findings) -> None:
    """Each node has a name of its own; a table's name counts for nothing, as in diskimage-builder."""
    seen: dict[str, Entry] = {}
    for entry in entries:
        if entry.plugin == "partitioning":
            continue
        first = seen.setdefault(entry.name, entry)
        if first is not entry:
            findings.error(entry.line, f"there are two nodes named {entry.name}", f"the first is on line {first.line}")


def bases(entries: list[Entry], findings: Findings) -> None:
    """Everything lies on something that is there, can carry it, and carries nothing else."""
    nodes = {entry.name: entry for entry in reversed(entries) if entry.plugin != "partitioning"}
    carried: dict[str, Entry] = {}
    for entry in entries:
        if entry.plugin not in _BASES:
            continue
        wanted = _BASES[entry.plugin]
        on = entry.names("base") if entry.plugin == "vg" else ((entry.base,) if entry.base else ())
        if not on:
            findings.error(entry.line, f"{entry.plugin} {entry.name} has no base", f"name the {_kinds(wanted)} for it")
        for base in on:
            _check_base(entry, base, nodes, findings)
            if base not in nodes or nodes[base].plugin in _SHARED or nodes[base].plugin not in wanted:
                continue
            first = carried.setdefault(base, entry)
            if first is not entry:
                both = f"{first.plugin} {first.name} (line {first.line}) and {entry.plugin} {entry.name}"
                findings.error(entry.line, f"two things lie on {base}: {both}")


def _check_base(entry: Entry, base: str, nodes: Mapping[str, Entry], findings: Findings) -> None:
    wanted = _BASES[entry.plugin]
    fitting = [node.name for node in nodes.values() if node.plugin in wanted]
    if base not in nodes:
        close = nearest(base, fitting, 1)
        hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(fitting) or 'none'}"
        findings.error(entry.line_of("base"), f"{entry.plugin} {entry.name} lies on {base}, which is not there", hint)
    elif nodes[base].plugin not in wanted:
        kind = _KINDS.get(nodes[base].plugin, nodes[base].plugin)
        what = f"{entry.plugin} {entry.name} can't lie on {base}, which is a {kind}"
        findings.error(entry.line_of("base"), what, f"it needs a {_kinds(wanted)}")


def _kinds(plugins: tuple[str, ...]) -> str:
    return " or ".join(_KINDS.get(plugin, plugin) for plugin in plugins)


def one_disk(disks: list[Entry], name: str, findings: Findings) -> Entry | None:
    """The disk that becomes the image; None where there is none."""
    if not disks:
        if not findings.errors:  # else it may well be what is wrong already
            findings.error(1, "there is no disk", f"begin with - local_loop: {{name: {name}}}")
        return None
    for more in disks[1:]:
        findings.error(more.line, f"there is a second disk, {more.name}; an image is one disk")
    if disks[0].name != name:
        findings.error(disks[0].line, f"the disk is named {disks[0].name}", f"elements know it as {name}")
    block_size = disks[0].text("block_size")
    if block_size not in (None, "512", "4096"):
        findings.error(disks[0].line_of("block_size"), f"block_size is 512 or 4096, not {block_size}")
    return disks[0]


def flags(entry: Entry, given: tuple[str, ...], label: str, findings: Findings) -> None:
    line = entry.line_of("flags")
    for flag in given:
        if flag not in _FLAGS:
            findings.error(line, f"partition {entry.name} has the unknown flag {flag}", "flags are boot and primary")
    if label == "gpt" and "primary" in given:
        findings.error(line, f"partition {entry.name} is primary, which means nothing in a gpt", "remove the flag")


def partition_type(entry: Entry, code: str, label: str, findings: Findings) -> None:
    known = partitions.gpt_type(code) if label == "gpt" else partitions.mbr_type(code)
    if known is None:
        right = "a code of sgdisk like 8300, or a GUID" if label == "gpt" else "a hexadecimal byte like 0x83"
        findings.error(entry.line_of("type"), f"partition {entry.name} has the unknown type {code}", f"write {right}")


def partition_name(entry: Entry, label: str, findings: Findings) -> None:
    if label == "gpt" and len(entry.name) > _GPT_NAME_LIMIT:
        findings.error(entry.line, f"the name {entry.name} is longer than the {_GPT_NAME_LIMIT} characters of a gpt")
    if '"' in entry.name or "\\" in entry.name or not entry.name.isprintable():
        findings.error(entry.line, f"the name {entry.name!r} has characters that a partition's can't have")


def volume(entry: Entry, size: int | None, extents: str | None, kind: str | None, findings: Findings) -> None:
    """A logical volume has a size in one of both ways, and a thin one a pool."""
    if size is None and extents is None and "size" not in entry.values:
        findings.error(entry.line, f"lv {entry.name} has neither size nor extents", "for example extents: 100%FREE")
    if size is not None and size < 4 * MIB:
        findings.error(entry.line_of("size"), f"lv {entry.name} is smaller than an extent of 4 MiB")
    if extents is not None and not _EXTENTS.fullmatch(extents):
        findings.error(entry.line_of("extents"), f"lv {entry.name} has extents {extents}", "for example 40%VG")
    if kind is not None and kind not in _VOLUME_TYPES:
        findings.error(entry.line_of("type"), f"lv {entry.name} has the unknown type {kind}", "thin or thin-pool")
    if kind == "thin" and entry.text("thin-pool") is None:
        findings.error(entry.line, f"the thin lv {entry.name} has no thin-pool", "name the lv of type thin-pool")


def mount_point(entry: Entry, findings: Findings) -> str | None:
    """The directory, without a slash at its end."""
    path = entry.required("mount_point", "/")
    if path is None:
        return None
    if not path.startswith("/") or ".." in path.split("/"):
        findings.error(entry.line_of("mount_point"), f"mount point '{path}' is no absolute path")
        return None
    return "/" + posixpath.normpath(path).strip("/")


def filesystems(layout: Layout, entries: Mapping[str, Entry], findings: Findings) -> None:
    """Labels and mount points are there once, labels fit, and there is a root."""
    labels: dict[str, str] = {}
    mounts: dict[str, str] = {}
    for fs in layout.filesystems:
        entry = entries[fs.name]
        if fs.type not in LABEL_LIMITS:
            known = ", ".join(LABEL_LIMITS)
            hint = f"known are {known}" + ("" if "type" in entry.values else "; it comes from FS_TYPE")
            findings.error(entry.line_of("type"), f"mkfs {fs.name} has the unknown type {fs.type}", hint)
        if fs.type in ("vfat", "msdos") and (odd := _NOT_IN_VFAT & set(fs.label)):
            what = f"label {fs.label} has characters that vfat can't have: {' '.join(sorted(odd))}"
            findings.error(entry.line_of("label"), what)
        limit = LABEL_LIMITS.get(fs.type)
        length = len(fs.label.encode())
        if limit is not None and length > limit:
            what = f"label {fs.label} is too long for {fs.type}: {length} of {limit} bytes"
            findings.error(entry.line_of("label"), what, "give it a shorter label")
        if labels.setdefault(fs.label, fs.name) != fs.name:
            what = f"filesystems {labels[fs.label]} and {fs.name} have the same label {fs.label}"
            findings.error(entry.line_of("label"), what, "labels are how the guest finds them")
        if fs.mount_point is not None and mounts.setdefault(fs.mount_point, fs.name) != fs.name:
            findings.error(entry.line, f"{mounts[fs.mount_point]} and {fs.name} are both mounted at {fs.mount_point}")
        if fs.type in _WITH_UUID and not _is_uuid(fs.uuid):
            findings.error(
                entry.line_of("uuid"),
                f"'{fs.uuid}' is no UUID",
                f"for example {uuid.uuid5(uuid.NAMESPACE_DNS, 'example.org')}",
            )
    if "/" not in mounts:
        findings.error(1, "no filesystem is mounted at /", "the root filesystem needs mount: {mount_point: /}")


def _is_uuid(text: str) -> bool:
    try:
        return str(uuid.UUID(text)) == text.lower()
    except ValueError:
        return False


def sizes(layout: Layout, entries: Mapping[str, Entry], findings: Findings) -> None:
    """The partitions can be, and fit where the disk's size is known."""
    if layout.size is not None and layout.size % layout.sector_size:
        findings.error(1, f"a disk of {layout.size} bytes is no whole number of {layout.sector_size}-byte sectors")
    if layout.table is None:
        return
    full = None
    for partition in layout.table.partitions:
        if full is not None:
            line = entries[partition.name].line
            findings.error(line, f"{full} takes all the rest, so nothing is left for partition {partition.name}")
        full = full or (partition.name if partition.fills else None)
    if layout.table.label == "mbr":
        _primaries(layout, entries, findings)
    if layout.size is not None and not findings.errors:
        try:
            placed = partitions.place(replace(layout, source=""), layout.size)
            _smallest({one.name: one.length for one in placed}, layout, entries, findings)
        except partitions.DoesNotFit as error:
            what = f"{error.message} (it is {shown(layout.size)} large)"
            findings.error(entries[error.partition].line_of("size"), what, error.hint)
        except DiskError as error:
            findings.error(1, error.message, error.hint)


def _smallest(lengths: Mapping[str, int], layout: Layout, entries: Mapping[str, Entry], findings: Findings) -> None:
    for fs in layout.filesystems:
        least = _SMALLEST.get(fs.type, 0)
        if lengths.get(fs.base, least) < least:
            what = f"partition {fs.base} has {shown(lengths[fs.base])}, and {fs.type} takes at least {shown(least)}"
            findings.error(entries[fs.base].line_of("size"), what)


def _primaries(layout: Layout, entries: Mapping[str, Entry], findings: Findings) -> None:
    parts = layout.table.partitions if layout.table is not None else ()
    seen_logical = False
    for one in parts:
        if seen_logical and not one.logical:
            what = f"the primary partition {one.name} comes after a logical one"
            findings.error(entries[one.name].line, what, "put the partitions with the flag primary first")
        seen_logical = seen_logical or one.logical
    room = 3 if seen_logical else 4
    for one in [one for one in parts if not one.logical][room:]:
        what = f"an mbr has no room for the primary partition {one.name}"
        findings.error(entries[one.name].line, what, "leave the flag primary out to make it a logical one")
