"""The block-device YAML: where it is, and what it says as a :class:`Layout`.

The grammar is diskimage-builder's (``local_loop, partitioning, lvm, mkfs, mount, fstab``). What that finds out after
minutes of package work is found here before anything runs: every finding, with its line.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from dib_py.disk import block_device_checks as checks
from dib_py.disk import volume_checks
from dib_py.disk.block_device_tree import Entry, Findings, flatten
from dib_py.disk.layout import (
    Filesystem,
    Layout,
    LogicalVolume,
    Partition,
    PartitionTable,
    PhysicalVolume,
    VolumeGroup,
)
from dib_py.disk.partitions import smallest_disk
from dib_py.disk.size import parse_percent
from dib_py.disk.yaml_nodes import LayoutError, load
from dib_py.element import Element
from dib_py.errors import DiskError, FileError, UsageError
from dib_py.settings import Settings
from dib_py.units import MIB

DISK_NAME = "image0"  # elements read the disk's device under this name
ROOT_NODE = "mkfs_root"  # the node that takes what the settings say about the root filesystem
FALLBACK = """\
- local_loop:
    name: image0
- mkfs:
    name: mkfs_root
    base: image0
    mount:
      mount_point: /
      fstab:
        options: defaults
        fsck-passno: 1
"""

_ROOT_LABELS = {"xfs": "img-rootfs"}  # the usual one is too long for it
_ROOT_LABEL = "cloudimg-rootfs"


def random_uuid() -> str:
    return str(uuid.uuid4())


@dataclass(frozen=True)
class Defaults:
    """What settings say where a file says nothing; the file's own ``size`` wins, its ``block_size`` does not."""

    fs_type: str = "ext4"
    mkfs_options: tuple[str, ...] = ()  # for any type of root filesystem
    ext4_options: tuple[str, ...] = ("-i", "4096", "-J", "size=64")  # before those, for ext4 only
    root_label: str = ""
    size: int | None = None  # bytes
    sector_size: int | None = None

    @classmethod
    def from_settings(cls, settings: Settings) -> Defaults:
        """diskimage-builder's options for mkfs: many inodes, and a journal that suits a disk that will have grown."""
        online = settings.max_online_resize
        return cls(
            fs_type=settings.fs_type,
            mkfs_options=tuple(settings.mkfs_options.split()),
            ext4_options=(
                *(("-E", f"resize={online}") if online is not None else ()),
                *("-i", "4096", "-J", f"size={settings.mkfs_journal_size}"),
            ),
            root_label=settings.root_label,
            size=settings.image_size,
            sector_size=settings.sector_size,
        )


def find(elements: Iterable[Element], environment: Mapping[str, str], settings: Settings) -> Layout:
    """The layout of a new disk: DIB_BLOCK_DEVICE_CONFIG, else the first element's that has one, else one filesystem.

    ``elements`` are in the resolution's order; ``environment`` is what environment.d made. Its size is None only if the
    disk can grow on demand. Raises LayoutError, FileError, UsageError for a DIB_BLOCK_DEVICE_CONFIG that can't be read,
    DiskError where a size is needed.
    """
    defaults = Defaults.from_settings(settings)
    layout = _find(elements, environment, settings, defaults)
    layout = layout or parse(FALLBACK, source="the layout without a block-device element", defaults=defaults)
    if layout.size is not None or layout.growable:
        return layout
    if _shares_what_is_left(layout):
        raise DiskError(
            "the root filesystem does not grow with the disk in this layout, so the disk needs a size",
            hint="give one with --image-size",
            where=layout.source,
        )
    return replace(layout, size=smallest_disk(layout))


def find_asked(elements: Iterable[Element], environment: Mapping[str, str], settings: Settings) -> Layout | None:
    """The layout to which a base image's content moves: as :func:`find`, but None where nothing asks for one.

    ``elements`` are those that somebody asked for. Its size is None where the disk's depends on the base image.
    """
    layout = _find(elements, environment, settings, Defaults.from_settings(settings))
    if layout is None or layout.size is not None or layout.growable or _shares_what_is_left(layout):
        return layout
    return replace(layout, size=smallest_disk(layout))


def _shares_what_is_left(layout: Layout) -> bool:
    """Whether how much room there is depends on the disk's size."""
    return layout.table is None or any(partition.size is None for partition in layout.table.partitions)


