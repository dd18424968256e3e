"""A good image passes all checks; with one thing broken, exactly the check for it fails.

A boot takes more than a minute under emulation, so mutations that have nothing to do with each other share one: then
exactly the checks for them must fail. What could hide one another is kept apart: each boot leaves a door into the guest
open. There is a second boot only where that is what is broken.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from dib_py.verify import choice
from dib_py.verify.limits import TCG
from dib_py.verify.result import Outcome, Stage
from tests.verify.mutations import MUTATIONS, mutated
from tests.verify.verifying import checks, verdict_of, with_outcome

pytestmark = [pytest.mark.slow, pytest.mark.root, pytest.mark.appliance]

# A guest without a console is silent until its ssh server answers, on a busy machine for more than five minutes; the
# button is waited for, in vain, by the guest that does not heed it.
LIMITS = replace(TCG, silence=TCG.login, shutdown=90)
TOGETHER = (
    # the ssh server is the door that is left, and what tells that the guest has come up
    (
        *("console", "qga", "cloud-init", "metadata-route", "growroot", "size", "no-leftovers"),
        *("acpi", "clean-shutdown"),
    ),
    # the guest agent is
    ("ssh-key", "password", "services", "second-boot"),
    ("boots",),
)
GUESTLESS = {"boots", "no-leftovers"}  # what is asked of an image whose guest does not come up


@pytest.fixture(scope="module")
def images(debian_image: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, ...], Path]:
    """Copies of the good image, by what is broken."""
    directory = tmp_path_factory.mktemp("mutations")
    copies = {names: directory / f"{names[0]}.qcow2" for names in TOGETHER}
    mutated(debian_image, {path: names for names, path in copies.items()})
    return copies


def test_there_is_a_mutation_for_each_check() -> None:
    assert sorted(name for names in TOGETHER for name in names) == sorted(MUTATIONS)
    assert set(MUTATIONS) == {check.name for check in choice.known()}


@pytest.mark.timeout(TCG.total + 600)
@pytest.mark.parametrize("names", TOGETHER, ids=["by ssh", "by agent", "no guest"])
def test_exactly_what_is_broken_fails(
    names: tuple[str, ...], images: dict[tuple[str, ...], Path], tmp_path: Path
) -> None:
    chosen = checks() if "second-boot" in names else checks("second-boot")
    verdict = verdict_of(images[names], tmp_path, chosen, LIMITS)
    told = {result.check: result.reason for result in verdict.results if result.reason}
    assert with_outcome(verdict, Outcome.FAILED) == set(names), told
    expected = GUESTLESS if "boots" in names else {check.name for check in chosen}
    assert with_outcome(verdict, Outcome.PASSED) == expected - set(names), told
    assert verdict.stage is (Stage.INITRAMFS if "boots" in names else Stage.LOGIN)
    assert verdict.outcome is Outcome.FAILED
    images[names].unlink()
