"""The phases on an open target, with what the engine does between them."""

from __future__ import annotations

import functools
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

from dib_py import environment, guest
from dib_py.base import BaseImage, image_cache
from dib_py.breakpoints import Breakpoints
from dib_py.checkpoints import Checkpoints
from dib_py.disk import Disk, fstab
from dib_py.disk.growth import Growth
from dib_py.disk.layout import Layout
from dib_py.disk.partitions import smallest_disk
from dib_py.disk.size import EFI_KIB, beside_partitions, dib_size_kib
from dib_py.environment import DiskFacts, Places, build_variables
from dib_py.errors import BaseError, DibError, ElementError, TargetError
from dib_py.isolation import Worker
from dib_py.layers.keeping import Keeping
from dib_py.layers.record import DiskState
from dib_py.opening import Beginning
from dib_py.phase_run import PhaseRun, Surroundings
from dib_py.phases import (
    BLOCK_DEVICE,
    CLEANUP,
    EXTRA_DATA,
    FINALISE,
    HOOKS_IN_GUEST,
    INSTALL,
    POST_INSTALL,
    POST_ROOT,
    PRE_FINALISE,
    PRE_INSTALL,
    ROOT,
    Phase,
    Side,
)
from dib_py.plan import Plan
from dib_py.settings import Settings
from dib_py.target import Inspection, Mount, Target
from dib_py.target.choose import refuse_other_architecture
from dib_py.undo import undo
from dib_py.units import KIB, MIB
from dib_py.visit import Visit, Visitor

FSTAB = "/etc/fstab"


