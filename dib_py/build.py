"""Carry a plan out: base, layers, disk, target, phases, outputs. Short, because everything has a name elsewhere."""

from __future__ import annotations

import functools
import os
import time
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from dib_py import build_directory, download_cache, finished, guest, isolation, output, supervisor
from dib_py.artefacts import Catcher
from dib_py.base import BaseImage, image_cache, obtain
from dib_py.checkpoints import Checkpoints
from dib_py.disk import Disk
from dib_py.disk.chain import Chain, ImageFile
from dib_py.disk.size import check_space
from dib_py.disk.storage_daemon import StorageDaemon
from dib_py.element import builtin_elements_dir
from dib_py.environment import Places
from dib_py.errors import BaseError, DibError
from dib_py.events import NO_TARGET, BuildFinished, BuildStarted, Events, OutputKept, Subscriber
from dib_py.image_build import ImageBuild
from dib_py.layers.keeping import Keeping, keeping
from dib_py.layers.merge import LONGEST, merge_long
from dib_py.layers.outputs import Outputs
from dib_py.layers.store import Store
from dib_py.layers.walk import Walk, as_far
from dib_py.obstacles import check_outputs, doubts, obstacles
from dib_py.opening import Beginning, Opening
from dib_py.phases import Side
from dib_py.plan import NO_FINAL_IMAGE, Plan
from dib_py.settings import Settings
from dib_py.state import build_root
from dib_py.target import CacheTree, Target
from dib_py.target.choose import choose, choose_for_windows, open_target, refuse_other_architecture
from dib_py.units import GIB
from dib_py.verify import accept

SPACE_NEEDED = 2 * GIB  # for a disk whose content is not known yet: a small distribution with its packages


@dataclass(frozen=True)
class Job:
    """What the worker is to do, all decided; ``keeping`` is None where no layers are used."""

    plan: Plan
    settings: Settings
    base: BaseImage | None
    target: str
    keeping: Keeping | None

    @property
    def below(self) -> BaseImage | None:
        """The base image that the disk lies on, if it does."""
        return None if self.plan.moves_base else self.base


def build(plan: Plan, settings: Settings, *subscribers: Subscriber, store: Store | None = None) -> int:
    """Build the image and return the exit code; DibError for what is wrong before work starts.

    Steps that ``store`` has layers of are not run, and the others leave theirs there.
    """
    events = Events(*subscribers)
    for warning in plan.warnings:
        events.warning(warning)
    for doubt in doubts(plan):
        events.warning(doubt)
    refuse_other_architecture(settings.arch)  # before anything is fetched
    guest.authorities(settings.ca_bundle, settings.environ)
    check_outputs(plan)
    if plan.makes_media:
        from dib_py.windows import media_build  # no other build needs it

        return media_build.build(plan, settings, subscribers)
    if settings.breakpoints:
        os.close(isolation.open_terminal())  # known to be there before anything starts
    base = obtain(plan.base, settings, events) if plan.base else None
    with ExitStack() as stack:
        kept = None
        if store is not None:
            kept = stack.enter_context(keeping(plan, base, store, events))
            if kept.walk.complete and (files := Outputs(store).unchanged(kept.walk.last_key, settings)):
                _tell_unchanged(kept, files, events)
                if settings.verify:
                    accept.judge_again(files, settings, *subscribers)
                return 0
        left = [one.step for one in kept.walk.steps[kept.walk.replayed :]] if kept else plan.steps
        for obstacle in obstacles(plan, left):
            raise obstacle
        supervisor.check_build_root(settings)
        where = kept.session.directory if kept else build_root(settings)
        check_space(where, min(settings.image_size or SPACE_NEEDED, SPACE_NEEDED))
        job = Job(plan, settings, base, _choose_target(plan, settings, base, events), kept)
        return supervisor.run(functools.partial(_work, job), settings, subscribers)


def _choose_target(plan: Plan, settings: Settings, base: BaseImage | None, events: Events) -> str:
    trusted = base is None or base.verified or settings.trust_base
    choice = choose_for_windows() if plan.is_for_windows else choose(settings, trusted, plan.layout)
    events.info(f"target {choice.name}: {choice.reason}")
    if not trusted and not plan.is_for_windows:  # whose tree such hooks never see
        _refuse_foreign_host_hooks(plan)
    return choice.name


