"""Stop points (``break=before-install,after-error``): a shell where the build stands, and on with it when that ends."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from dib_py.checkpoints import Checkpoints
from dib_py.errors import DibError
from dib_py.isolation import Worker
from dib_py.phases import AFTER_ERROR, Phase, Side
from dib_py.target import Target


class Breakpoints:
    """The points that were asked for, and how the shell is opened there."""

    def __init__(
        self,
        points: tuple[str, ...],
        environ: Mapping[str, str],
        target: Target,
        worker: Worker,
        checkpoints: Checkpoints | None,
    ) -> None:
        self._points = frozenset(points)
        self._command = environ.get("break_cmd") or "bash"
        self._outside = bool(environ.get("break_outside_target"))
        self._target = target
        self._worker = worker
        self._checkpoints = checkpoints

    def stops_in(self, phase: Phase) -> bool:
        """Whether there is a point before or after this phase."""
        return not self._points.isdisjoint({f"before-{phase.name}", f"after-{phase.name}"})

    @contextmanager
    def around(self, phase: Phase, variables: Mapping[str, str]) -> Iterator[None]:
        """Stop before and after a phase, and where it fails, if that was asked for."""
        guest = phase.side is Side.GUEST
        self._stop(f"before-{phase.name}", variables, guest)
        try:
            yield
        except DibError:
            self._stop(AFTER_ERROR, variables, guest and not self._outside)
            raise
        self._stop(f"after-{phase.name}", variables, guest)

    def _stop(self, point: str, variables: Mapping[str, str], guest: bool) -> None:
        if point not in self._points:
            return
        where = "in the guest" if guest else "on this machine"
        then = "ends" if point == AFTER_ERROR else "goes on"
        if self._checkpoints is not None and point != AFTER_ERROR:
            self._checkpoints.stop("what is done in a shell is in no key")
        self._worker.events.info(f"break point {point}: a shell {where}; the build {then} when the shell does")
        with self._worker.terminal() as terminal:
            self._target.shell([self._command], env=variables, terminal=terminal, in_guest=guest)