def _find(
    elements: Iterable[Element], environment: Mapping[str, str], settings: Settings, defaults: Defaults
) -> Layout | None:
    config = environment.get("DIB_BLOCK_DEVICE_CONFIG") or settings.block_device_config
    if config.strip():
        return _configured(config, defaults)
    names = _file_names(environment.get("ARCH") or settings.arch)
    found = [file for element in elements if (file := _file_of(element, names)) is not None]
    if not found:
        return None
    layout = parse(_read(found[0]), source=str(found[0]), defaults=defaults)
    unused = tuple(f"{path} counts for nothing: the disk's layout is that of {found[0]}" for path in found[1:])
    return replace(layout, warnings=(*layout.warnings, *unused))


def _file_of(element: Element, names: Iterable[str]) -> Path | None:
    return next((path for name in names if (path := element.path / name).is_file()), None)


def parse(
    text: str, *, source: str, defaults: Defaults | None = None, uuids: Callable[[], str] = random_uuid
) -> Layout:
    """The layout that the YAML describes; ``source`` names it in messages. Raises LayoutError with all findings."""
    findings = Findings()
    entries = flatten(load(text, source), findings)
    layout = _Reading(entries, findings, defaults or Defaults(), uuids, source).layout()
    if findings.errors or layout is None:
        raise LayoutError(source, findings.errors)
    return replace(layout, warnings=tuple(f"{source}:{one.line}: {one.message}" for one in findings.warnings))


def _configured(config: str, defaults: Defaults) -> Layout:
    if not config.startswith("file://"):
        return parse(config, source="DIB_BLOCK_DEVICE_CONFIG", defaults=defaults)
    path = Path(config[len("file://") :])
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"DIB_BLOCK_DEVICE_CONFIG names {path}, which can't be read: {error}") from error
    return parse(text, source=str(path), defaults=defaults)


def _file_names(arch: str) -> tuple[str, ...]:
    arch = "ppc64el" if arch in ("ppc64le", "ppc64el") else arch
    return f"block-device-{arch}.yaml", "block-device-default.yaml"


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise FileError(path, f"cannot be read: {error}") from error


