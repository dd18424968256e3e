"""Layers as people and programs read them."""

from __future__ import annotations

import dataclasses
import json
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from datetime import datetime, timezone
from typing import Any

from dib_py.keys import KEYED
from dib_py.layers import eviction
from dib_py.layers.eviction import Entry
from dib_py.layers.record import PackageChanges, Record
from dib_py.layers.store import Store
from dib_py.render.measures import count_of, duration, size

SHORT = 12  # digits of a key


def in_tree_order(entries: Mapping[str, Entry]) -> Iterator[tuple[int, Entry]]:
    """Each layer below the one that it came after, with how many branches led to it; the latest used chain last."""
    after: dict[str, list[Entry]] = defaultdict(list)
    for entry in sorted(entries.values(), key=lambda one: (one.used, one.key)):
        after[entry.parent if entry.parent in entries else ""].append(entry)
    todo = [(0, entry) for entry in reversed(after[""])]
    while todo:
        depth, entry = todo.pop()
        yield depth, entry
        following = after[entry.key]
        todo += [(depth + (len(following) > 1), one) for one in reversed(following)]


def listing(store: Store) -> str:
    """A table of the layers."""
    entries = store.contents().entries
    rows: list[tuple[str, ...]] = [("KEY", "STEP", "ELEMENT", "SIZE", "USED", "TOOK")]
    rows += [_row(depth, entry) for depth, entry in in_tree_order(entries)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [_printable(_aligned(row, widths)) for row in rows] if entries else []
    return "\n".join([*lines, _summary(store, entries)])


def listing_json(store: Store) -> str:
    """The layers as a list of objects, in the same order."""
    contents = store.contents()
    told = [
        {
            "key": entry.key,
            "parent": entry.parent or None,
            "phase": entry.record.phase if entry.record else None,
            "name": entry.record.name if entry.record else None,
            "element": entry.record.element if entry.record else None,
            "target": entry.record.target if entry.record else None,
            "bytes": entry.size,
            "used": datetime.fromtimestamp(entry.used / 1e9, timezone.utc).isoformat(timespec="seconds"),
            "seconds": entry.record.seconds if entry.record else None,
            "merged": entry.merged,
            "usable": entry.merged or contents.usable(entry.key),
        }
        for _, entry in in_tree_order(contents.entries)
    ]
    return json.dumps(told, indent=2)


def record_json(store: Store, record: Record) -> str:
    """A record with where its files are."""
    log, artefacts = store.log(record.key), store.artefacts(record.key)
    paths = {
        "layer_file": str(store.places.layer(record.key)) if record.digest else None,
        "log_file": str(log) if log else None,
        "artefacts_file": str(artefacts) if artefacts else None,
    }
    return json.dumps({**dataclasses.asdict(record), **paths}, indent=2, sort_keys=True)


def record_text(store: Store, record: Record) -> str:
    """A record for people."""
    step, own = record.ingredients, store.contents().entries[record.key]
    rows: list[tuple[str, Any]] = [
        ("key", record.key),
        ("step", record.title),
        ("element", record.element),
        ("kind", record.kind if record.kind != "hook" else ""),
        ("after", record.parent if record.parent_content else f"{record.parent} (the base)"),
        ("base image", f"{record.base.location} {record.base.digest}" if record.base else ""),
        ("size", "merged into a later layer" if own.merged else size(own.size)),
        ("took", duration(record.seconds)),
        ("finished", record.finished),
        ("last used", _when(own.used)),
        ("target", record.target),
        ("dib-py", record.engine),
        ("fetches", f"packages of {step.epoch}" if step.epoch else ""),
        ("argument", _value(step.argument)),
        ("packages asked for", " ".join(step.packages or ())),
    ]
    lines = [f"{title:18}  {value}" for title, value in rows if value]
    for title, items in (
        ("packages", _changes(record.packages) if record.packages else []),
        ("files outside the image", record.artefacts),
        ("variables in the key", [f"{name}={_value(value)}" for name, value in sorted(step.variables.items())]),
        ("files in the key", sorted([*step.files, *step.variable_files])),
    ):
        if items:
            lines += ["", f"{title}:", *(f"  {item}" for item in items)]
    return "\n".join(map(_printable, lines))


def _row(depth: int, entry: Entry) -> tuple[str, ...]:
    record = entry.record
    if record is None:
        what = "a newer dib-py's" if entry.future else "its record can't be read"
        return entry.key[:SHORT], what, "", size(entry.size), _when(entry.used), ""
    own = "merged" if entry.merged else size(entry.size)
    step = f"{'  ' * depth}{record.title}"
    return entry.key[:SHORT], step, record.element, own, _when(entry.used), duration(record.seconds)


def _aligned(row: tuple[str, ...], widths: list[int]) -> str:
    key, step, element, own, used, took = (text.ljust(width) for text, width in zip(row, widths, strict=True))
    return f"{key}  {step}  {element}  {own.strip():>{widths[3]}}  {used}  {took.strip():>{widths[5]}}"


def _summary(store: Store, entries: Mapping[str, Entry]) -> str:
    failed = len(eviction.failures(store.places))
    more = f", {count_of(failed, 'failed step')}" if failed else ""
    limit = f" of {size(store.cap)}" if store.cap is not None else ""
    return f"{count_of(len(entries), 'layer')}{more}, {size(eviction.total(store.places))}{limit} in {store.directory}"


def _printable(line: str) -> str:
    """A record of another machine may hold anything; a terminal would do what it says."""
    return "".join(one if one.isprintable() else "?" for one in line)


def _when(used: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(used / 1e9))


def _value(text: str) -> str:
    return "(secret)" if text.startswith(KEYED) else text


def _changes(packages: PackageChanges) -> list[str]:
    before, after = packages.before, packages.after
    lines = []
    for name in sorted({*before, *after}):
        if name not in before:
            lines.append(f"+ {name} {after[name]}")
        elif name not in after:
            lines.append(f"- {name} {before[name]}")
        else:
            lines.append(f"~ {name} {before[name]} -> {after[name]}")
    return lines
