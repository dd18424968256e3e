"""The verdict as a JUnit report, as CI systems show it: one suite for the image, one case for each check."""

from __future__ import annotations

import time
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

from junitparser import Failure, JUnitXml, Skipped, TestCase, TestSuite
from junitparser.junitparser import SystemOut

from dib_py.errors import OutputError
from dib_py.verify.page import facts
from dib_py.verify.result import Outcome, Result, Verdict
from dib_py.verify.transcript import readable

_TAIL = 200  # lines of each boot's console: CI systems cut long output anyway


def write_junit(path: Path, verdict: Verdict) -> None:
    """Write the report; OutputError where that can't be done."""
    try:
        path.write_bytes(junit(verdict))
    except OSError as error:
        raise OutputError(f"--junit: the report can't be written: {error.strerror}", where=str(path)) from error


def junit(verdict: Verdict) -> bytes:
    """The report's XML."""
    image = readable(Path(verdict.image).name)
    suite = TestSuite(f"dib-py verify {image}")
    suite.timestamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(verdict.started))
    for name, value in (("digest", verdict.digest), ("image", verdict.image), *facts(verdict)):
        suite.add_property(readable(name.lower()), readable(value))
    for result in verdict.results:
        suite.add_testcase(_case(result, image))
    if said := "\n".join(_said(verdict)):
        suite.append(SystemOut(said))  # a boot is no single check's
    suite.update_statistics()
    suite.time = round(verdict.seconds, 3)  # checks run beside each other: their sum is no time
    report = JUnitXml("dib-py verify")
    report.append(suite)  # without statistics of its own: Jenkins' schema does not know all of them there
    file = BytesIO()
    report.write(file, pretty=False)
    return file.getvalue()


def _case(result: Result, image: str) -> TestCase:
    case = TestCase(readable(result.check), classname=f"dib-py.verify.{image}", time=round(result.seconds, 3))
    seen = "\n\n".join(f"{evidence.title}\n{evidence.text}" for evidence in result.evidence)
    if result.outcome is Outcome.FAILED:
        failure = Failure(readable(result.reason), "failed")
        failure.text = readable("\n\n".join(filter(None, [f"It proves: {result.proves}", seen])))
        case.result = [failure]
    elif result.outcome is Outcome.NOT_RUN:
        case.result = [Skipped(readable(result.reason))]
    if seen and result.outcome is not Outcome.FAILED:
        case.system_out = readable(seen)
    return case


def _said(verdict: Verdict) -> Iterator[str]:
    for boot in verdict.boots:
        yield f"boot {boot.number}: reached {boot.stage.word}; {readable(boot.ending)}"
        if len(boot.console) > _TAIL:
            yield f"... (the last {_TAIL} lines of the console)"
        yield from (readable(line.text) for line in boot.console[-_TAIL:])
