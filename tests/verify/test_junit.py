"""The verdict as a JUnit report, read as CI systems read it."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest
from junitparser import JUnitXml

from dib_py.errors import OutputError
from dib_py.verify.junit import junit, write_junit
from dib_py.verify.result import Outcome
from tests.verify import samples

MAKERS = [samples.good, samples.failed, samples.panicked, samples.unbooted, samples.hostile]
# Jenkins' schema (junit-10.xsd) as far as it matters here: attributes, and what is in what
ATTRIBUTES = {
    "testsuites": {"name", "time", "tests", "failures", "errors"},
    "testsuite": {"name", "tests", "failures", "errors", "skipped", "time", "timestamp", "hostname", "id", "package"},
    "testcase": {"name", "time", "classname", "group"},
    "properties": set(),
    "property": {"name", "value"},
    "failure": {"type", "message"},
    "skipped": {"type", "message"},
    "system-out": set(),
}
INSIDE = {
    "testsuites": {"testsuite"},
    "testsuite": {"properties", "testcase", "system-out"},
    "testcase": {"failure", "skipped", "system-out"},
    "properties": {"property"},
}


@pytest.mark.parametrize("make", MAKERS)
def test_it_is_what_jenkins_takes(make: samples.Maker) -> None:
    root = ElementTree.fromstring(junit(make()))
    assert root.tag == "testsuites"
    for element in root.iter():
        assert set(element.attrib) <= ATTRIBUTES[element.tag]
        assert {child.tag for child in element} <= INSIDE.get(element.tag, set())
    (suite,) = root
    assert {"name", "tests", "failures", "errors"} <= set(suite.attrib)


@pytest.mark.parametrize("make", MAKERS)
def test_a_reader_of_reports_finds_each_check_and_how_it_ended(make: samples.Maker) -> None:
    verdict = make()
    (suite,) = JUnitXml.fromstring(junit(verdict))
    assert (suite.tests, suite.failures, suite.errors, suite.skipped) == (
        len(verdict.results),
        len(verdict.of(Outcome.FAILED)),
        0,
        len(verdict.of(Outcome.NOT_RUN)),
    )
    assert suite.time == verdict.seconds
    for case, result in zip(suite, verdict.results, strict=True):
        assert (case.name, case.is_passed) == (result.check, result.outcome is Outcome.PASSED)
        assert (case.is_failure, case.is_skipped) == (
            result.outcome is Outcome.FAILED,
            result.outcome is Outcome.NOT_RUN,
        )


def test_a_failure_has_its_reason_and_evidence_and_the_suite_the_console() -> None:
    (suite,) = JUnitXml.fromstring(junit(samples.failed()))
    growroot = next(case for case in suite if case.name == "growroot")
    assert growroot.result[0].message == "the root partition has 1.6 GiB of a disk of 4.0 GiB"
    assert "vda  4294967296\nvda1 1803550720" in growroot.result[0].text
    skipped = next(case for case in suite if case.name == "no-leftovers")
    assert skipped.result[0].message == "libguestfs is not installed"
    said = ElementTree.fromstring(junit(samples.failed())).findtext("testsuite/system-out")
    assert said is not None
    assert said.startswith("boot 1: reached login")
    assert said.endswith("verify login:")
    assert {one.name: one.value for one in suite.properties()}["digest"] == samples.DIGEST


def test_a_report_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"--junit: the report can't be written: Is a directory"):
        write_junit(tmp_path, samples.good())
    write_junit(tmp_path / "report.xml", samples.good())
    assert (tmp_path / "report.xml").read_bytes() == junit(samples.good())
