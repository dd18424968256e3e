"""The phases on an open target, with what the engine does between them."""

from __future__ import annotations

from contextlib import ExitStack, nullcontext
from dataclasses import replace
from pathlib import Path

from dib_py import environment, guest
from dib_py.base import BaseImage, image_cache
from dib_py.breakpoints import Breakpoints
from dib_py.disk import Disk, fstab
from dib_py.disk.growth import Growth
from dib_py.disk.layout import Layout
from dib_py.disk.size import KIB, dib_size_kib
from dib_py.environment import DiskFacts, Places, build_variables
from dib_py.errors import ElementError, TargetError
from dib_py.isolation import Worker
from dib_py.phase_run import PhaseRun, Surroundings
from dib_py.phases import (
    BLOCK_DEVICE,
    CLEANUP,
    EXTRA_DATA,
    FINALISE,
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
from dib_py.settings import MIB, Settings
from dib_py.state import build_root
from dib_py.target import Mount, Target
from dib_py.target.choose import refuse_foreign


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
        *,
        cut: bool,
    ) -> None:
        """``cut``: the disk has more room than the image needs, and gets its size when the tree is complete."""
        self._cut = cut
        self._plan = plan
        self._settings = settings
        self._base = base
        self._disk = disk
        self._target = target
        self._events = worker.events
        self._places = Places(worker.build_dir)
        self._facts = DiskFacts()
        self._authorities: dict[str, str] = {}
        self._around = Surroundings(
            plan,
            target,
            worker.events,
            build_root(settings),
            self._places.hooks,
            Path.cwd(),
            settings.hook_timeout,
            plan.mask,
        )
        self._breaks = Breakpoints(settings.breakpoints, settings.environ, target, worker)
        self._resolver = guest.Resolver(target)

    def run(self) -> None:
        """All phases, in diskimage-builder's order; DibError ends it."""
        self._stage()
        later = self._open_disk()
        grows = self._grows or (self._cut and self._target.grows_while_mounted)
        with Growth(self._disk, self._target) if grows else nullcontext():
            self._build_tree(later)
        self._fit_disk()
        self._phase(BLOCK_DEVICE)
        self._facts = replace(self._facts, devices=self._target.expose_devices(self._plan.layout))
        if self._plan.layout is not None:
            self._target.write("/etc/fstab", fstab.render(self._plan.layout).encode())
        self._host_phase(PRE_FINALISE)
        self._guest_phases(FINALISE)
        self._host_phase(CLEANUP)
        self._close_tree()
        self._target.trim()
        self._target.unmount()

    # -- the disk
    @property
    def _grows(self) -> bool:
        return self._plan.layout is not None and self._plan.layout.size is None and not self._cut

    def _open_disk(self) -> list[Mount]:
        """Mount the root of the image; returns what is mounted after root.d."""
        layout = self._plan.layout
        if layout is None:
            return self._open_base()
        self._facts = DiskFacts.of(layout)
        self._target.create(_filled_from_the_front(layout) if self._cut else layout)
        root, *later = self._target.layout_mounts(layout)
        self._target.mount([root])
        return later

    def _open_base(self) -> list[Mount]:
        assert self._base is not None and self._plan.base is not None  # a plan has a base or a layout
        digest = self._base.digest.replace(":", "-")
        cache = image_cache(self._settings) / "inspected" / f"{self._target.name}-{digest}.json"
        try:
            found = self._target.inspect(cache)
        except TargetError as error:
            error.where = error.where or str(self._plan.base)
            raise
        refuse_foreign(found.arch)
        self._target.mount(found.mounts)
        if self._settings.image_size is not None:
            self._target.grow()
        points = tuple(mount.path for mount in found.mounts if mount.path.startswith("/"))
        self._facts = DiskFacts(
            found.root_label,
            found.root_fstype,
            mountpoints=points,
            size=self._disk.size,
            base_image=self._plan.base.location,
        )
        self._events.info(f"base image: {found.distro} {found.version}, {found.arch}")
        return []

    def _fit_disk(self) -> None:
        """Give a disk without a given size the one that diskimage-builder would have given it."""
        if not self._grows and not self._cut:
            self._facts = replace(self._facts, size=self._disk.size)
            return
        usage = self._target.usage()
        layout = self._plan.layout
        wanted = KIB * dib_size_kib(
            (usage.size - usage.free) // KIB,
            extra_mib=None if self._settings.image_extra_size is None else self._settings.image_extra_size / MIB,
            journal_mib=self._settings.mkfs_journal_size if layout and layout.root.type == "ext4" else None,
            efi=any(element.name.startswith("block-device-efi") for element in self._plan.elements),
        )
        wanted = -(-wanted // MIB) * MIB
        if self._cut:
            self._target.shrink(wanted)
            self._disk.resize(wanted)
        elif wanted > self._disk.size:
            self._disk.resize(wanted)
            self._target.grow()
        self._facts = replace(self._facts, size=self._disk.size)

    # -- the tree
    def _stage(self) -> None:
        hooks = self._places.hooks
        for directory in (self._places.images, self._places.mount):
            directory.mkdir(parents=True, exist_ok=True)
        self._plan.stage(hooks)
        bundle = guest.authorities(self._settings.ca_bundle, self._settings.environ)
        if bundle is not None:
            self._authorities = guest.stage_authorities(bundle, hooks)

    def _build_tree(self, later: list[Mount]) -> None:
        with ExitStack() as stack:
            if self._base is None:
                stack.enter_context(guest.hidden_lost_and_found(self._target))
            self._host_phase(ROOT)
            if guest.is_empty(self._target):
                raise ElementError(
                    "the operating system's element left nothing in the image",
                    hint="root.d hooks fill $TARGET_ROOT; without one, start from an image with --base",
                )
        guest.mount_below(self._target, later)
        self._resolver.install()
        self._write_install_type()
        self._host_phase(EXTRA_DATA)
        self._guest_phases(PRE_INSTALL, INSTALL, POST_INSTALL)
        self._host_phase(POST_ROOT)

    def _write_install_type(self) -> None:
        directory = self._places.hooks / "environment.d"
        directory.mkdir(exist_ok=True)
        (directory / environment.INSTALL_TYPE_FILE).write_text(environment.install_type_text(self._settings))

    def _close_tree(self) -> None:
        self._resolver.restore()
        guest.tidy(self._target, environment.for_guest({}))

    # -- phases
    def _host_phase(self, phase: Phase) -> None:
        if self._has_hooks(phase):
            with self._target.tree():
                self._phase(phase)
        else:
            self._phase(phase)

    def _guest_phases(self, *phases: Phase) -> None:
        with self._target.guest_mounts(self._places.hooks):
            for phase in phases:
                self._phase(phase)

    def _has_hooks(self, phase: Phase) -> bool:
        directory = self._places.hooks / phase.directory
        return directory.is_dir() and any(directory.iterdir())

    def _phase(self, phase: Phase) -> None:
        variables = build_variables(self._settings, self._plan.resolution, phase, places=self._places, disk=self._facts)
        if phase.side is Side.GUEST:
            variables.update(self._authorities)
        run = PhaseRun(self._around, phase, variables)
        with self._breaks.around(phase, variables):
            run.run()


def _filled_from_the_front(layout: Layout) -> Layout:
    """The layout with an ext4 root that is one flexible group, as far as the disk is roomy.

    ext4 spreads directories over flexible groups; when the filesystem is cut, all that lies behind its new end would
    have to be moved: 9 s and twice the room, for a Debian of 0.9 GB.
    """
    root = replace(layout.root, options=("-G", "64", *layout.root.options))
    return replace(layout, filesystems=tuple(root if fs == layout.root else fs for fs in layout.filesystems))
