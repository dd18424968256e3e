"""A shell in the middle of a build: what is opened at the step that is visited, instead of running it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from dib_py.errors import HostError
from dib_py.isolation import Worker
from dib_py.phases import Phase, Side
from dib_py.step_output import StepLog
from dib_py.target import Target


class VisitEnded(Exception):
    """The shell has ended, and with it the reason to go on; ``code`` is its exit code."""

    def __init__(self, code: int) -> None:
        super().__init__()
        self.code = code


@dataclass(frozen=True)
class Visit:
    """Which step is visited, and what is run there: ``command`` in a shell, or a shell for the user without one.

    ``variables`` take the place of the step's environment where it is known from when the step failed.
    """

    phase: Phase
    name: str
    command: str = ""
    variables: Mapping[str, str] | None = None

    @property
    def title(self) -> str:
        return f"{self.phase.directory}/{self.name}"


class Visitor:
    """Opens the shell of one visit when its step's turn comes."""

    def __init__(self, visit: Visit, target: Target, worker: Worker) -> None:
        self._visit = visit
        self._target = target
        self._worker = worker

    def at(self, phase: Phase, name: str, variables: Mapping[str, str], log: StepLog) -> None:
        """Be where a step would run now; raises VisitEnded, or HostError if it is not the one that is visited."""
        visit = self._visit
        if (phase, name) != (visit.phase, visit.name):
            raise HostError(
                f"{phase.directory}/{name} comes before {visit.title}, and no layer of it is kept",
                hint="the elements, or what they are told, are not what they were: build again",
            )
        env = variables if visit.variables is None else visit.variables
        in_guest = phase.side is Side.GUEST
        if visit.command:
            raise VisitEnded(self._run(["sh", "-c", visit.command], env, log, in_guest))
        where = "in the guest" if in_guest else "on this machine"
        self._worker.events.info(f"a shell {where} at {visit.title}; what is done in it is kept nowhere")
        with self._worker.terminal() as terminal:
            raise VisitEnded(self._target.shell(["bash"], env=env, terminal=terminal, in_guest=in_guest))

    def _run(self, argv: list[str], env: Mapping[str, str], log: StepLog, in_guest: bool) -> int:
        run = self._target.run if in_guest else self._target.run_host
        try:
            return run(argv, env=env, output=log)
        finally:
            log.close()
