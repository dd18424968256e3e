"""The verdict beside the image: when it answers, and when the image has to be verified anew."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from dib_py.errors import OutputError
from dib_py.verify.kept import Asked, keep, page_path, recall, verdict_path
from dib_py.verify.result import ENGINE, Outcome, Verdict
from dib_py.verify.verdict_json import from_json
from tests.verify import samples


def asked_of(verdict: Verdict, **more: object) -> Asked:
    checks = {result.check: result.version for result in verdict.results}
    asked = Asked(verdict.digest, verdict.profile, checks, verdict.limit, "tcg", verdict.terms)
    return replace(asked, **more)


@pytest.fixture
def image(tmp_path: Path) -> Path:
    return tmp_path / "debian12.qcow2"


def test_an_image_that_has_not_changed_has_its_verdict(image: Path) -> None:
    verdict = replace(samples.good(), image=str(image))
    page, kept = keep(image, verdict)
    assert (page, kept) == (page_path(image), verdict_path(image))
    assert page.name == "debian12.qcow2.verdict.html"
    assert page.read_text().startswith("<!DOCTYPE html>")
    assert recall(image, asked_of(verdict)) == verdict
    assert sorted(path.name for path in image.parent.iterdir()) == [page.name, kept.name]


def test_a_copy_takes_its_verdict_along(image: Path, tmp_path: Path) -> None:
    keep(image, samples.good())
    copy = tmp_path / "copy.qcow2"
    verdict_path(image).rename(verdict_path(copy))
    found = recall(copy, asked_of(samples.good()))
    assert found is not None
    assert found.image == str(copy)


@pytest.mark.parametrize(
    "other",
    [
        {"digest": "blake2b:" + "0" * 64},
        {"terms": {"memory": "2048 MiB"}},
        {"terms": {}},
        {"checks": {"boots": 1, "no-leftovers": 1, "growroot": 2, "second-boot": 1}},
        {"checks": {"boots": 1, "qga": 1}},
        {"checks": {}},
    ],
)
def test_another_question_has_no_answer_yet(image: Path, other: dict[str, object]) -> None:
    keep(image, samples.good())
    assert recall(image, asked_of(samples.good(), **other)) is None


def test_an_engine_that_may_judge_otherwise_judges_anew(image: Path) -> None:
    verdict = replace(samples.good(), engine=ENGINE + 1)
    keep(image, verdict)
    assert recall(image, asked_of(verdict)) is None


def test_a_verdict_on_more_checks_answers_for_fewer(image: Path) -> None:
    keep(image, samples.good())
    found = recall(image, asked_of(samples.good(), checks={"boots": 1, "growroot": 1}, profile=""))
    assert found is not None
    assert ([result.check for result in found.results], found.profile) == (["boots", "growroot"], "")
    assert found.passed


def test_what_the_others_found_is_no_matter_then(image: Path) -> None:
    keep(image, samples.failed())
    good = recall(image, asked_of(samples.failed(), checks={"boots": 1}))
    assert good is not None
    assert (good.outcome, good.reason) == (Outcome.PASSED, "")
    bad = recall(image, asked_of(samples.failed(), checks={"boots": 1, "growroot": 1}))
    assert bad is not None
    assert bad.outcome is Outcome.FAILED
    assert bad.reason.startswith("growroot: ")


def test_a_failure_is_no_answer_for_who_gives_more_time(image: Path) -> None:
    verdict = samples.panicked()
    keep(image, verdict)
    assert recall(image, asked_of(verdict)) is not None
    assert recall(image, asked_of(verdict, limit=verdict.limit / 2)) is not None
    assert recall(image, asked_of(verdict, limit=verdict.limit + 1)) is None


def test_a_failure_without_kvm_is_no_answer_with_it(image: Path) -> None:
    keep(image, samples.panicked())
    assert recall(image, asked_of(samples.panicked(), accelerator="kvm")) is None
    keep(image, samples.good())
    assert recall(image, asked_of(samples.good(), accelerator="kvm")) is not None


def test_a_good_image_stays_good_however_much_time_is_given(image: Path) -> None:
    keep(image, samples.good())
    for limit in (1.0, 10_000.0):
        assert recall(image, asked_of(samples.good(), limit=limit)) is not None


def test_checks_that_were_not_run_are_tried_again(image: Path) -> None:
    keep(image, samples.unbooted())
    assert recall(image, asked_of(samples.unbooted())) is None
    keep(image, samples.failed())
    assert recall(image, asked_of(samples.failed(), checks={"boots": 1, "no-leftovers": 1})) is None


def test_an_image_that_has_no_digest_has_no_lasting_verdict(image: Path) -> None:
    verdict = replace(samples.panicked(), digest="")
    keep(image, verdict)
    assert recall(image, asked_of(verdict)) is None


def kept(image: Path) -> Verdict:
    return from_json(verdict_path(image).read_text())


def test_a_verdict_on_fewer_checks_goes_into_the_one_on_more(image: Path) -> None:
    keep(image, samples.good())
    bad = samples.result("growroot", Outcome.FAILED, reason="it stays small")
    keep(image, samples.verdict(bad, profile="", limit=60.0, image=str(image)))
    after = kept(image)
    assert [result.check for result in after.results] == ["boots", "no-leftovers", "growroot", "second-boot"]
    assert (after.outcome, after.reason, after.profile) == (Outcome.FAILED, "growroot: it stays small", "openstack")
    assert (after.boots, after.limit) == (samples.good().boots, 60.0)
    assert "it stays small" in page_path(image).read_text()
    keep(image, samples.verdict(samples.result("growroot"), profile="", limit=60.0))
    assert kept(image).passed


def test_what_was_not_run_again_stays_as_it_was_found(image: Path) -> None:
    keep(image, samples.good())
    keep(image, samples.verdict(samples.result("boots", Outcome.NOT_RUN, reason="no qemu"), profile=""))
    assert kept(image).passed


def test_a_check_that_nobody_asked_before_is_added_with_its_boot(image: Path) -> None:
    keep(image, samples.good())
    keep(image, samples.verdict(samples.result("ntp"), profile="", boots=(samples.boot(),)))
    after = kept(image)
    assert [result.check for result in after.results] == ["boots", "no-leftovers", "growroot", "second-boot", "ntp"]
    assert len(after.boots) == 1 and after.passed


@pytest.mark.parametrize(
    "other",
    [{"digest": "blake2b:" + "0" * 64}, {"engine": ENGINE + 1}, {"terms": {}}, {"accelerator": "kvm"}],
)
def test_a_verdict_on_something_else_has_nothing_in_common(image: Path, other: dict[str, object]) -> None:
    keep(image, samples.good())
    keep(image, samples.verdict(samples.result("boots"), profile="", **other))
    assert [result.check for result in kept(image).results] == ["boots"]


def test_a_verdict_that_is_of_no_known_content_takes_no_place(image: Path) -> None:
    nobody = samples.verdict(samples.result("boots", Outcome.FAILED, reason="no image"), digest="")
    assert keep(image, nobody) != []
    assert keep(image, samples.good()) != []
    assert keep(image, nobody) == []
    assert kept(image).passed
    assert keep(image, nobody, anew=True) != []  # another image has come in its place
    assert kept(image).reason == "boots: no image"


def test_a_profile_that_is_asked_for_again_is_the_whole_answer(image: Path) -> None:
    keep(image, samples.good())
    keep(image, samples.verdict(samples.result("boots")))
    assert [result.check for result in kept(image).results] == ["boots"]


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff\xfe", b"null"])
def test_a_broken_verdict_is_none(image: Path, content: bytes) -> None:
    verdict_path(image).write_bytes(content)
    assert recall(image, asked_of(samples.good())) is None
    verdict_path(image).unlink()
    assert recall(image, asked_of(samples.good())) is None


def test_a_place_that_cannot_be_written_is_told_and_left_as_it_was(image: Path) -> None:
    page_path(image).mkdir()
    with pytest.raises(OutputError, match=r"debian12\.qcow2\.verdict\.html: the verdict can't be kept"):
        keep(image, samples.good())
    assert [path.name for path in image.parent.iterdir()] == [page_path(image).name]


def test_a_name_that_is_no_text_is_no_trouble(tmp_path: Path) -> None:
    image = tmp_path / os.fsdecode(b"caf\xe9.qcow2")
    verdict = replace(samples.good(), image=str(image))
    keep(image, verdict)
    assert recall(image, asked_of(verdict)) == verdict
