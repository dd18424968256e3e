"""The table of times that dib-run-parts prints after each phase."""

from __future__ import annotations

from collections.abc import Iterator, Sequence


def profiling(phase: str, timings: Sequence[tuple[str, float]]) -> Iterator[str]:
    """Lines as diskimage-builder prints them: rows sorted bytewise by hook name, an empty line is one space long."""
    yield "----------------------- PROFILING -----------------------"
    yield ""
    yield f"Target: {phase}.d"
    yield ""
    yield f"{'Script':<40} {'Seconds':>9}"
    yield f"{'-' * 39:<40} {'-' * 10:>9}"
    yield ""
    for name, seconds in sorted(timings, key=lambda timing: timing[0].encode()):
        yield f"{name:<40} {seconds:>10.3f}"
    yield ""
    yield "--------------------- END PROFILING ---------------------"