class _Reading:
    """One file on its way from entries to a layout; each method reads one kind of entry."""

    def __init__(
        self, entries: list[Entry], findings: Findings, defaults: Defaults, uuids: Callable[[], str], source: str
    ) -> None:
        self.entries = entries
        self.findings = findings
        self.defaults = defaults
        self.uuids = uuids
        self.source = source

    def of(self, plugin: str) -> list[Entry]:
        return [entry for entry in self.entries if entry.plugin == plugin]

    def layout(self) -> Layout | None:
        """None, or a layout with errors found, is not to be used."""
        self.entries += [
            child
            for lvm in self.of("lvm")
            for key, plugin in (("pvs", "pv"), ("vgs", "vg"), ("lvs", "lv"))
            for child in lvm.children(key, plugin)
        ]
        self.entries.sort(key=lambda entry: entry.line)
        checks.names(self.entries, self.findings)
        checks.bases(self.entries, self.findings)
        disk = checks.one_disk(self.of("local_loop"), DISK_NAME, self.findings)
        if disk is None:
            return None
        layout = Layout(
            name=disk.name,
            size=disk.size("size") or self.defaults.size,
            sector_size=self.defaults.sector_size or disk.number("block_size", 512),
            table=self.table(),
            physical_volumes=tuple(self.physical_volume(entry) for entry in self.of("pv")),
            groups=tuple(self.group(entry) for entry in self.of("vg")),
            volumes=tuple(self.volume(entry) for entry in self.of("lv")),
            filesystems=tuple(self.filesystem(entry) for entry in self.of("mkfs")),
            source=self.source,
        )
        by_name = {entry.name: entry for entry in self.entries if entry.plugin != "partitioning"}
        checks.filesystems(layout, by_name, self.findings)
        checks.sizes(layout, by_name, self.findings)
        volume_checks.volumes(layout, by_name, self.findings)
        return layout

    # -- partitions
    def table(self) -> PartitionTable | None:
        tables = self.of("partitioning")
        for more in tables[1:]:
            self.findings.error(more.line, "the disk is partitioned twice")
        if not tables:
            return None
        entry = tables[0]
        label = entry.required("label", "gpt")
        if label not in ("mbr", "gpt", None):
            self.findings.error(entry.line_of("label"), f"label is mbr or gpt, not '{label}'")
        align = entry.size("align") or MIB
        if align % 4096:
            self.findings.error(entry.line_of("align"), "align is a multiple of 4 KiB")
            align = MIB
        found = self.of("partition")
        if not found:
            self.findings.error(entry.line, f"partitioning {entry.name} has no partitions")
        label = label or "gpt"
        numbers = _numbers(found, label)
        parts = tuple(self.partition(one, label, numbers[index]) for index, one in enumerate(found))
        return PartitionTable(label, align if label == "mbr" else MIB, parts)

    def partition(self, entry: Entry, label: str, number: int) -> Partition:
        flags = entry.names("flags")
        checks.flags(entry, flags, label, self.findings)
        code = entry.text("type") or ("8300" if label == "gpt" else "0x83")
        checks.partition_type(entry, code, label, self.findings)
        checks.partition_name(entry, label, self.findings)
        percent, size = self._share(entry)
        logical = label == "mbr" and "primary" not in flags
        return Partition(entry.name, number, size, code, "boot" in flags, percent, logical)

    def _share(self, entry: Entry) -> tuple[float, int | None]:
        """Percentage and bytes; the percentage counts where bytes are None."""
        text = entry.required("size", "100%")
        if text is None:
            return 100.0, None
        try:
            percent = parse_percent(text)
        except ValueError as error:
            self.findings.error(entry.line_of("size"), f"size of {entry.name}: {error}")
            return 100.0, None
        if percent is not None:
            return percent, None
        size = entry.size("size")
        if size == 0:
            self.findings.error(entry.line_of("size"), f"size of {entry.name} is nothing")
        return 100.0, size or MIB

    # -- LVM
    def physical_volume(self, entry: Entry) -> PhysicalVolume:
        return PhysicalVolume(entry.name, entry.base or "", entry.names("options"))

    def group(self, entry: Entry) -> VolumeGroup:
        under = {pv.name: pv.base or "" for pv in self.of("pv")}
        devices = tuple(under.get(name, "") for name in entry.names("base"))
        return VolumeGroup(entry.name, devices, entry.names("options"))

    def volume(self, entry: Entry) -> LogicalVolume:
        size, extents, kind = entry.size("size"), entry.text("extents"), entry.text("type")
        checks.volume(entry, size, extents, kind, self.findings)
        return LogicalVolume(
            name=entry.name,
            group=entry.base or "",
            size=size // volume_checks.EXTENT * volume_checks.EXTENT if size is not None else None,
            extents=extents if size is None else None,
            type=kind,
            thin_pool=entry.text("thin-pool"),
            options=entry.names("options"),
        )

    # -- filesystems
    def filesystem(self, entry: Entry) -> Filesystem:
        is_root = entry.name == ROOT_NODE
        kind = entry.text("type") or (self.defaults.fs_type if is_root else entry.required("type", "ext4")) or "ext4"
        label = entry.text("label")
        if label is None:
            label = (self.defaults.root_label or _ROOT_LABELS.get(kind, _ROOT_LABEL)) if is_root else entry.name
        mount = next((one for one in self.of("mount") if one.base == entry.name), None)
        fstab = next((one for one in self.of("fstab") if mount is not None and one.base == mount.name), None)
        swap = kind == "swap"
        options = fstab.text("options") or "defaults" if fstab is not None else None
        return Filesystem(
            name=entry.name,
            base=entry.base or "",
            type="vfat" if kind == "fat" else kind,
            label=label.upper() if kind in ("vfat", "fat", "msdos") else label,
            uuid=entry.text("uuid") or self.uuids(),
            options=self.mkfs_options(entry, kind),
            mount_point=checks.mount_point(mount, self.findings) if mount is not None and not swap else None,
            fstab_options="sw" if swap and fstab is not None else options,
            fstab_dump=0 if swap or fstab is None else fstab.number("dump-freq", 0),
            fstab_pass=0 if swap or fstab is None else fstab.number("fsck-passno", 2),
        )

    def mkfs_options(self, entry: Entry, kind: str) -> tuple[str, ...]:
        own = entry.text("opts")
        if own is not None:
            return tuple(own.split())
        if entry.name != ROOT_NODE:
            return ()
        return (*(self.defaults.ext4_options if kind == "ext4" else ()), *self.defaults.mkfs_options)


def _numbers(entries: list[Entry], label: str) -> list[int]:
    """The numbers that the partitions get: an MBR's logical ones begin with 5."""
    numbers: list[int] = []
    primary, logical = 0, 4
    for entry in entries:
        if label == "mbr" and "primary" not in entry.names("flags"):
            logical += 1
            numbers.append(logical)
        else:
            primary += 1
            numbers.append(primary)
    return numbers