class ImageBuild:
    """One image: from the disk as it is opened to a disk that holds the finished tree, unmounted."""

    def __init__(
        self,
        plan: Plan,
        settings: Settings,
        base: BaseImage | None,
        disk: Disk,
        target: Target,
        worker: Worker,
        beginning: Beginning,
        kept: Keeping | None = None,
        checkpoints: Checkpoints | None = None,
        *,
        visit: Visit | None = None,
    ) -> None:
        """``visit``: open a shell at a step instead of running it; no other step runs then."""
        self._plan = plan
        self._settings = settings
        self._base = base
        self._disk = disk
        self._target = target
        self._events = worker.events
        self._begin = beginning
        self._layout = beginning.layout
        self._roomy = beginning.disk.roomy
        self._grows = beginning.disk.grows
        self._places = Places(worker.build_dir)
        self._facts = DiskFacts()
        self._authorities: dict[str, str] = {}
        if checkpoints is not None:
            checkpoints.attach(disk, target, self._state)
        self._around = replace(
            Surroundings.of(plan, settings, target, worker.events, root=disk.top.parent, hooks=self._places.hooks),
            replayed=beginning.replayed,
            kept=kept,
            checkpoints=checkpoints,
            visitor=Visitor(visit, target, worker) if visit else None,
        )
        self._breaks = Breakpoints(settings.breakpoints, settings.environ, target, worker, checkpoints)
        self._resolver = guest.Resolver(target)
        self._guest_at_work = False  # hooks have run in it

    def run(self) -> None:
        """All phases, in diskimage-builder's order; DibError ends it, after elements took back what must not stay."""
        try:
            self._run()
        except DibError:
            if self._guest_at_work:
                variables = self._run_of(FINALISE).variables
                undo(self._target, self._places.hooks, variables, self._plan.mask, self._events)
            raise

    def _run(self) -> None:
        self._stage_authorities()
        later = self._open_disk()
        grows = self._grows or (self._roomy and self._target.grows_while_mounted)
        with Growth(self._disk, self._target) if grows else nullcontext():
            self._build_tree(later)
        if not self._begin.is_past(BLOCK_DEVICE):
            self._fit_disk()
        self._phase(BLOCK_DEVICE)
        self._facts = replace(self._facts, devices=self._target.expose_devices(self._layout))
        if self._layout is not None and self._base is None and not self._begin.is_past(PRE_FINALISE):
            self._target.write(FSTAB, fstab.render(self._layout).encode())
        self._host_phase(PRE_FINALISE)
        self._guest_phases(FINALISE)
        self._host_phase(CLEANUP)
        self._close_tree()
        self._target.trim()
        self._target.unmount()

    def _state(self) -> DiskState:
        uuids = {} if self._layout is None else {one.name: one.uuid for one in self._layout.filesystems}
        return DiskState(self._disk.size, self._disk.capacity, self._roomy, self._grows, uuids)

    # -- the disk
    def _open_disk(self) -> list[Mount]:
        """Mount the root of the image; returns what is mounted after root.d."""
        if self._layout is None:
            later = self._open_base()
        else:
            later = self._open_layout(self._layout) if self._base is None else self._open_moved(self._layout)
        self._facts = replace(self._facts, size=self._disk.size if self._begin.is_past(BLOCK_DEVICE) else None)
        if not self._begin.is_past(EXTRA_DATA):
            self._mount_again(ROOT)
            return later
        self._target.mount([mount for mount in later if mount.path.startswith("/")])
        self._mount_again(self._begin.reached)
        return []

    def _mount_again(self, reached: Phase | None) -> None:
        """Put back what a resumed build's hooks have left mounted, and take away what only the guest's phases have."""
        self._target.mount_again(self._begin.mounts)
        if reached is not None and reached.side is Side.GUEST:
            self._target.remove(HOOKS_IN_GUEST)

    def _open_layout(self, layout: Layout) -> list[Mount]:
        self._facts = DiskFacts.of(layout)
        if self._begin.reached is None:
            self._target.create(_filled_from_the_front(layout) if self._roomy else layout)
        root, *later = self._target.layout_mounts(layout)
        self._target.mount([root])
        return later

    def _open_moved(self, layout: Layout) -> list[Mount]:
        """The new disk with the base image's content on it."""
        self._facts = self._plan.disk_facts
        if self._begin.reached is not None:
            self._target.mount(self._target.layout_mounts(layout))
            return []
        self._events.info(f"the content of the base image moves to another layout: {layout.source}")
        found = self._found(functools.partial(self._target.move_in, layout))
        points = [mount.path for mount in found.mounts]
        before = self._target.read(FSTAB).decode(errors="surrogateescape") if self._target.exists(FSTAB) else ""
        self._target.write(FSTAB, fstab.moved(before, layout, points).encode(errors="surrogateescape"))
        return []

    def _found(self, look: Callable[[Path], Inspection]) -> Inspection:
        """What is in the base image, if it can be worked on here."""
        assert self._base is not None and self._plan.base is not None  # a plan has a base or a layout
        digest = self._base.digest.replace(":", "-")
        cache = image_cache(self._settings) / "inspected" / f"{self._target.name}-{digest}.json"
        try:
            found = look(cache)
        except TargetError as error:
            error.where = error.where or str(self._plan.base)
            raise
        if found.distro == "windows":
            raise BaseError("the base image is Windows, and no element says so", hint="name the element windows too")
        refuse_other_architecture(found.arch)
        self._events.info(f"base image: {found.distro} {found.version}, {found.arch}")
        return found

    def _open_base(self) -> list[Mount]:
        found = self._found(self._target.inspect)
        self._target.mount(found.mounts)
        if self._settings.image_size is not None and self._begin.reached is None:
            self._target.grow()
        points = tuple(mount.path for mount in found.mounts if mount.path.startswith("/"))
        self._facts = replace(
            self._plan.disk_facts, root_label=found.root_label, root_fstype=found.root_fstype, mountpoints=points
        )
        return []

    def _fit_disk(self) -> None:
        """Give a disk without a given size the one that diskimage-builder would have given it."""
        if not self._grows and not self._roomy:
            self._facts = replace(self._facts, size=self._disk.size)
            return
        usage = self._target.usage()
        layout = self._layout
        efi = any(element.name.startswith("block-device-efi") for element in self._plan.elements)
        wanted = KIB * dib_size_kib(
            (usage.size - usage.free) // KIB,
            extra_mib=None if self._settings.image_extra_size is None else self._settings.image_extra_size / MIB,
            journal_mib=self._settings.mkfs_journal_size if layout and layout.root.type == "ext4" else None,
            efi=efi,
        )
        if layout is not None:
            wanted = beside_partitions(wanted, smallest_disk(layout) - (EFI_KIB * KIB if efi else 0))
        wanted = -(-wanted // MIB) * MIB
        if self._roomy:
            self._target.shrink(wanted)
            self._disk.resize(wanted)
        elif wanted > self._disk.size:
            self._disk.resize(wanted)
            self._target.grow()
        self._roomy = self._grows = False
        self._facts = replace(self._facts, size=self._disk.size)

    # -- the tree
    def _stage_authorities(self) -> None:
        bundle = guest.authorities(self._settings.ca_bundle, self._settings.environ)
        if bundle is not None:
            self._authorities = guest.stage_authorities(bundle, self._places.hooks)

    def _build_tree(self, later: list[Mount]) -> None:
        if self._base is None and self._begin.reached is None:
            guest.hide_lost_and_found(self._target)
        self._host_phase(ROOT)
        if not self._begin.is_past(EXTRA_DATA):
            self._settle_root(later)
        self._write_install_type()
        self._host_phase(EXTRA_DATA)
        self._guest_phases(PRE_INSTALL, INSTALL, POST_INSTALL)
        self._host_phase(POST_ROOT)

    def _settle_root(self, later: list[Mount]) -> None:
        """What comes between root.d, which makes the tree, and everything that works in it."""
        if self._layout is not None and self._base is None:
            guest.show_lost_and_found(self._target, self._layout.root.type)
        if guest.is_empty(self._target):
            raise ElementError(
                "the operating system's element left nothing in the image",
                hint="root.d hooks fill $TARGET_ROOT; without one, start from an image with --base",
            )
        guest.mount_below(self._target, later)
        self._resolver.install()

    def _write_install_type(self) -> None:
        directory = self._places.hooks / "environment.d"
        directory.mkdir(exist_ok=True)
        (directory / environment.INSTALL_TYPE_FILE).write_text(environment.install_type_text(self._settings))

    def _close_tree(self) -> None:
        self._resolver.restore()
        guest.tidy(self._target, environment.for_guest({}))

    # -- phases
    def _host_phase(self, phase: Phase) -> None:
        with self._target.tree() if self._run_of(phase).has_work else nullcontext():
            self._phase(phase)

    def _guest_phases(self, *phases: Phase) -> None:
        work = any(self._run_of(phase).has_work or self._breaks.stops_in(phase) for phase in phases)
        self._guest_at_work = self._guest_at_work or work
        with self._target.guest_mounts(self._places.hooks) if work else nullcontext():
            for phase in phases:
                self._phase(phase)

    def _phase(self, phase: Phase) -> None:
        run = self._run_of(phase)
        with self._breaks.around(phase, run.variables):
            run.run()

    def _run_of(self, phase: Phase) -> PhaseRun:
        variables = build_variables(self._settings, self._plan.resolution, phase, places=self._places, disk=self._facts)
        if phase.side is Side.GUEST:
            variables.update(self._authorities)
        return PhaseRun(self._around, phase, variables)


def _filled_from_the_front(layout: Layout) -> Layout:
    """The layout with an ext4 root that is one flexible group, as far as the disk is roomy.

    ext4 spreads directories over flexible groups; when the filesystem is cut, all that lies behind its new end would
    have to be moved: 9 s and twice the room, for a Debian of 0.9 GB.
    """
    root = replace(layout.root, options=("-G", "64", *layout.root.options))
    return replace(layout, filesystems=tuple(root if fs == layout.root else fs for fs in layout.filesystems))
