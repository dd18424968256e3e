"""One phase carried out: its environment is sourced once, then its hooks run, each a step.

The phase directory is read again when the phase starts, since hooks add hooks to later phases.
"""

from __future__ import annotations

import secrets as random_source
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

from dib_py import environment
from dib_py.checkpoints import Checkpoints
from dib_py.disk import growth
from dib_py.disk.size import explain_no_room, shown
from dib_py.errors import ElementError, HookFailed, TargetError
from dib_py.events import Events, PhaseFinished, PhaseStarted, StepFinished, StepStarted
from dib_py.hooks import GUEST_SHELL
from dib_py.layers.keeping import Keeping
from dib_py.layers.record import Record
from dib_py.layers.walk import steps_of
from dib_py.packages.missing import explain_unknown
from dib_py.phases import BLOCK_DEVICE, HOOKS_IN_GUEST, Phase, Side
from dib_py.plan import Plan, Step
from dib_py.settings import Settings
from dib_py.step_output import StepLog
from dib_py.target import HookTimeout, Target
from dib_py.visit import Visitor

BRING_SHELL = f"{GUEST_SHELL}/bring"

_NO_SPACE = "No space left on device"  # as every program says it in the locale of hooks


@dataclass(frozen=True)
class Surroundings:
    """What the steps of every phase share."""

    plan: Plan
    target: Target
    events: Events
    root: Path  # where this machine keeps the disk while it is built
    hooks: Path  # the staged hook directories, on the host
    cwd: Path  # where host-side hooks start: the caller's directory
    hook_timeout: float | None
    mask: Callable[[str], str]
    replayed: Mapping[tuple[Phase, str], Record] = field(default_factory=dict)  # steps that need not run
    kept: Keeping | None = None  # None where no layers are used
    checkpoints: Checkpoints | None = None
    visitor: Visitor | None = None  # None where steps are run

    @staticmethod
    def of(plan: Plan, settings: Settings, target: Target, events: Events, *, root: Path, hooks: Path) -> Surroundings:
        """Those of a build without layers, which starts in the caller's directory."""
        return Surroundings(plan, target, events, root, hooks, Path.cwd(), settings.hook_timeout, plan.mask)


