"""A layer for every step: the disk is settled and frozen after each, and what it left is committed to the store.

Freezing is done between two steps; digests and renames are done by a thread, one after the other, while the next step
runs. Whatever keeps a layer from being kept ends the keeping, never the build. Steps whose work reaches the disk
together, like edits of one registry hive, have one layer, that of the last of them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import dib_py
from dib_py import epoch
from dib_py.artefacts import Catcher
from dib_py.disk import Disk
from dib_py.errors import DibError, HookFailed
from dib_py.events import CheckpointsTaken, Events
from dib_py.keys import Ingredients
from dib_py.layers.keeping import Keeping
from dib_py.layers.record import BindMount, DiskState, PackageChanges, Record
from dib_py.layers.walk import closing_step
from dib_py.packages.installed import Installed
from dib_py.plan import Step
from dib_py.target import Target


class Checkpoints:
    """The layers of one build, from the first step that runs to the closing one; see the module.

    A context manager that is entered before the disk is opened and so ends when nobody holds the disk any more: then
    it commits the closing step's layer or, where a step failed, keeps that step's overlay.
    """

    def __init__(self, kept: Keeping, catcher: Catcher, events: Events) -> None:
        self._kept = kept
        self._session = kept.session
        self._catcher = catcher
        self._events = events
        done = kept.walk.records
        self.key = done[-1].key if done else kept.walk.base  # of the last step
        self._backing = done[-1].key if done else ""
        self._mounts = done[-1].mounts if done else ()
        self._flight = kept.flight
        self._packages: Mapping[str, str] | None = None
        self._thread = ThreadPoolExecutor(1, "checkpoints")
        self._stopped = "" if kept.store.writable else "the store can't be written"
        self._failure: dict[str, Any] | None = None
        self._places: dict[Path, Path] = {}  # where frozen layers went
        self._parts: list[tuple[Record, Path]] = []  # steps that wait for their layer, with what they printed
        self._count = 0
        self._seconds = 0.0
        self._ended = time.monotonic()  # the last step

    def attach(self, disk: Disk, target: Target, state: Callable[[], DiskState]) -> None:
        """The disk and what reaches it; ``state`` tells what a later build must know of the disk as it is then."""
        self._disk = disk
        self._target = target
        self._installed = Installed(target)
        self._state = state
        self._has_packages = not self._kept.plan.is_for_windows

    def __enter__(self) -> Checkpoints:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if kind is None:
            self._close()
        elif isinstance(error, HookFailed) and self._keep_failed() and not error.hint:
            error.hint = "dib-py shell --failed opens a shell there, as the hook left it"
        self._thread.shutdown(wait=True)
        self._events.emit(CheckpointsTaken(self._count, self._seconds))

    # -- steps
    @contextmanager
    def step(self, step: Step, variables: Mapping[str, str], *, more: bool = False) -> Iterator[Callable[[str], None]]:
        """Around a step: what it printed goes to the yielded function; its layer is taken unless this ends badly.

        ``more``: the step that follows has its layer too, so that none is taken now.
        """
        ingredients = self._kept.keys.ingredients(self.key, step)
        if self._stopped:
            yield lambda line: None
            self.key = ingredients.key
            return
        log = self._session.directory / f"{self._count}.{len(self._parts)}.log"
        if not self._parts:
            self._take_off(ingredients)
            self._catcher.mark()
        started = time.monotonic()
        with log.open("w", encoding="utf-8") as file:
            try:
                yield lambda line: print(line, file=file)
            except HookFailed as error:
                self._failure = self._failure_of(step, variables, error.exit_code)
                with suppress(DibError):  # so that the disk that is kept has all that the step did
                    self._target.sync()
                raise
        seconds = time.monotonic() - started
        self.key = ingredients.key
        if more:
            self._parts.append((self._record(step, ingredients, seconds), log))
            return
        self._target.sync()  # says what could not be written, and no later sync would: so it ends the build
        self._guarded(lambda: self._take(step, ingredients, seconds, log))
        self._ended = time.monotonic()
        self._seconds += self._ended - started - seconds

    def stop(self, reason: str) -> None:
        """Keep no more layers of this build, and say why."""
        if not self._stopped:
            self._stopped = reason
            self._events.info(f"no more layers of this build are kept: {reason}")

    def place(self, file: Path) -> Path:
        """Where a file of the disk's chain is now."""
        return self._places.get(file, file)

    # -- the end
    def _close(self) -> None:
        step = closing_step(self._kept.plan)
        ingredients = self._kept.keys.ingredients(self.key, step)
        self.key = ingredients.key
        if not self._stopped:
            record = self._record(step, ingredients, time.monotonic() - self._ended)
            self._thread.submit(self._commit, record, self._disk.top, None, None)

    def _keep_failed(self) -> bool:
        """Keep the overlay of the step that failed."""
        if self._stopped or self._failure is None:
            return False
        try:
            self._session.keep_failed(self._disk.top, self._failure)
        except (DibError, OSError) as error:
            self._events.info(f"the failed step's disk is not kept: {error}")
            return False
        return True

    def _failure_of(self, step: Step, variables: Mapping[str, str], code: int) -> dict[str, Any]:
        """All that it takes to be there again."""
        settings = self._kept.plan.settings
        return {
            "parent": self.key,
            "phase": step.phase.directory,
            "element": step.element,
            "name": step.name,
            "exit_code": code,
            "variables": dict(variables),
            "disk": asdict(self._state()),
            "mounts": [asdict(mount) for mount in self._mounts],
            "argv": list(settings.argv),
            "environ": dict(settings.environ),
            "cwd": str(Path.cwd()),
        }

    # -- how
    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except (DibError, OSError) as error:
            self.stop(str(error))

    def _take_off(self, ingredients: Ingredients) -> None:
        """Hold the step's key, unless another build does; the one before is free as soon as its layer is kept."""
        previous, self._flight = self._flight, None
        if ingredients.key == self._kept.walk.next_key:
            self._flight = previous
        else:
            self._guarded(lambda: self._fly(ingredients.key))
            if previous is not None:
                self._thread.submit(previous.release)
        if self._may_install(ingredients) and self._packages is None:
            self._packages = self._installed.now()

    def _fly(self, key: str) -> None:
        self._flight = self._session.try_flight(key)

    def _take(self, step: Step, ingredients: Ingredients, seconds: float, log: Path) -> None:
        self._mounts = self._left_mounts(step)
        if self._stopped:
            return
        packages = self._package_changes(ingredients)
        archive = log.with_suffix(".tar")
        left = self._catcher.collect(archive)
        frozen, session = self._disk.top, self._session
        self._disk.snapshot(session.overlay(), backing_name=session.layer_name(ingredients.key))
        record = self._record(step, ingredients, seconds)
        record = replace(record, artefacts=left, packages=packages, mounts=self._mounts)
        self._backing = ingredients.key
        for part, printed in self._parts:
            self._thread.submit(self._commit_part, part, printed)
        self._parts = []
        self._thread.submit(self._commit, record, frozen, log, archive if left else None)
        self._count += 1

    def _record(self, step: Step, ingredients: Ingredients, seconds: float) -> Record:
        """The record of a step as far as every step has it."""
        return Record(
            key=ingredients.key,
            phase=step.phase.directory,
            element=step.element,
            name=step.name,
            kind=step.kind,
            ingredients=ingredients,
            backing=self._backing,
            disk=self._state(),
            base=self._kept.base,
            digest="",
            allocated=0,
            seconds=round(seconds, 3),
            finished=datetime.now(timezone.utc).isoformat(timespec="seconds"),
            target=self._target.name,
            engine=dib_py.__version__,
        )

    def _commit(self, record: Record, layer: Path, log: Path | None, archive: Path | None) -> None:
        """In the thread: a layer on one that is not kept can't be kept either."""
        if self._stopped:
            return
        try:
            kept = self._session.commit(record, layer, log=log, artefacts=archive)
        except (DibError, OSError) as error:
            self.stop(str(error))
            return
        epoch.remember(self._kept.plan.settings, self._kept.store.directory, record.ingredients.epoch)
        if kept:
            self._places[layer] = self._kept.store.places.layer(record.key)
        else:
            self.stop("another build was faster")

    def _commit_part(self, record: Record, log: Path) -> None:
        """In the thread too."""
        if self._stopped:
            return
        try:
            kept = self._session.commit_part(record, log=log)
        except (DibError, OSError) as error:
            self.stop(str(error))
            return
        if not kept:
            self.stop("another build was faster")

    def _left_mounts(self, step: Step) -> tuple[BindMount, ...]:
        """What host-side hooks have left mounted in the tree; what can't be mounted again ends the keeping."""
        found = self._target.left_mounts()
        for mount in found.unkept:
            self.stop(f"{step.phase.directory}/{step.name} left something at {mount.path}, and {mount.why}")
        return found.kept

    def _may_install(self, ingredients: Ingredients) -> bool:
        return self._has_packages and (bool(ingredients.epoch) or ingredients.packages is not None)

    def _package_changes(self, ingredients: Ingredients) -> PackageChanges | None:
        if not self._may_install(ingredients):
            return None
        before, after = self._packages or {}, self._installed.now()
        self._packages = after
        changed = {name for name in {*before, *after} if before.get(name) != after.get(name)}
        return PackageChanges(
            {name: before[name] for name in sorted(changed & before.keys())},
            {name: after[name] for name in sorted(changed & after.keys())},
        )
