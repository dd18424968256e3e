"""The verdict's page as text: complete, self-contained, and nothing of the guest's in it but text."""

from __future__ import annotations

import base64
import hashlib
import itertools
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from dib_py.verify.page import counts, page
from dib_py.verify.result import Line
from dib_py.verify.timeline import lanes, ticks, whole
from tests.verify import samples

MAKERS = [samples.good, samples.failed, samples.panicked, samples.unbooted, samples.hostile]
VOID = {"meta", "link", "img", "input"}


class Reader(HTMLParser):
    """Elements with their attributes, their text, and what was closed that was not open."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.unbalanced: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        self.unbalanced += self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if self._open and self._open[-1] == tag:
            self._open.pop()
        else:
            self.unbalanced.append(tag)

    def handle_data(self, data: str) -> None:
        if not {"script", "style"} & set(self._open):
            self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for found, attributes in self.elements if found == tag]


@pytest.mark.parametrize("make", MAKERS)
def test_it_is_whole_and_asks_for_nothing(make: samples.Maker) -> None:
    read = Reader(page(make()))
    assert not read.unbalanced
    identities = [attributes["id"] for _, attributes in read.elements if "id" in attributes]
    assert len(identities) == len(set(identities))
    links = [attributes["href"] for _, attributes in read.elements if attributes.get("href")]
    assert {link[1:] for link in links if link and link != "data:,"} <= set(map(str, identities))
    sources = [str(attributes["src"]) for _, attributes in read.elements if "src" in attributes]
    assert all(source.startswith("data:image/png;base64,") for source in sources)
    assert all(image["alt"] for image in read.all("img"))


@pytest.mark.parametrize("make", MAKERS)
def test_all_that_is_known_is_on_it(make: samples.Maker) -> None:
    verdict = make()
    text = Reader(page(verdict)).text
    assert counts(verdict) in text
    for result in verdict.results:
        assert result.check in text
        assert result.proves in text
    if make is not samples.hostile:
        told = [verdict.reason, verdict.digest, *verdict.terms.values()]
        told += [result.reason for result in verdict.results]
        told += [part for result in verdict.results for one in result.evidence for part in (one.title, one.text)]
        told += [line.text for boot in verdict.boots for line in boot.console]
        assert not [one for one in told if one not in text]


def test_a_hostile_guest_writes_text_and_nothing_else() -> None:
    """The same elements as of a page of harmless text in the same places."""
    verdict = samples.hostile()
    read = Reader(page(verdict))
    assert len(read.all("script")) == 1
    assert not [name for _, attributes in read.elements for name in attributes if name.startswith("on")]
    assert "<script>document.title='owned'</script>" in read.text
    assert "{{ 7*7 }}{% raw %}" in read.text
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f\u202e\ud800]", page(verdict))
    harmless = replace(
        verdict,
        boots=tuple(
            replace(boot, console=tuple(replace(line, text="x") for line in boot.console)) for boot in verdict.boots
        ),
    )
    assert [tag for tag, _ in read.elements] == [tag for tag, _ in Reader(page(harmless)).elements]


def test_lines_that_were_too_many_are_told() -> None:
    verdict = samples.good()
    first = verdict.boots[0]
    kept = (Line(1, 1.0, "first"), Line(12_346, 2.0, "last"))
    text = Reader(page(replace(verdict, boots=(replace(first, console=kept, moments=()),)))).text
    assert "12,344 lines were too many to keep" in text


def test_trouble_has_the_last_words_of_the_console_at_its_top() -> None:
    text = Reader(page(samples.panicked())).text
    assert text.index("The console's last lines") < text.index("Checks")
    assert "The console's last lines" not in Reader(page(samples.failed())).text


def test_what_was_not_booted_has_neither_timeline_of_boots_nor_console() -> None:
    text = Reader(page(samples.unbooted())).text
    assert "Nothing was booted" in text
    assert "Serial console" not in text


def test_the_script_that_may_run_is_the_pages_own() -> None:
    text = page(samples.good())
    script = text.split("<script>")[1].split("</script>")[0]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in text
    assert "default-src 'none'" in text


def test_the_bars_of_a_boot_follow_each_other_and_none_leaves_the_picture() -> None:
    verdict = samples.good()
    drawn = lanes(verdict)
    assert [lane.label for lane in drawn][:3] == ["boot 1", "boot 2", "no-leftovers"]
    for lane in drawn:
        assert all(bar.left >= 0 and bar.left + bar.width <= 100.01 for bar in lane.bars)
        for before, after in itertools.pairwise(lane.bars):
            assert after.left == pytest.approx(before.left + before.width, abs=0.01)
    assert [bar.kind for bar in drawn[0].bars][:3] == ["stage-nothing", "stage-firmware", "stage-bootloader"]


@pytest.mark.parametrize("seconds", [0.001, 0.4, 3, 59, 61, 152.25, 900, 86_400, 10_000_000])
def test_the_axis_has_a_few_round_times(seconds: float) -> None:
    made = ticks(seconds)
    assert 1 <= len(made) <= 9
    assert made[0].left == 0
    assert all(tick.left <= 100 for tick in made)


def test_the_picture_is_as_long_as_what_ends_last() -> None:
    assert whole(replace(samples.good(), seconds=1.0)) == 151.0
