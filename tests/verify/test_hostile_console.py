"""A console from a guest that means harm, from its bytes to what people and programs get."""

from __future__ import annotations

import json
import random
import tracemalloc
from dataclasses import replace
from xml.etree import ElementTree

import pytest

from dib_py.verify.junit import junit
from dib_py.verify.page import page
from dib_py.verify.result import Verdict
from dib_py.verify.transcript import FIRST, LAST, Transcript
from dib_py.verify.verdict_json import from_json, to_json
from tests.verify import samples

MB = 1_000_000
NOISE = random.Random(5).randbytes(64 * 1024)
FLOODS = {
    "lines": b"[    1.000000] the same message again and again\r\n" * 80,
    "random bytes": NOISE,
    "no line ends": b"x" * 4096,
    "only line ends": b"\n" * 4096,
    "escapes without an end": b"\x1b[" * 2048,
    "a title without an end": b"\x1b]0;" + b"t" * 4092,
    "a screen that is cleared": b"\x1b[2J\x1b[H.a" * 400,
    "broken UTF-8": b"\xf0\x9f\x92\n\xc0\xaf\xed\xa0\x80" * 500,
    "markup": b"</pre><script>alert(1)</script>]]>&amp;\n" * 100,
    "combining characters": "a\u0301\u0302\u0303\u0304\n".encode() * 400,
}
# Of short lines much less is kept, and each takes as long as a long one.
SHORT = {"only line ends", "a screen that is cleared", "broken UTF-8", "combining characters"}


def amount(kind: str) -> int:
    """Bytes of which not all are kept."""
    return MB // 5 if kind in SHORT else MB


def flooded(kind: str) -> Verdict:
    transcript = Transcript()
    came = 0
    while came < amount(kind):
        transcript.feed(FLOODS[kind], came / MB)
        came += len(FLOODS[kind])
    report = replace(samples.boot(), console=transcript.lines)
    return replace(samples.panicked(), boots=(report,))


@pytest.mark.parametrize("kind", FLOODS)
def test_whatever_comes_becomes_a_verdict_of_a_bounded_size(kind: str) -> None:
    verdict = flooded(kind)
    text = to_json(verdict)
    assert from_json(text) == verdict
    assert len(text) < 12 * MB
    ElementTree.fromstring(junit(verdict))
    shown = page(verdict)
    assert len(shown.encode()) < 12 * MB
    assert "<script>alert" not in shown
    assert json.loads(text)["boots"][0]["console"] or kind.endswith("an end")


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["lines", "random bytes", "no line ends", "a title without an end"])
def test_of_fifty_megabytes_not_all_is_kept(kind: str) -> None:
    flood = FLOODS[kind]
    transcript = Transcript()
    for _ in range(50 * MB // len(flood)):
        transcript.feed(flood, 1.0)
    assert sum(len(line.text) for line in transcript.lines) <= FIRST + LAST + 4096


@pytest.mark.parametrize("kind", FLOODS)
def test_memory_is_bounded(kind: str) -> None:
    flood = FLOODS[kind]
    transcript = Transcript(first=FIRST // 8, last=LAST // 8)
    tracemalloc.start()
    try:
        for _ in range(amount(kind) // 4 // len(flood)):
            transcript.feed(flood, 1.0)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < MB
