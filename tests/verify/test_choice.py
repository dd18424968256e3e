"""Which checks are meant."""

from __future__ import annotations

import pytest

from dib_py.errors import UsageError
from dib_py.verify import choice
from dib_py.verify.checks import Need

ISSUED = {
    *("boots", "console", "cloud-init", "ssh-key", "password", "growroot", "qga", "acpi", "metadata-route"),
    *("no-leftovers", "services", "clean-shutdown", "size", "second-boot"),
}


def test_the_built_in_checks_are_there_and_are_what_they_must() -> None:
    known = {check.name: check for check in choice.known()}
    assert set(known) >= ISSUED
    for name in ISSUED:
        check = known[name]
        assert check.proves.endswith(".") and check.version >= 1 and check.boot in (1, 2)
        assert check.needs and all(isinstance(need, Need) for need in check.needs)
    assert [name for name in sorted(ISSUED) if known[name].boot == 2] == ["second-boot"]


def test_the_profile_of_clouds_has_them_all_and_the_minimal_one_fewer() -> None:
    known = choice.known()
    openstack = {check.name for check in choice.of_profile("openstack", known)}
    minimal = {check.name for check in choice.of_profile("minimal", known)}
    assert openstack >= ISSUED and minimal < openstack and "boots" in minimal


def test_checks_by_name_keep_the_order_and_come_once() -> None:
    chosen = choice.by_name(["size", "boots", "size"], choice.known())
    assert [check.name for check in chosen] == ["size", "boots"]


def test_a_name_that_is_none_is_told_the_nearest() -> None:
    with pytest.raises(UsageError, match="there is no check grow-root") as error:
        choice.by_name(["grow-root"], choice.known())
    assert error.value.hint == "growroot?"
    with pytest.raises(UsageError, match="there is no profile openstac") as error:
        choice.of_profile("openstac", choice.known())
    assert error.value.hint == "openstack?"
