"""Hooks on this machine where no guest's tree is to be seen: they fetch things, and no more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from dib_py.target import Output, host_run


class HostSide:
    """The part of a :class:`dib_py.target.Target` that runs them."""

    def run_host(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str],
        output: Output,
        timeout: float | None = None,
        cwd: Path | None = None,
    ) -> int:
        return host_run.host_side(argv, env=env, output=output, cwd=cwd, timeout=timeout)
