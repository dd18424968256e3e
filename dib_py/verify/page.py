"""The verdict as one HTML page that needs nothing else: no network, no other file, and no script to be read.

What the guest wrote is on it word for word, and nobody vouches for the guest: everything is escaped by the template,
and the page's content security policy lets no script run but its own, nor anything be fetched.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup

import dib_py
from dib_py.render.measures import duration
from dib_py.verify.result import BootReport, Line, Outcome, Stage, Verdict
from dib_py.verify.timeline import Lane, lanes, stage_kind, ticks, whole
from dib_py.verify.transcript import readable

LAST_WORDS = 15  # lines of the console at the top of a page that tells of trouble
_CHUNK = 200  # lines that a browser lays out together, when they come into view


@dataclass(frozen=True)
class _Row:
    """A line of the console, or a gap of that many lines; ``told`` is what the line was the first sign of."""

    anchor: str = ""
    number: int = 0
    at: str = ""
    text: str = ""
    told: str = ""
    gap: str = ""


def page(verdict: Verdict) -> str:
    """The page's text."""
    template, style, script = _template()
    drawn = lanes(verdict)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return template.render(
        verdict=verdict,
        name=Path(verdict.image).name,
        program_version=dib_py.__version__,
        style=Markup(style),
        script=Markup(script),
        script_hash=f"sha256-{digest}",
        facts=list(facts(verdict)),
        counts=counts(verdict),
        last_words=verdict.last_words(LAST_WORDS),
        stages=_stages(drawn),
        lanes=drawn,
        ticks=ticks(whole(verdict)),
        happened=list(_happened(verdict)),
        boots=[_boot(boot) for boot in verdict.boots],
    )


def facts(verdict: Verdict) -> Iterator[tuple[str, str]]:
    """What a reader wants to know of a verification besides its result, as terms and values."""
    if verdict.profile:
        yield "Profile", verdict.profile
    if verdict.boots:
        yield "Reached", verdict.stage.word
        yield "Accelerator", verdict.accelerator
        yield "Firmware", verdict.firmware
        yield "qemu", verdict.qemu_version
    yield from ((name.capitalize(), value) for name, value in verdict.terms.items())
    yield "Verified", time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(verdict.started))
    yield "Took", duration(verdict.seconds)


def counts(verdict: Verdict) -> str:
    """How many checks ended how: ``11 passed, 1 failed, 2 not run``."""
    ended = ((len(verdict.of(outcome)), outcome.value) for outcome in Outcome)
    return ", ".join(f"{count} {word}" for count, word in ended if count)


@functools.cache
def _template() -> tuple[Template, str, str]:
    loader = PackageLoader("dib_py.verify", "templates")
    environment = Environment(
        loader=loader,
        autoescape=True,
        finalize=_shown,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["duration"] = duration
    style, script = (loader.get_source(environment, f"verdict.{kind}")[0].strip() for kind in ("css", "js"))
    return environment.get_template("verdict.html"), style, script


def _shown(value: Any) -> Any:
    """What goes into the page for a value of the template: it is escaped after this."""
    return readable(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _stages(drawn: Iterable[Lane]) -> list[str]:
    """The stages that have a bar, in their order."""
    kinds = {bar.kind for lane in drawn for bar in lane.bars}
    return [stage.word for stage in Stage if stage_kind(stage) in kinds]


def _happened(verdict: Verdict) -> Iterator[dict[str, Any]]:
    """The timeline as text, in order of time."""
    moments: list[tuple[float, str, str, str]] = []
    for boot in verdict.boots:
        kept = {line.number for line in boot.console}
        for moment in boot.moments:
            anchor = _anchor(boot, moment.line) if moment.line in kept else ""
            moments.append((moment.at, str(boot.number), moment.text, anchor))
    for number, result in enumerate(verdict.results, start=1):
        if result.outcome is not Outcome.NOT_RUN:
            ended = result.started + result.seconds
            moments.append((ended, "", f"{result.check} {result.outcome.value}", f"check-{number}"))
    for at, boot_number, text, anchor in sorted(moments):
        yield {"at": at, "boot": boot_number, "text": text, "anchor": anchor}


def _boot(boot: BootReport) -> dict[str, Any]:
    rows = list(_rows(boot))
    kept = {line.number for line in boot.console}
    return {
        "number": boot.number,
        "stage": boot.stage.word,
        "ending": boot.ending,
        "screenshot": Markup(base64.b64encode(boot.screenshot or b"").decode("ascii")),
        "chunks": [rows[start : start + _CHUNK] for start in range(0, len(rows), _CHUNK)],
        "count": f"{len(boot.console):,}",
        "end": rows[-1].anchor if rows else "",
        "jumps": [
            {"anchor": _anchor(boot, moment.line), "stage": moment.stage.word, "title": moment.text}
            for moment in boot.moments
            if moment.stage is not None and moment.line in kept
        ],
    }


def _rows(boot: BootReport) -> Iterator[_Row]:
    told = {
        number: ", ".join(moment.stage.word if moment.stage else moment.text for moment in moments)
        for number, moments in groupby(
            sorted((moment for moment in boot.moments if moment.line is not None), key=lambda moment: moment.line or 0),
            key=lambda moment: moment.line,
        )
    }
    expected = 1
    for line in boot.console:
        if line.number > expected:
            yield _Row(gap=f"{line.number - expected:,}")
        expected = line.number + 1
        yield _row(boot, line, told.get(line.number, ""))


def _row(boot: BootReport, line: Line, told: str) -> _Row:
    return _Row(_anchor(boot, line.number), line.number, f"{line.at:.2f}", line.text, told)


def _anchor(boot: BootReport, number: int | None) -> str:
    return f"boot-{boot.number}-line-{number}"