def _refuse_foreign_host_hooks(plan: Plan) -> None:
    """On an image that nobody vouched for, absolute links and ``sudo chroot`` would run its code on this machine."""
    for step in plan.steps:
        if step.phase.side is Side.HOST and step.source and not step.source.is_relative_to(builtin_elements_dir()):
            raise BaseError(
                f"element {step.element} has a host-side hook, {step.phase.directory}/{step.name}, "
                "and the base image is not verified",
                hint="give its --base-checksum, or say --trust-base",
            )


def _tell_unchanged(kept: Keeping, files: list[Path], events: Events) -> None:
    """A build in which nothing is left to do, as the events of one."""
    plan = kept.plan
    names = [element.name for element in plan.elements]
    started = BuildStarted(plan.settings.image_name, names, NO_TARGET, len(plan.steps))
    events.emit(started)
    kept.tell_hits(events)
    for path in files:
        events.emit(OutputKept(str(path)))
    events.emit(BuildFinished(time.time() - started.at))


# -- in the worker
def _work(job: Job, worker: supervisor.Worker) -> None:
    started = time.monotonic()
    names = [element.name for element in job.plan.elements]
    worker.events.emit(BuildStarted(job.settings.image_name, names, job.target, len(job.plan.steps)))
    places = Places(worker.build_dir)
    for directory in (places.images, places.mount):
        directory.mkdir(parents=True, exist_ok=True)
    job.plan.stage(places.hooks)
    job.plan.link_builtin_elements(places.elements)
    if job.keeping is None:
        image, _ = _fill_disk(job, worker, None)
        _write_out(job, image, worker)
    else:
        _make_layers(job, worker, job.keeping, places)
    worker.events.emit(BuildFinished(time.monotonic() - started))


def _make_layers(job: Job, worker: supervisor.Worker, kept: Keeping, places: Places) -> None:
    """Run what no layer stands for, and put what hooks left beside the image where the image is."""
    catcher = _catcher(job, kept, places, worker)
    with catcher.caught():
        archives = [kept.store.artefacts(record.key) if record.artefacts else None for record in kept.walk.records]
        if conflict := catcher.conflict(archives):
            worker.events.info(f"fewer steps are taken from their layers: {conflict.why}")
            kept = replace(kept, walk=as_far(kept.walk, conflict.index, kept.store))
        for archive in archives[: kept.walk.replayed]:
            if archive is not None:
                catcher.replay(archive)
        image, key = _fill_disk(replace(job, keeping=kept), worker, catcher)
    beside = catcher.publish()  # first, so that an old image that a hook removed is not the new one
    written = _write_out(job, image, worker)
    Outputs(kept.store).remember(key, job.settings, [*written, *(path for path in beside if path.exists())])
    if len(image.files) > LONGEST:
        _shorten(job, worker, kept, key)


def _write_out(job: Job, image: Chain, worker: supervisor.Worker) -> list[Path]:
    formats = job.plan.formats
    if left_out := [name for name in job.settings.image_types if name not in formats]:
        worker.events.info(f"no image is written as {', '.join(left_out)}: there is {NO_FINAL_IMAGE}")
    tree = functools.partial(finished.opened, image, job.plan, job.base, job.target, worker)
    if not formats:
        return []
    judge = accept.judge(job.settings, worker)
    return output.write_all(image, job.settings, worker.events, worker.partial, tree, formats, judge)


def _shorten(job: Job, worker: supervisor.Worker, kept: Keeping, key: str) -> None:
    """Merge layers of the chain that the image was made of; whatever keeps it from that, the image is there."""
    below = job.below
    base = ImageFile(below.path.absolute(), below.format) if below else None
    try:
        with StorageDaemon.connect(worker.daemon_directory) as daemon:
            merged = merge_long(kept.store, kept.session, key, daemon, base)
    except DibError as error:
        worker.events.info(f"the chain of layers stays long: {error}")
    else:
        if merged:  # none where others use all of them
            worker.events.info(f"the chain of layers was long: {len(merged)} became part of those above them")


