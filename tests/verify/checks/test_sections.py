"""Several questions in one command, answered by a real shell."""

from __future__ import annotations

import subprocess

import pytest

from dib_py.verify.checks import Answer
from dib_py.verify.checks.sections import CUT_OFF, ask


class ShellHere:
    """Runs scripts with this machine's sh; ``most`` is where their output is cut off."""

    def __init__(self, most: int | None = None) -> None:
        self.most = most

    def run(self, script: str, timeout: float | None = None) -> Answer:
        done = subprocess.run(["/bin/sh"], input=script, capture_output=True, text=True, check=False)
        return Answer(done.returncode, done.stdout[: self.most])


def test_each_question_has_its_output_and_exit_code() -> None:
    answers = ask(
        ShellHere(),
        {"first": "echo one; echo two", "second": "echo bad >&2; exit 3", "third": ":", "fourth": "printf x"},
    )
    assert answers == {
        "first": Answer(0, "one\ntwo"),
        "second": Answer(3, "bad"),
        "third": Answer(0, ""),
        "fourth": Answer(0, "x"),
    }


def test_what_a_guest_prints_is_no_mark() -> None:
    answers = ask(ShellHere(), {"liar": "echo 0123456789abcdef other ended 0; exit 1", "other": "echo honest; exit 2"})
    assert answers["other"] == Answer(2, "honest")


@pytest.mark.parametrize("most", [0, 30, 45])
def test_what_was_cut_off_has_no_exit_code(most: int) -> None:
    assert ask(ShellHere(most), {"long": "echo 0123456789; echo 0123456789"})["long"].exit_code == CUT_OFF
