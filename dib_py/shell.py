"""``dib-py shell``: a build replayed from its layers up to one step, and a shell there.

Nothing that is done there changes any layer: all of it goes to an overlay that is thrown away.
"""

from __future__ import annotations

import functools
import os
from dataclasses import dataclass, replace

from dib_py import isolation, supervisor
from dib_py.artefacts import archive
from dib_py.base import BaseImage, obtain
from dib_py.disk.storage_daemon import StorageDaemon
from dib_py.environment import Places
from dib_py.errors import HostError, UsageError, nearest
from dib_py.events import Event, Events, ShellEnded, Subscriber
from dib_py.image_build import ImageBuild
from dib_py.layers.failure import FailedStep
from dib_py.layers.record import Record
from dib_py.layers.store import Store
from dib_py.layers.walk import WalkStep, walk
from dib_py.opening import Opening
from dib_py.phases import BY_DIRECTORY
from dib_py.plan import Plan
from dib_py.settings import Settings
from dib_py.step_keys import StepKeys
from dib_py.target.choose import choose, open_target
from dib_py.visit import Visit, VisitEnded


@dataclass(frozen=True)
class Job:
    """What the worker is to do, all decided."""

    opening: Opening
    settings: Settings
    store: Store
    records: list[Record]
    visit: Visit


def before(plan: Plan, store: Store, title: str, command: str, *subscribers: Subscriber) -> int:
    """A shell at the checkpoint before the step called ``title``; returns the shell's exit code."""
    settings = plan.settings
    base = obtain(plan.base, settings, Events(*subscribers)) if plan.base else None
    keys = StepKeys(plan, epoch=plan.epoch, secret=store.secret, base_digest=base.digest if base else "")
    steps = walk(plan, keys, store).steps
    place = _find(title, steps)
    records = [one.record for one in steps[:place] if one.record is not None]
    if len(records) < place:
        missing = next(one.step for one in steps if one.record is None)
        raise HostError(
            f"no layer of {missing.phase.directory}/{missing.name} is kept, which comes before {title}",
            hint="build first: a build that fails keeps the layers of the steps before",
        )
    step = steps[place].step
    visit = Visit(step.phase, step.name, command)
    return _visit(plan, base, store, records, visit, None, subscribers)


def failed(plan: Plan, store: Store, failure: FailedStep, command: str, *subscribers: Subscriber) -> int:
    """A shell where a step failed, as it left the guest; returns the shell's exit code."""
    base = obtain(plan.base, plan.settings, Events(*subscribers)) if plan.base else None
    visit = Visit(BY_DIRECTORY[failure.phase], failure.name, command, failure.variables)
    return _visit(plan, base, store, _lineage(store, failure.parent), visit, failure, subscribers)


def _find(title: str, steps: tuple[WalkStep, ...]) -> int:
    """The place of the step that is called so, with or without its phase."""
    names = {f"{one.step.phase.directory}/{one.step.name}": number for number, one in enumerate(steps[:-1])}
    if title in names:
        return names[title]
    found = [number for name, number in names.items() if name.partition("/")[2] == title]
    if len(found) == 1:
        return found[0]
    if found:
        raise UsageError(f"there are several steps called {title}", hint=f"say the phase: install.d/{title}")
    meant = nearest(title, names)
    raise UsageError(f"there is no step {title}", hint=f"did you mean {' or '.join(meant)}?" if meant else "")


def _lineage(store: Store, key: str) -> list[Record]:
    """The records that lead to a key, the first step's first."""
    found: list[Record] = []
    while (record := store.record(key)) is not None:
        found.insert(0, record)
        key = record.parent
    return found


def _visit(
    plan: Plan,
    base: BaseImage | None,
    store: Store,
    records: list[Record],
    visit: Visit,
    failure: FailedStep | None,
    subscribers: tuple[Subscriber, ...],
) -> int:
    settings = plan.settings
    if plan.is_for_windows:
        raise UsageError("nothing can run inside a Windows image, not even a shell", hint="dib-py inspect looks at it")
    if not visit.command:
        os.close(isolation.open_terminal())  # known to be there before anything starts
    supervisor.check_build_root(settings)
    trusted = base is None or base.verified or settings.trust_base
    target = choose(settings, trusted, plan.layout).name
    with store.session() as session:
        session.use(record.key for record in records)
        layers = store.chain(records[-1].key) if records else ()
        if layers is None:
            raise HostError(f"the layer of {records[-1].title} is gone or damaged", hint="build again")
        opening = Opening.behind(plan, base, target, records, layers)
        if failure is not None:
            opening = replace(
                opening,
                layers=(*layers, failure.overlay),
                state=failure.disk,
                mounts=failure.mounts,
                reached=visit.phase,
            )
        code = _Code()
        work = functools.partial(_work, Job(opening, settings, store, records, visit))
        ended = supervisor.run(work, settings, [code, *subscribers])
    return ended or code.value


class _Code:
    """Keeps what the shell ended with."""

    value = 0

    def __call__(self, event: Event) -> None:
        if isinstance(event, ShellEnded):
            self.value = event.exit_code


def _work(job: Job, worker: supervisor.Worker) -> None:
    plan, places = job.opening.plan, Places(worker.build_dir)
    for directory in (places.images, places.mount):
        directory.mkdir(parents=True, exist_ok=True)
    plan.stage(places.hooks)
    plan.link_builtin_elements(places.elements)
    for record in job.records:
        left = job.store.artefacts(record.key) if record.artefacts else None
        if left is not None:
            archive.apply(left, {"hooks": places.hooks, "build": places.build})
    with (
        StorageDaemon.connect(worker.daemon_directory) as daemon,
        job.opening.disk(daemon, worker.daemon_directory) as disk,
        open_target(job.opening.target, disk, worker.build_dir, job.settings, worker.events) as target,
    ):
        beginning = job.opening.beginning(disk)
        build = ImageBuild(plan, job.settings, job.opening.base, disk, target, worker, beginning, visit=job.visit)
        try:
            build.run()
        except VisitEnded as ended:
            worker.events.emit(ShellEnded(ended.code))
            return
    raise HostError(f"the build has no step {job.visit.title}", hint="the elements are not what they were: build again")
