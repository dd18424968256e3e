"""A Windows image, from its disk as it is opened to one that holds all that its elements declare, unmounted.

First everything is looked at and checked, so that an image is refused before anything of it is changed. Then the phases
come, each with the declarative files that belong to it; at a phase's end the registry is committed and a layer taken.
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, redirect_stdout
from dataclasses import replace

from dib_py.build_directory import HIVES
from dib_py.checkpoints import Checkpoints
from dib_py.disk import Disk
from dib_py.environment import DiskFacts, Places, build_variables
from dib_py.errors import DibError, ElementError, TargetError
from dib_py.events import PhaseFinished, PhaseStarted, StepFinished, StepStarted
from dib_py.isolation import Worker
from dib_py.layers.keeping import Keeping
from dib_py.layers.record import DiskState
from dib_py.layers.walk import steps_of
from dib_py.opening import Beginning
from dib_py.phase_run import PhaseRun, Surroundings
from dib_py.phases import EXTRA_DATA, PHASES, Phase
from dib_py.plan import DECLARATION, Plan, Step
from dib_py.settings import Settings
from dib_py.step_output import StepLog
from dib_py.windows import refusals, unattend
from dib_py.windows.appliance_target import WindowsTarget
from dib_py.windows.installation import Installation, open_installation
from dib_py.windows.refusals import Refusal

_APPLYING = tuple(phase for phase in PHASES if phase is not EXTRA_DATA)


class WindowsBuild:
    """See the module."""

    def __init__(
        self,
        plan: Plan,
        settings: Settings,
        disk: Disk,
        target: WindowsTarget,
        worker: Worker,
        beginning: Beginning,
        kept: Keeping | None = None,
        checkpoints: Checkpoints | None = None,
    ) -> None:
        self._plan = plan
        self._settings = settings
        self._disk = disk
        self._target = target
        self._events = worker.events
        self._begin = beginning
        self._places = Places(worker.build_dir)
        self._checkpoints = checkpoints
        if checkpoints is not None:
            checkpoints.attach(disk, target, lambda: DiskState(disk.size, disk.capacity))
        self._around = replace(
            Surroundings.of(plan, settings, target, worker.events, root=disk.top.parent, hooks=self._places.hooks),
            replayed=beginning.replayed,
            kept=kept,
            checkpoints=checkpoints,
        )

    def run(self) -> None:
        """All phases; DibError ends it, for an image that can't be worked on before anything is changed."""
        guest = self._open()
        self._fetch()
        self._check(guest)
        for phase in _APPLYING:
            self._phase(phase, guest)
        self._target.trim()
        self._target.unmount()

    # -- the image
    def _open(self) -> Installation:
        discard_session = _is_set(self._plan.environment.get(refusals.DISCARD_SESSION, ""))
        if self._settings.image_size is not None and self._begin.reached is None:
            self._target.grow()
        volumes = self._target.open_volumes(discard_session=discard_session)
        scratch = self._places.build / HIVES
        scratch.mkdir(exist_ok=True)
        guest = open_installation(volumes.system, volumes.boot, scratch, dict(self._plan.environment))
        facts = guest.facts
        self._events.info(f"base image: {facts.product} ({facts.full_version}), {facts.architecture}")
        refusals.refuse(_refusals(guest, volumes.are_writable))
        return guest

    def _check(self, guest: Installation) -> None:
        """Have all that is left to apply look at the image."""
        needed = 0
        for step in (step for phase in _APPLYING for step in self._left(phase)):
            if step.kind != DECLARATION:
                title = f"{step.phase.directory}/{step.name}"
                raise ElementError(f"a hook of extra-data.d made {title}, and nothing runs inside Windows")
            with _of(step):
                self._plan.declared[step.name].check(guest)
                needed += self._plan.declared[step.name].needs(guest)
        refusals.refuse(refusals.room(guest.facts.free, needed))
        for advice in unattend.advice(unattend.of(self._plan.declared.values()), guest.facts.generation):
            self._events.warning(advice)

    # -- phases
    def _fetch(self) -> None:
        """Hooks on this machine, which get what declarative files then place or read."""
        variables = build_variables(
            self._settings, self._plan.resolution, EXTRA_DATA, places=self._places, disk=DiskFacts()
        )
        with self._target.tree():
            PhaseRun(self._around, EXTRA_DATA, variables).run()

    def _phase(self, phase: Phase, guest: Installation) -> None:
        steps = self._left(phase, tell=True)
        if not steps:
            return
        self._events.emit(PhaseStarted(phase.name, phase.directory))
        timings: list[tuple[str, float]] = []
        for step in steps:
            is_last = step is steps[-1]
            with self._checkpoint(step, more=not is_last) as also:
                timings.append((step.name, self._step(step, guest, StepLog(self._events, self._plan.mask, also))))
                if is_last and (written := guest.commit()):
                    self._events.info(f"{phase.directory}: {', '.join(written)} written")
        self._events.emit(PhaseFinished(phase.name, timings))

    def _left(self, phase: Phase, *, tell: bool = False) -> list[Step]:
        """The steps of a phase that no layer stands for."""
        left = []
        for step in steps_of(self._plan, phase, self._places.hooks / phase.directory):
            record = self._begin.replayed.get((phase, step.name))
            if record is None:
                left.append(step)
            elif tell and self._around.kept is not None:
                self._around.kept.tell_hit(step, record, self._events)
        return left

    def _checkpoint(self, step: Step, *, more: bool) -> AbstractContextManager[Callable[[str], None] | None]:
        return nullcontext() if self._checkpoints is None else self._checkpoints.step(step, {}, more=more)

    def _step(self, step: Step, guest: Installation, log: StepLog) -> float:
        """Apply one declarative file; returns how many seconds that took."""
        started = time.monotonic()
        self._events.emit(StepStarted(step.index, step.phase.name, step.element, step.name))
        try:
            with redirect_stdout(_Printed(log)), _of(step):
                self._plan.declared[step.name].apply(guest)
        finally:
            log.close()
        seconds = time.monotonic() - started
        self._events.emit(StepFinished(step.index, step.phase.name, step.element, step.name, 0, seconds))
        return seconds


class _Printed(io.TextIOBase):
    """A text file that is a step's log."""

    def __init__(self, log: StepLog) -> None:
        self._log = log

    def write(self, text: str) -> int:
        self._log(text.encode(errors="replace"))
        return len(text)


@contextmanager
def _of(step: Step) -> Iterator[None]:
    """Name the declarative file in an error that names no place."""
    try:
        yield
    except DibError as error:
        error.where = error.where or str(step.source)
        raise
    except OSError as error:
        raise TargetError(f"this could not be applied: {error}", where=str(step.source)) from error


def _refusals(guest: Installation, are_writable: bool) -> Iterator[Refusal]:
    found = list(refusals.installation(guest.facts, guest.variables))
    yield from found
    if not found and not are_writable:
        yield Refusal(
            "its volume can be read only: ntfs-3g dares not write it",
            "start it once more, run chkdsk, and shut it down with: shutdown /s /t 0",
        )


def _is_set(value: str) -> bool:
    return value not in ("", "0")
