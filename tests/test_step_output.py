"""Chunks to lines: any split of the same bytes gives the same events."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from dib_py.events import Event, Events, StepOutput
from dib_py.step_output import LONGEST, TAIL, StepLog


def lines_of(*chunks: bytes) -> list[str]:
    seen: list[str] = []

    def collect(event: Event) -> None:
        assert isinstance(event, StepOutput)
        seen.append(event.text)

    log = StepLog(Events(collect), lambda text: text.replace("hunter2", "***"))
    for chunk in chunks:
        log(chunk)
    log.close()
    return seen


@given(st.binary(max_size=200), st.lists(st.integers(0, 200), max_size=5))
def test_the_split_does_not_matter(data: bytes, cuts: list[int]) -> None:
    ends = [*sorted(cuts), len(data)]
    chunks = [data[start:end] for start, end in zip([0, *ends], ends, strict=False)]
    assert lines_of(*chunks) == lines_of(data)


def test_last_line_without_newline_counts() -> None:
    assert lines_of(b"one\ntwo") == ["one", "two"]


def test_invalid_utf8_is_replaced_and_secrets_are_masked() -> None:
    assert lines_of(b"\xff password hunter2\n") == ["\ufffd password ***"]


def test_a_line_without_end_is_cut_and_memory_stays_bounded() -> None:
    lines = lines_of(*[b"x" * 5000] * 20)
    assert max(map(len, lines)) <= LONGEST
    assert sum(map(len, lines)) == 100_000


def test_the_tail_holds_the_last_lines() -> None:
    log = StepLog(Events(), lambda text: text)
    for number in range(100):
        log(b"%d\n" % number)
    assert list(log.tail) == [str(n) for n in range(100 - TAIL, 100)]
