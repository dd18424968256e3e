"""A verification with the real checks, for tests: in this process, with limits of their own."""

from __future__ import annotations

import tempfile
from pathlib import Path

from dib_py.base.image_format import examine
from dib_py.events import Events
from dib_py.target.probe import kvm_works
from dib_py.verify import choice
from dib_py.verify.checks import Check, Limits
from dib_py.verify.namespace import apart
from dib_py.verify.result import Outcome, Verdict
from dib_py.verify.verification import Order, carry_out


def checks(*left_out: str) -> tuple[Check, ...]:
    """The profile "openstack", without these."""
    return tuple(check for check in choice.of_profile("openstack", choice.known()) if check.name not in left_out)


def verdict_of(image: Path, directory: Path, chosen: tuple[Check, ...], limits: Limits, memory: int = 1024) -> Verdict:
    image_format, size = examine(image)
    order = Order(
        image=image,
        name=image,
        image_format=image_format,
        virtual_size=size,
        digest="",
        checks=chosen,
        profile="openstack",
        limits=limits,
        kvm=kvm_works().works,
        memory=memory,
        terms={},
        kept_console=directory / f"{image.name}.console",
    )
    with tempfile.TemporaryDirectory(prefix="verify-", dir="/var/tmp") as work:  # a short path: there are sockets in it
        return apart(lambda: carry_out(order, Path(work), Events()))


def with_outcome(verdict: Verdict, outcome: Outcome) -> set[str]:
    return {result.check for result in verdict.of(outcome)}