class PhaseRun:
    """The steps of one phase, run in one context (host side or guest)."""

    def __init__(self, around: Surroundings, phase: Phase, variables: Mapping[str, str]) -> None:
        self._around = around
        self.phase = phase
        self.variables = variables
        self._timings: list[tuple[str, float]] = []

    def run(self) -> None:
        """Run the phase's hooks and then what the command line adds to it; HookFailed ends it."""
        steps = self._left_to_run()
        if not steps:
            return
        self._around.events.emit(PhaseStarted(self.phase.name, self._inside(self.phase.directory)))
        self._bring_shell()
        variables = self.sourced_environment()
        for step in steps:
            self._step(step, variables)
        self._around.events.emit(PhaseFinished(self.phase.name, self._timings))

    def _bring_shell(self) -> None:
        """See to it that the guest has bash, without which neither environment.d nor hooks can be read.

        A distribution that comes without it has an element that knows how to get it, as part of the step that follows.
        """
        target = self._around.target
        if self.phase.side is not Side.GUEST or any(map(target.exists, ("/bin/bash", "/usr/bin/bash"))):
            return
        found = self._around.plan.hooks.entries.get(BRING_SHELL)
        if found is None:
            raise ElementError("the guest has no bash, in which hooks are written", hint="--base names another image")
        log = StepLog(self._around.events, self._around.mask)
        code = self._execute(["/bin/sh", self._inside(BRING_SHELL)], self.variables, log)
        log.close()
        if code != 0:
            what = f"failed with exit code {code}: the guest has no bash"
            raise self._hook_failed(BRING_SHELL, found.element, code, log, what)

    def sourced_environment(self) -> Mapping[str, str]:
        """The variables after ``environment.d`` was sourced in this phase's context."""
        directory = self._around.hooks / environment.ENVIRONMENT_DIRECTORY
        names = [path.name for path in directory.iterdir()] if directory.is_dir() else []
        nonce = random_source.token_hex(8)
        script = environment.sourcing_script(names, self._inside(environment.ENVIRONMENT_DIRECTORY), nonce)
        printed = bytearray()
        self._execute(["bash", "--noprofile", "--norc", "-c", script], self.variables, printed.extend)
        result = environment.parse_environment(bytes(printed), nonce)
        log = StepLog(self._around.events, self._around.mask)
        log(result.output)
        log.close()
        if result.variables is None:
            merged = self._around.plan.hooks.entries
            prefix = f"{environment.ENVIRONMENT_DIRECTORY}/"
            raise environment.failure_of(
                result, {path[len(prefix) :]: merged[path].source for path in merged if path.startswith(prefix)}
            )
        return result.variables

    @property
    def has_work(self) -> bool:
        """Whether anything is left to run in this phase."""
        return any((self.phase, step.name) not in self._around.replayed for step in self._steps())

    def _steps(self) -> list[Step]:
        return steps_of(self._around.plan, self.phase, self._around.hooks / self.phase.directory)

    def _left_to_run(self) -> list[Step]:
        """The steps that no layer stands for; the others are told of."""
        left = []
        for step in self._steps():
            record = self._around.replayed.get((self.phase, step.name))
            if record is None:
                left.append(step)
            elif self._around.kept is not None:
                self._around.kept.tell_hit(step, record, self._around.events)
        return left

    def _checkpoint(
        self, step: Step, variables: Mapping[str, str]
    ) -> AbstractContextManager[Callable[[str], None] | None]:
        checkpoints = self._around.checkpoints
        return nullcontext() if checkpoints is None else checkpoints.step(step, variables)

    def _step(self, step: Step, variables: Mapping[str, str]) -> None:
        if self._around.visitor is not None:
            log = StepLog(self._around.events, self._around.mask)
            self._around.visitor.at(self.phase, step.name, variables, log)
        with self._checkpoint(step, variables) as also:
            self._run_step(step, variables, StepLog(self._around.events, self._around.mask, also))

    def _run_step(self, step: Step, variables: Mapping[str, str], log: StepLog) -> None:
        around = self._around
        started = time.monotonic()
        around.events.emit(StepStarted(step.index, self.phase.name, step.element, step.name))
        try:
            code = self._carry_out(step, variables, log)
        except HookTimeout:
            limit = around.hook_timeout or 0.0
            raise self._failed(step, 124, log, f"did not end within {limit:g} s") from None
        finally:
            log.close()
        seconds = time.monotonic() - started
        self._timings.append((step.name, seconds))
        around.events.emit(StepFinished(step.index, self.phase.name, step.element, step.name, code, seconds))
        if code != 0:
            raise self._failed(step, code, log, f"failed with exit code {code}")
        if self.phase is BLOCK_DEVICE and any(line.startswith("IMAGE_BLOCK_DEVICE=") for line in log.tail):
            raise ElementError(
                f"block-device.d/{step.name} of element {step.element} names a block device of its own",
                hint="describe the disk in block-device-default.yaml; the one of the build can't be replaced",
            )

    def _failed(self, step: Step, code: int, log: StepLog, what: str) -> HookFailed:
        what += self._full_disk(log) or self._unknown(log)
        return self._hook_failed(f"{self.phase.directory}/{step.name}", step.element, code, log, what)

    def _hook_failed(self, hook: str, element: str, code: int, log: StepLog, what: str) -> HookFailed:
        whose = f" of element {element}" if element else ""
        error = HookFailed(hook, element, code, reason=f"{hook}{whose} {what}")
        error.phase = self.phase.name
        error.tail = list(log.tail)
        return error

    def _unknown(self, log: StepLog) -> str:
        """Packages that nobody has are named with the element that asked, which package managers don't know."""
        plan = self._around.plan
        asked = dict.fromkeys(plan.settings.packages, "asked for with -p")
        told = explain_unknown(log.tail, plan.packages, asked)
        return f": {told}" if told else ""

    def _full_disk(self, log: StepLog) -> str:
        """A failed step on a full disk failed because of it, whatever it printed; or it has cleaned up since."""
        if no_room := explain_no_room(self._around.root):
            return f": {no_room}"
        try:
            usage = self._around.target.usage()
        except TargetError:
            return ""
        if growth.is_full(usage):
            return f": {growth.explain_full(usage.size)}"
        if any(_NO_SPACE in line for line in log.tail):
            return (
                f": if it was the image's disk of {shown(usage.size)} that had no space left, --image-size gives more"
            )
        return ""

    def _carry_out(self, step: Step, variables: Mapping[str, str], log: StepLog) -> int:
        if step.kind == "hook":
            return self._execute([self._inside(self.phase.directory, step.name)], variables, log)
        if step.kind == "packages":
            return self._execute(["install-packages", *step.argument.split()], variables, log)
        if step.kind == "run":
            return self._execute([self._inside("command-line", step.name)], variables, log)
        if step.kind == "copy-in":
            source, _, directory = step.argument.rpartition(":")
            try:
                self._around.target.copy_in(Path(source), directory)
            except TargetError as error:
                raise TargetError(
                    f"--copy-in {source}: {error}", hint="it takes a directory that the guest has; --run can make one"
                ) from error
            return 0
        if step.kind == "root-password":
            line = f"root:{step.argument}\n".encode()
            return self._around.target.run(["chpasswd"], env=variables, output=log, input=line)
        raise ValueError(f"step of unknown kind {step.kind}")

    def _inside(self, *parts: str) -> str:
        base = HOOKS_IN_GUEST if self.phase.side is Side.GUEST else str(self._around.hooks)
        return "/".join([base, *parts])

    def _execute(self, argv: list[str], variables: Mapping[str, str], output: Callable[[bytes], None]) -> int:
        around = self._around
        if self.phase.side is Side.GUEST:
            return around.target.run(argv, env=variables, output=output, timeout=around.hook_timeout)
        return around.target.run_host(argv, env=variables, output=output, timeout=around.hook_timeout, cwd=around.cwd)
