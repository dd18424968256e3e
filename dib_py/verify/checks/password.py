"""Can one log in with the password that the cloud injected?"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import ClassVar

from dib_py.verify.checks import Answer, Finding, LoginRefused, Need, Subject, Unreachable, failed, passed
from dib_py.verify.result import Evidence

Door = Callable[[str], Answer]  # given the password


class Password:
    """By ssh, or on the console where ssh takes no passwords; a wrong password must be refused at the same door."""

    name: ClassVar[str] = "password"
    proves: ClassVar[str] = "The password that the cloud injects opens the guest, and no other does."
    version: ClassVar[int] = 2
    profiles: ClassVar[frozenset[str]] = frozenset({"openstack"})
    needs: ClassVar[frozenset[Need]] = frozenset({Need.LOGIN})
    boot: ClassVar[int] = 1

    def run(self, subject: Subject) -> Finding:
        subject.wait(Need.CLOUD_INIT, subject.limits.cloud_init)  # one of its last stages sets it
        refusals = []
        for name, door in self._doors(subject).items():
            try:
                answer = door(subject.seed.password)
            except Unreachable as error:
                refusals.append(f"{name}: {error.message}")
                continue
            shown = Evidence(f"id, by {name} with the password", answer.output.strip())
            if answer.exit_code != 0 or subject.seed.user not in answer.output:
                return failed(f"the login by {name} is not one of {subject.seed.user}", shown)
            return self._without(name, door, shown)
        return failed("the injected password opens no door", Evidence("refusals", "\n".join(refusals) or "(no door)"))

    def _doors(self, subject: Subject) -> dict[str, Door]:
        seed, limits = subject.seed, subject.limits
        doors: dict[str, Door] = {}
        if subject.wait(Need.SSH, limits.door):
            doors["ssh"] = lambda password: subject.ssh.run("id", limits.command, password=password)
        doors["console"] = lambda password: subject.console.run("id", seed.user, password, limits.command)
        return doors

    def _without(self, name: str, door: Door, shown: Evidence) -> Finding:
        try:
            answer = door(secrets.token_urlsafe(12))
        except LoginRefused as error:  # a door that does not answer any more has not refused
            return passed(shown, Evidence(f"{name}, with a wrong password", error.message))
        return failed(f"{name} takes any password", shown, Evidence("id, with a wrong password", answer.output.strip()))
