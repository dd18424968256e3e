"""The verdict as JSON, for programs and for the next verification; ``dib_py/schema/verdict.json`` is its schema.

All that is known is in it, the screenshots too, so that a page or a report can be made of it again.
"""

from __future__ import annotations

import base64
import json
import math
from typing import Any

from dib_py.verify.result import BootReport, Evidence, Line, Moment, Outcome, Result, Stage, Verdict

VERSION = 1  # of the format; a new key raises nothing, a changed meaning does

_STAGES = {stage.word: stage for stage in Stage}


def to_json(verdict: Verdict) -> str:
    """The document as indented text."""
    return json.dumps(to_dict(verdict), indent=2, allow_nan=False)


def from_json(text: str) -> Verdict:
    """The verdict that :func:`to_json` wrote; ValueError for anything else, another version of the format too."""
    try:
        document = json.loads(text)
        if document["version"] != VERSION:
            raise ValueError(f"version {document['version']} of the format is not known")
        return _verdict(document)
    except (KeyError, TypeError, AttributeError, RecursionError, OverflowError) as error:
        raise ValueError(f"this is no verdict: {error!r}") from error


def to_dict(verdict: Verdict) -> dict[str, Any]:
    """The document as plain values."""
    return {
        "version": VERSION,
        "image": verdict.image,
        "digest": verdict.digest,
        "profile": verdict.profile,
        "outcome": verdict.outcome.value,
        "reason": verdict.reason,
        "stage": verdict.stage.word,
        "accelerator": verdict.accelerator,
        "firmware": verdict.firmware,
        "qemu_version": verdict.qemu_version,
        "started": verdict.started,
        "seconds": verdict.seconds,
        "limit": verdict.limit,
        "terms": dict(verdict.terms),
        "engine": verdict.engine,
        "checks": [_of_result(result) for result in verdict.results],
        "boots": [_of_boot(boot) for boot in verdict.boots],
    }


def _of_result(result: Result) -> dict[str, Any]:
    return {
        "name": result.check,
        "version": result.version,
        "proves": result.proves,
        "outcome": result.outcome.value,
        "reason": result.reason,
        "started": result.started,
        "seconds": result.seconds,
        "evidence": [{"title": evidence.title, "text": evidence.text} for evidence in result.evidence],
    }


def _of_boot(boot: BootReport) -> dict[str, Any]:
    return {
        "number": boot.number,
        "stage": boot.stage.word,
        "ending": boot.ending,
        "started": boot.started,
        "seconds": boot.seconds,
        "timeline": [
            {
                "at": moment.at,
                "text": moment.text,
                "stage": None if moment.stage is None else moment.stage.word,
                "line": moment.line,
            }
            for moment in boot.moments
        ],
        "console": [{"number": line.number, "at": line.at, "text": line.text} for line in boot.console],
        "screenshot": None if boot.screenshot is None else base64.b64encode(boot.screenshot).decode("ascii"),
    }


def _verdict(document: dict[str, Any]) -> Verdict:
    return Verdict(
        image=str(document["image"]),
        digest=str(document["digest"]),
        profile=str(document["profile"]),
        outcome=Outcome(document["outcome"]),
        reason=str(document["reason"]),
        stage=_STAGES[document["stage"]],
        results=tuple(_result(entry) for entry in document["checks"]),
        boots=tuple(_boot(entry) for entry in document["boots"]),
        accelerator=str(document["accelerator"]),
        firmware=str(document["firmware"]),
        qemu_version=str(document["qemu_version"]),
        started=_seconds(document["started"]),
        seconds=_seconds(document["seconds"]),
        limit=_seconds(document["limit"]),
        terms={str(name): str(value) for name, value in document["terms"].items()},
        engine=int(document["engine"]),
    )


def _result(entry: dict[str, Any]) -> Result:
    return Result(
        check=str(entry["name"]),
        proves=str(entry["proves"]),
        outcome=Outcome(entry["outcome"]),
        reason=str(entry["reason"]),
        evidence=tuple(Evidence(str(one["title"]), str(one["text"])) for one in entry["evidence"]),
        started=_seconds(entry["started"]),
        seconds=_seconds(entry["seconds"]),
        version=int(entry["version"]),
    )


def _boot(entry: dict[str, Any]) -> BootReport:
    screenshot = entry["screenshot"]
    return BootReport(
        number=int(entry["number"]),
        stage=_STAGES[entry["stage"]],
        ending=str(entry["ending"]),
        started=_seconds(entry["started"]),
        seconds=_seconds(entry["seconds"]),
        moments=tuple(_moment(one) for one in entry["timeline"]),
        console=tuple(Line(int(one["number"]), _seconds(one["at"]), str(one["text"])) for one in entry["console"]),
        screenshot=None if screenshot is None else base64.b64decode(screenshot, validate=True),
    )


def _moment(entry: dict[str, Any]) -> Moment:
    stage, line = entry["stage"], entry["line"]
    return Moment(
        at=_seconds(entry["at"]),
        text=str(entry["text"]),
        stage=None if stage is None else _STAGES[stage],
        line=None if line is None else int(line),
    )


def _seconds(value: Any) -> float:
    """A number that there is: JSON as Python reads it has others too."""
    seconds = float(value)
    if not math.isfinite(seconds):
        raise ValueError(f"{value} is no time")
    return seconds
