"""Did every service start?"""

from __future__ import annotations

import re
import time
from typing import ClassVar

from dib_py.verify.checks import Finding, Need, Subject, failed, not_run, passed
from dib_py.verify.checks.sections import ask
from dib_py.verify.result import Evidence

_INIT = {
    "init": "if [ -d /run/systemd/system ]; then echo systemd; "
    "elif [ -d /run/openrc ]; then echo openrc; else ls -l /sbin/init; fi"
}
_STATE = {"state": "systemctl is-system-running"}
_LIST = "systemctl list-units --all --plain --no-legend --no-pager"
_SYSTEMD = {
    "failed": f"{_LIST} --state=failed",
    "restarting": f"{_LIST} --state=activating | grep -w auto-restart || :",
    "jobs": "systemctl list-jobs --no-legend --no-pager",
    "active": f"{_LIST} --state=active --type=service",
    "status": "systemctl --failed --plain --no-legend --no-pager | cut -d ' ' -f 1 | "
    "xargs -r systemctl status --no-pager --lines=8",
}
_OPENRC = {"runlevel": "rc-status --runlevel", "crashed": "rc-status --nocolor --crashed", "all": "rc-status --nocolor"}
_UNIT = re.compile(r"^\W*([\w@\\.:-]+\.[a-z]+)\s", re.MULTILINE)
_COMING_UP = ("initializing", "starting")
_POLL = 3.0  # seconds


class Services:
    """Asked once everything has come up: a service that has not been started yet has not failed yet either."""

    name: ClassVar[str] = "services"
    proves: ClassVar[str] = "All services of the guest came up: no unit failed or starts again and again."
    version: ClassVar[int] = 1
    profiles: ClassVar[frozenset[str]] = frozenset({"openstack"})
    needs: ClassVar[frozenset[Need]] = frozenset({Need.SHELL})
    boot: ClassVar[int] = 1

    def run(self, subject: Subject) -> Finding:
        subject.wait(Need.CLOUD_INIT, subject.limits.cloud_init)
        return all_started(subject)


def all_started(subject: Subject) -> Finding:
    """Whether all services of this boot came up; waits for those that are about to."""
    found = ask(subject.shell, _INIT)["init"].output.strip()
    if found == "systemd":
        return _systemd(subject)
    if found == "openrc":
        return _openrc(subject)
    return not_run("the guest has neither systemd nor OpenRC to ask", Evidence("init", found))


def _systemd(subject: Subject) -> Finding:
    limit = subject.limits.cloud_init
    deadline = time.monotonic() + limit
    while (state := ask(subject.shell, _STATE)["state"].output.strip()) in _COMING_UP:
        if time.monotonic() > deadline:
            break
        time.sleep(_POLL)
    answers = {name: answer.output.strip() for name, answer in ask(subject.shell, _SYSTEMD).items()}
    evidence = [Evidence("systemctl is-system-running", state)]
    evidence += [Evidence(name, text) for name, text in answers.items() if text]
    broken = _units(answers["failed"])
    if broken:
        return failed(f"failed: {', '.join(broken)}", *evidence)
    restarting = _units(answers["restarting"])
    if restarting:
        return failed(f"started again and again: {', '.join(restarting)}", *evidence)
    if state in _COMING_UP:
        return failed(
            f"not all services have come up after {limit:g} s: {', '.join(_jobs(answers['jobs']))}", *evidence
        )
    if state != "running" or not answers["active"]:
        return failed(f"systemd says that the system is {state or 'nothing'}", *evidence)
    return passed(*evidence)


def _openrc(subject: Subject) -> Finding:
    answers = ask(subject.shell, _OPENRC)
    evidence = [Evidence(name, answer.output) for name, answer in answers.items()]
    crashed = [line.split()[0] for line in answers["crashed"].output.splitlines() if line.strip()]
    if crashed:
        return failed(f"crashed: {', '.join(crashed)}", *evidence)
    if answers["runlevel"].output.strip() != "default" or "started" not in answers["all"].output:
        return failed("OpenRC has not reached its default runlevel", *evidence)
    return passed(*evidence)


def _units(listed: str) -> list[str]:
    """The names in lines of list-units; older versions put a mark before those that failed."""
    return _UNIT.findall(listed)


def _jobs(listed: str) -> list[str]:
    lines = [line.split() for line in listed.splitlines()]
    return [words[1] for words in lines if len(words) > 1] or ["systemd does not say which"]
