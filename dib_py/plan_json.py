"""The plan as JSON, for programs; ``dib_py/schema/plan.json`` is its schema.

Secrets are masked where text from outside may hold one; names of elements, phases and files are what they are, even
if somebody's password is the same word.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from dib_py.disk.layout import Layout
from dib_py.plan import Plan, Step
from dib_py.secrets import MASKED, PROXY, Mask

if TYPE_CHECKING:
    from dib_py.explain import Why
    from dib_py.prospect import Outlook

VERSION = 1  # of the format; a new key raises nothing, a changed meaning does


def to_json(plan: Plan, outlooks: Iterable[Outlook] = ()) -> str:
    """The document as indented text."""
    return json.dumps(to_dict(plan, outlooks), indent=2)


def to_dict(plan: Plan, outlooks: Iterable[Outlook] = ()) -> dict[str, Any]:
    """The document as plain values; ``outlooks`` say what the store has of the steps."""
    mask = plan.mask
    cache = {(one.step.phase, one.step.name): _cache(one, mask) for one in outlooks}
    return {
        "version": VERSION,
        "base": _base(plan, mask),
        "elements": [
            {"name": element.name, "path": str(element.path), "requested": element.name in plan.settings.elements}
            for element in plan.elements
        ],
        "steps": [{**_step(step, mask), **cache.get((step.phase, step.name), {})} for step in plan.steps],
        "packages": [
            {
                "phase": slot.phase,
                "action": slot.action,
                "part": slot.part,
                "packages": [{"name": name, "elements": list(elements)} for name, elements in wanted.items()],
            }
            for slot, wanted in plan.packages.slots.items()
        ],
        "outputs": [{"path": output.path, "format": output.format} for output in plan.outputs],
        "environment": mask.environment(_environment(plan)),
        "warnings": [mask(warning) for warning in plan.warnings],
    }


def _environment(plan: Plan) -> dict[str, str]:
    """What the build and environment.d make of the caller's environment, and what of that is meant for builds.

    The rest is the caller's own business and no program that reads plans should get to see it.
    """
    inherited = plan.settings.environ
    return {
        name: value
        for name, value in sorted(plan.environment.items())
        if inherited.get(name) != value or name.startswith("DIB_") or PROXY.fullmatch(name)
    }


def _base(plan: Plan, mask: Mask) -> dict[str, Any]:
    if plan.base is not None:
        image = {
            "kind": "image",
            "location": mask(str(plan.base)),
            "checksum": mask(plan.base.checksum),
            "source": plan.base.source,
        }
        if plan.layout is None:
            return image
        return {**image, "moves_to": {"source": plan.layout.source, "disk": _disk(plan.layout)}}
    return {"kind": "blank", "source": plan.layout.source if plan.layout else "", "disk": _disk(plan.layout)}


def _disk(layout: Layout | None) -> list[dict[str, Any]]:
    if layout is None:
        return []
    return [
        {"mount_point": fs.mount_point, "type": fs.type, "label": fs.label, "on": fs.base} for fs in layout.filesystems
    ]


def _step(step: Step, mask: Mask) -> dict[str, Any]:
    return {
        "index": step.index,
        "phase": step.phase.name,
        "side": step.phase.side.value,
        "kind": step.kind,
        "element": step.element,
        "name": step.name,
        "source": None if step.source is None else str(step.source),
        "argument": MASKED if step.kind == "root-password" else mask(step.argument),
        "key": step.key,
    }


def _cache(outlook: Outlook, mask: Mask) -> dict[str, Any]:
    record, why = outlook.record, outlook.why
    if record is not None:
        return {"cache": {"state": "hit", "seconds": record.seconds, "why": None}}
    return {"cache": {"state": "run", "seconds": None, "why": None if why is None else _why(why, mask)}}


def _why(why: Why, mask: Mask) -> dict[str, Any]:
    changes = [
        {
            "input": change.input,
            "name": change.name,
            "before": None if change.before is None else mask(change.before),
            "after": None if change.after is None else mask(change.after),
        }
        for change in why.changes
    ]
    return {"reason": why.reason, "text": mask(why.text), "changes": changes}
