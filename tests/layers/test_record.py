"""Records survive the way to disk and back, and nothing else passes for one."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from dib_py.keys import Ingredients
from dib_py.layers.record import BaseRecord, BindMount, DiskState, PackageChanges, Record, framed

INGREDIENTS = Ingredients(
    parent="0" * 40,
    engine="e",
    phase="install.d",
    kind="hook",
    name="10-x",
    mode="755",
    content="c",
    files={"static/motd": "m"},
    variables={"DIB_RELEASE": "bookworm", "DIB_ODD": "\udcff\n"},
    variable_files={},
    packages=("vim", "htop"),
    argument="",
    epoch="2026-01-01",
)
RECORD = Record(
    key=INGREDIENTS.key,
    phase="install.d",
    element="x",
    name="10-x",
    kind="hook",
    ingredients=INGREDIENTS,
    backing="0" * 40,
    disk=DiskState(2**30, 2**40, roomy=True, uuids={"root": "1-2"}),
    base=BaseRecord("https://example.org/x.qcow2", "qcow2", "sha256:0"),
    digest="d",
    allocated=700_000,
    seconds=1.5,
    finished="2026-01-01T00:00:00Z",
    target="host",
    engine="0.1.0",
    packages=PackageChanges({"vim": "1"}, {"vim": "2"}),
    artefacts=("output/x.manifest",),
    mounts=(BindMount("/var/cache/x", "/var/cache/y"),),
)


@pytest.mark.parametrize(
    "record",
    [RECORD, replace(RECORD, base=None, packages=None, artefacts=(), mounts=())],
    ids=["all", "little"],
)
def test_a_record_survives(record: Record) -> None:
    read = Record.from_json(record.to_json())
    assert read == record
    assert read.ingredients.key == record.key


def test_a_record_says_what_people_ask() -> None:
    assert (RECORD.title, RECORD.parent) == ("install.d/10-x", "0" * 40)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda data: data.pop("digest"),
        lambda data: data.update(more=1),
        lambda data: data.update(disk={"size": 1}),
        lambda data: data.update(ingredients={}),
        lambda data: data.update(ingredients=None),
        lambda data: data["ingredients"].pop("variable_files"),
        lambda data: data.update(artefacts=None),
        lambda data: data.update(artefacts="x"),
        lambda data: data.update(mounts=[["a", "b"]]),
        lambda data: data.update(seconds="1"),
        lambda data: data.update(allocated=True),
        lambda data: data.update(packages=[]),
    ],
)
def test_what_is_no_record(spoil: Callable[[dict[str, Any]], object]) -> None:
    data = json.loads(RECORD.to_json())["record"]
    assert Record.from_json(framed(json.dumps(data))) == RECORD
    spoil(data)
    with pytest.raises(ValueError):
        Record.from_json(framed(json.dumps(data)))


@pytest.mark.parametrize("text", ["", "[]", "1", "null", RECORD.to_json()[:-20], '"x"'])
def test_torn_text_is_no_record(text: str) -> None:
    with pytest.raises(ValueError):
        Record.from_json(text)
