"""Carry a plan out: base, disk, target, phases, outputs. Short, because everything it does has a name elsewhere."""

from __future__ import annotations

import functools
import os
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from dib_py import guest, isolation, output, supervisor
from dib_py.base import BaseImage, obtain
from dib_py.disk import GROWING_CAPACITY, Disk
from dib_py.disk.chain import Chain
from dib_py.disk.growth import START_SIZE
from dib_py.disk.partitions import smallest_disk
from dib_py.disk.size import GIB, check_space
from dib_py.disk.storage_daemon import StorageDaemon
from dib_py.element import builtin_elements_dir
from dib_py.errors import BaseError
from dib_py.events import BuildFinished, BuildStarted, Events, Subscriber
from dib_py.image_build import ImageBuild
from dib_py.phases import Side
from dib_py.plan import Plan
from dib_py.settings import Settings
from dib_py.state import build_root
from dib_py.target.choose import choose, open_target, refuse_foreign

SPACE_NEEDED = 2 * GIB  # for a disk whose content is not known yet: a small distribution with its packages
ROOMY = 8 * GIB  # of a disk that is cut to its size at the end; it is sparse, so only what is written counts


@dataclass(frozen=True)
class Job:
    """What the worker is to do, all decided."""

    plan: Plan
    settings: Settings
    base: BaseImage | None
    target: str


def build(plan: Plan, settings: Settings, *subscribers: Subscriber) -> int:
    """Build the image and return the exit code; DibError for what is wrong before work starts."""
    events = Events(*subscribers)
    for warning in plan.warnings:
        events.warning(warning)
    refuse_foreign(settings.arch)
    guest.authorities(settings.ca_bundle, settings.environ)
    if settings.breakpoints:
        os.close(isolation.open_terminal())  # known to be there before anything starts
    output.check_output(settings)
    supervisor.check_build_root(settings)
    check_space(build_root(settings), min(settings.image_size or SPACE_NEEDED, SPACE_NEEDED))
    base = obtain(plan.base, settings, events) if plan.base else None
    trusted = base is None or base.verified or settings.trust_base
    choice = choose(settings, base_trusted=trusted)
    events.info(f"target {choice.name}: {choice.reason}")
    if not trusted:
        _refuse_foreign_host_hooks(plan)
    return supervisor.run(functools.partial(_work, Job(plan, settings, base, choice.name)), settings, subscribers)


def _refuse_foreign_host_hooks(plan: Plan) -> None:
    """On an image that nobody vouched for, absolute links and ``sudo chroot`` would run its code on this machine."""
    for step in plan.steps:
        if step.phase.side is Side.HOST and step.source and not step.source.is_relative_to(builtin_elements_dir()):
            raise BaseError(
                f"element {step.element} has a host-side hook, {step.phase.directory}/{step.name}, "
                "and the base image is not verified",
                hint="give its --base-checksum, or say --trust-base",
            )


def _work(job: Job, worker: supervisor.Worker) -> None:
    started = time.monotonic()
    names = [element.name for element in job.plan.elements]
    worker.events.emit(BuildStarted(job.settings.image_name, names, job.target, len(job.plan.steps)))
    with StorageDaemon.connect(worker.daemon_directory) as daemon:
        image = _fill_disk(job, daemon, worker)
        output.write_all(image, job.settings, worker.events, worker.partial)
    worker.events.emit(BuildFinished(time.monotonic() - started))


def _fill_disk(job: Job, daemon: StorageDaemon, worker: supervisor.Worker) -> Chain:
    """Run all phases on a new disk; returns its files, which nobody holds any more."""
    with ExitStack() as stack:
        disk = stack.enter_context(_make_disk(job, daemon, worker.daemon_directory))
        target = stack.enter_context(open_target(job.target, disk, worker.build_dir, job.settings, worker.events))
        ImageBuild(job.plan, job.settings, job.base, disk, target, worker, cut=_is_cut(job)).run()
        return disk.image()


def _is_cut(job: Job) -> bool:
    """Whether the disk has room for anything while it is built, and gets its size at the end.

    The other way, growth on demand, is a race against whatever writes, and ext4 lets a process without CAP_SYS_RESOURCE
    (most containers) not grow it while mounted. But only ext4 can shrink, and under TCG that takes too long.
    """
    layout = job.plan.layout
    return layout is not None and layout.size is None and layout.root.type.startswith("ext") and job.target == "host"


def _make_disk(job: Job, daemon: StorageDaemon, directory: Path) -> Disk:
    settings, layout = job.settings, job.plan.layout
    if job.base is not None:
        return Disk.create(daemon, directory, base=job.base.path, base_format=job.base.format, size=settings.image_size)
    assert layout is not None  # a plan has a base or a layout
    if layout.size is not None:
        return Disk.create(daemon, directory, size=layout.size, sector_size=layout.sector_size)
    capacity = GROWING_CAPACITY if job.target == "guestfs" else None  # an NBD client never learns of growth
    size = smallest_disk(layout) + (ROOMY if _is_cut(job) else START_SIZE)
    return Disk.create(daemon, directory, size=size, capacity=capacity, sector_size=layout.sector_size)
