"""The verdict as JSON: what its schema says, and what can be read back."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from importlib.resources import files

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dib_py.verify.result import (
    BootReport,
    Evidence,
    Line,
    Moment,
    Outcome,
    Result,
    Stage,
    Verdict,
)
from dib_py.verify.verdict_json import from_json, to_dict, to_json
from tests.verify import samples

SCHEMA = json.loads((files("dib_py") / "schema" / "verdict.json").read_text())
ALL = [samples.good, samples.failed, samples.panicked, samples.unbooted, samples.hostile]

TEXT = st.text(max_size=12)
SECONDS = st.floats(0, 1e6, allow_nan=False)
OUTCOME = st.sampled_from(Outcome)
STAGE = st.sampled_from(Stage)
NUMBER = st.integers(1, 10**9)


def several(values: st.SearchStrategy) -> st.SearchStrategy:
    return st.lists(values, max_size=3).map(tuple)


RESULTS = st.builds(
    Result, TEXT, TEXT, OUTCOME, TEXT, several(st.builds(Evidence, TEXT, TEXT)), SECONDS, SECONDS, NUMBER
)
BOOTS = st.builds(
    BootReport,
    NUMBER,
    STAGE,
    TEXT,
    SECONDS,
    SECONDS,
    several(st.builds(Moment, SECONDS, TEXT, st.none() | STAGE, st.none() | NUMBER)),
    several(st.builds(Line, NUMBER, SECONDS, TEXT)),
    st.none() | st.binary(max_size=20),
)
VERDICTS = st.builds(
    Verdict,
    image=TEXT,
    digest=st.sampled_from(["", samples.DIGEST]),
    profile=TEXT,
    outcome=OUTCOME,
    reason=TEXT,
    stage=STAGE,
    results=several(RESULTS),
    boots=several(BOOTS),
    accelerator=TEXT,
    firmware=TEXT,
    qemu_version=TEXT,
    started=SECONDS,
    seconds=SECONDS,
    limit=SECONDS,
    terms=st.dictionaries(TEXT, TEXT, max_size=2),
    engine=NUMBER,
)


@pytest.mark.parametrize("make", ALL)
def test_what_verifications_make_is_what_the_schema_says(make: samples.Maker) -> None:
    document = json.loads(to_json(make()))
    jsonschema.validate(document, SCHEMA)
    assert [check["name"] for check in document["checks"]] == [result.check for result in make().results]


@given(VERDICTS)
def test_a_verdict_can_be_read_back_whatever_is_in_it(verdict: Verdict) -> None:
    text = to_json(verdict)
    assert from_json(text) == verdict
    jsonschema.validate(json.loads(text), SCHEMA)


@pytest.mark.parametrize("limit", [math.nan, math.inf])
def test_what_is_no_number_in_json_is_not_written(limit: float) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        to_json(replace(samples.good(), limit=limit))


def test_the_schema_allows_nothing_that_is_not_in_it() -> None:
    document = to_dict(samples.good())
    for spoil in ({"stage": "moon"}, {"outcome": "maybe"}, {"surprise": 1}, {"digest": "sha256:00"}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({**document, **spoil}, SCHEMA)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "null",
        "{}",
        "[" * 100_000,
        '{"version": 2}',
        to_json(samples.good())[:-40],
        to_json(samples.good()).replace('"login"', '"moon"'),
        to_json(samples.good()).replace('"started": 0.5', '"started": "soon"'),
        to_json(samples.good()).replace('"started": 0.5', '"started": NaN'),
        to_json(samples.good()).replace('"limit": 900.0', '"limit": 1e999'),
        to_json(replace(samples.good(), engine=77)).replace('"engine": 77', '"engine": 1e999'),
        to_json(samples.good()).replace('"screenshot": "', '"screenshot": "!'),
        to_json(samples.good()).replace('"terms": {', '"terms": 1, "x": {'),
    ],
)
def test_what_is_no_verdict_is_told_from_one(text: str) -> None:
    with pytest.raises(ValueError):
        from_json(text)