def _catcher(job: Job, kept: Keeping, places: Places, worker: supervisor.Worker) -> Catcher:
    """What catches the files that hooks write outside the image; caches are to be written for real."""
    areas = [("cwd", Path.cwd()), ("output", Path(job.settings.image_name).absolute().parent)]
    if Path(job.settings.image_name).is_absolute():
        areas.reverse()  # where they are the same, files belong to what is said in the same way
    beside = dict(areas)
    home = job.settings.environ.get("HOME")
    real = [kept.store.directory, image_cache(job.settings), places.build.parent]
    real += [Path(home) / ".cache"] if home else []
    temporary = build_root(job.settings)
    if not any(temporary in (area, *area.parents) for area in beside.values()):
        real.append(temporary)  # what lies below a directory for temporary files is meant to last all the same
    return Catcher(
        hooks=places.hooks,
        build=places.build,
        excluded=build_directory.OWN,
        beside=beside,
        through=real,
        scratch=places.build / "caught",
        events=worker.events,
        naming=worker.partial,
    )


def _fill_disk(job: Job, worker: supervisor.Worker, catcher: Catcher | None) -> tuple[Chain, str]:
    """Run what is to be run; returns the disk, which nobody holds any more, and the key of its last layer."""
    kept = job.keeping
    if kept is not None and kept.walk.complete:
        kept.tell_hits(worker.events)
        return _whole(kept.walk, job.below), kept.walk.last_key
    opening = _opening(job)
    with ExitStack() as stack:
        daemon = stack.enter_context(StorageDaemon.connect(worker.daemon_directory))
        checkpoints = None
        if kept is not None and catcher is not None:
            checkpoints = stack.enter_context(Checkpoints(kept, catcher, worker.events))
        caches = stack.enter_context(
            download_cache.opened(job.plan, job.settings, job.base, worker.events, reached=opening.reached)
        )
        with opening.disk(daemon, worker.daemon_directory) as disk:
            beginning = opening.beginning(disk)
            if job.plan.is_for_windows:
                _service(job, disk, worker, beginning, checkpoints)
            else:
                _carry_out(job, disk, caches, worker, beginning, checkpoints)
            image = disk.image()
    if checkpoints is None:
        return image, ""
    return image.moved(checkpoints.place), checkpoints.key


def _carry_out(
    job: Job,
    disk: Disk,
    caches: CacheTree,
    worker: supervisor.Worker,
    beginning: Beginning,
    checkpoints: Checkpoints | None,
) -> None:
    """The steps of an image whose programs run while it is built."""
    plan, settings, kept = job.plan, job.settings, job.keeping
    with _target(job, disk, caches, worker) as target:
        ImageBuild(plan, settings, job.base, disk, target, worker, beginning, kept, checkpoints).run()


def _service(
    job: Job, disk: Disk, worker: supervisor.Worker, beginning: Beginning, checkpoints: Checkpoints | None
) -> None:
    """The steps of a Windows image, in which nothing runs."""
    from dib_py.windows.appliance_target import WindowsTarget
    from dib_py.windows.image_build import WindowsBuild

    target = WindowsTarget(disk, worker.build_dir, job.settings, worker.events)
    with target:
        WindowsBuild(job.plan, job.settings, disk, target, worker, beginning, job.keeping, checkpoints).run()


def _target(job: Job, disk: Disk, caches: CacheTree, worker: supervisor.Worker) -> Target:
    target = open_target(job.target, disk, worker.build_dir, job.settings, worker.events)
    target.attach(caches)
    return target


def _opening(job: Job) -> Opening:
    kept = job.keeping
    if kept is None:
        return Opening(job.plan, job.base, job.target)
    records = kept.walk.records
    opening = Opening.behind(job.plan, job.base, job.target, records, kept.walk.chain)
    if not kept.store.writable:
        return opening
    below = kept.session.layer_name(records[-1].key) if records else None
    return replace(opening, overlay=kept.session.overlay(), backing_name=below)


def _whole(found: Walk, base: BaseImage | None) -> Chain:
    return Chain.of(found.chain) if base is None else Chain.of(found.chain, base.path, base.format)
