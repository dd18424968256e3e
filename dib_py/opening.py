"""What a build opens: a new disk, or one on the layers of the steps that need not run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from dib_py.base import BaseImage
from dib_py.disk import GROWING_CAPACITY, Disk
from dib_py.disk.growth import START_SIZE
from dib_py.disk.layout import Layout
from dib_py.disk.partitions import place, smallest_disk
from dib_py.disk.storage_daemon import StorageDaemon
from dib_py.layers.record import BindMount, DiskState, Record
from dib_py.phases import BY_DIRECTORY, PHASES, Phase
from dib_py.plan import Plan
from dib_py.units import GIB, MIB

ROOMY = 8 * GIB  # of a disk that is cut to its size at the end; it is sparse, so only what is written counts


@dataclass(frozen=True)
class Beginning:
    """Where a build begins: on a new disk, or behind the last of the steps that need not run.

    ``disk`` is what the engine must know of the disk, ``layout`` has the identifiers that are on it, ``mounts`` is what
    hooks have left mounted in the tree.
    """

    disk: DiskState
    layout: Layout | None = None
    replayed: Mapping[tuple[Phase, str], Record] = field(default_factory=dict)
    reached: Phase | None = None  # of the last of these steps
    mounts: tuple[BindMount, ...] = ()

    def is_past(self, phase: Phase) -> bool:
        """Whether what the engine does before ``phase`` is on the disk already."""
        return self.reached is not None and PHASES.index(self.reached) >= PHASES.index(phase)


@dataclass(frozen=True)
class Opening:
    """How the disk is made: new, or on ``layers``, the nearest to the base first.

    ``state`` is that of the disk in the topmost of them, None for a new disk; the rest is as in :class:`Beginning`.
    ``overlay`` is where its first writable file goes (default: the build's own directory), and ``backing_name`` what
    that file calls the one below it.
    """

    plan: Plan
    base: BaseImage | None
    target: str
    layers: tuple[Path, ...] = ()
    state: DiskState | None = None
    replayed: Mapping[tuple[Phase, str], Record] = field(default_factory=dict)
    reached: Phase | None = None
    mounts: tuple[BindMount, ...] = ()
    overlay: Path | None = None
    backing_name: str | None = None

    @classmethod
    def behind(
        cls, plan: Plan, base: BaseImage | None, target: str, records: Sequence[Record], layers: tuple[Path, ...]
    ) -> Opening:
        """Behind the last of the steps that ``records`` tell of, in their order."""
        if not records:
            return cls(plan, base, target)
        last = records[-1]
        replayed = {(_phase(record), record.name): record for record in records}
        return cls(plan, base, target, layers, last.disk, replayed, _phase(last), last.mounts)

    def disk(self, daemon: StorageDaemon, directory: Path) -> Disk:
        """Open it; ``directory`` is the build's own."""
        base, layout, state = self.base, self.plan.layout, self.state
        source = base if self.plan.moves_base else None
        if source is not None:
            base = None
        size, capacity = (state.size, state.capacity) if state else self._new_size()
        disk = Disk.create(
            daemon,
            directory,
            base=base.path if base else None,
            base_format=base.format if base else None,
            size=size,
            capacity=capacity,
            sector_size=layout.sector_size if layout else 512,
            layers=self.layers,
            overlay=self.overlay,
            backing_name=self.backing_name,
        )
        if source is not None and state is None:
            disk.open_source(source.path, source.format)
        return disk

    def beginning(self, disk: Disk) -> Beginning:
        """What the build must know to begin on ``disk``, which :meth:`disk` opened."""
        layout, state = self.plan.layout, self.state
        if state is None:
            grows = layout is not None and layout.size is None and not self._is_roomy and self.base is None
            return Beginning(DiskState(disk.size, disk.capacity, self._is_roomy, grows), layout)
        return Beginning(state, _with_uuids(layout, state), self.replayed, self.reached, self.mounts)

    def _new_size(self) -> tuple[int | None, int | None]:
        """Size and capacity of a new disk; None is the base's own size."""
        layout = self.plan.layout
        if layout is None:
            return self.plan.settings.image_size, None
        if layout.size is not None:
            return layout.size, None
        if self.base is not None:  # what moves has the room that it had, beside the other partitions
            size = -(-(self.base.size + smallest_disk(layout)) // MIB) * MIB
            place(layout, size)  # says what does not fit before anything starts
            return size, None
        capacity = GROWING_CAPACITY if self.target == "guestfs" else None  # an NBD client never learns of growth
        return smallest_disk(layout) + (ROOMY if self._is_roomy else START_SIZE), capacity

    @property
    def _is_roomy(self) -> bool:
        """Whether the disk has room for anything while it is built, and gets its size at the end.

        The other way, growth on demand, is a race against whatever writes, and ext4 lets a process without
        CAP_SYS_RESOURCE (most containers) not grow it while mounted. But only ext4 can shrink, and under TCG that takes
        too long.
        """
        layout = self.plan.layout
        ext = layout is not None and layout.size is None and layout.root.type.startswith("ext")
        return ext and self.target == "host" and self.base is None


def _phase(record: Record) -> Phase:
    return BY_DIRECTORY[record.phase]


def _with_uuids(layout: Layout | None, state: DiskState) -> Layout | None:
    """The layout with the identifiers that its filesystems have on the disk; a plan makes up new ones."""
    if layout is None:
        return None
    made = (replace(one, uuid=state.uuids.get(one.name, one.uuid)) for one in layout.filesystems)
    return replace(layout, filesystems=tuple(made))
