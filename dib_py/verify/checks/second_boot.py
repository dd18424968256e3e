"""Does the guest come up a second time, without doing again what belongs to the first?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from dib_py.verify.checks import Answer, Finding, Need, Seed, Subject, failed, not_run, passed
from dib_py.verify.checks.boots import came_up
from dib_py.verify.checks.sections import ask
from dib_py.verify.checks.services import all_started
from dib_py.verify.result import Evidence, Outcome

_QUESTIONS = {
    "boot": "cat /proc/sys/kernel/random/boot_id",
    "machine": "cat /etc/machine-id 2>/dev/null",  # systems without systemd have none
    "hostname": "cat /proc/sys/kernel/hostname",
    "hostkeys": 'for key in /etc/ssh/ssh_host_*_key.pub; do [ ! -e "$key" ] || cut -d " " -f 1,2 "$key"; done',
}


class SecondBoot:
    """Compares with what the user data wrote down in the first boot, once cloud-init has had its chance to repeat."""

    name: ClassVar[str] = "second-boot"
    proves: ClassVar[str] = "The guest boots again as the machine it was: no first-boot work is repeated."
    version: ClassVar[int] = 2
    profiles: ClassVar[frozenset[str]] = frozenset({"openstack"})
    needs: ClassVar[frozenset[Need]] = frozenset({Need.MACHINE})
    boot: ClassVar[int] = 2

    def run(self, subject: Subject) -> Finding:
        up = came_up(subject)
        if up.outcome is not Outcome.PASSED:
            return up
        limits = subject.limits
        ended = subject.wait(Need.CLOUD_INIT, limits.cloud_init)
        if not subject.wait(Need.SHELL, limits.door):
            return failed("nobody can log in any more: neither the agent nor the seed's user lets one in", *up.evidence)
        answers = ask(subject.shell, {**_QUESTIONS, "record": f"cat {subject.seed.record}"})
        evidence = [Evidence(name, answer.output) for name, answer in answers.items()]
        record = _record(answers["record"].output)
        if subject.seed.marker not in record.get("ran", []):
            return not_run("the user data left no record in the first boot to compare with", *evidence)
        faults = [] if ended else [f"cloud-init did not end within {limits.cloud_init:g} s"]
        faults += _faults(record, answers, subject.seed)
        services = all_started(subject)
        if services.outcome is Outcome.FAILED:
            faults.append(services.reason)
            evidence += services.evidence
        return failed("; ".join(faults), *evidence) if faults else passed(*evidence)


def _record(text: str) -> dict[str, list[str]]:
    """What was written down, by the first word of a line."""
    record: dict[str, list[str]] = {}
    for line in text.splitlines():
        word, _, value = line.strip().partition(" ")
        record.setdefault(word, []).append(value)
    return record


def _faults(record: Mapping[str, list[str]], answers: Mapping[str, Answer], seed: Seed) -> list[str]:
    now = {name: answer.output.strip() for name, answer in answers.items()}
    faults = []
    times = record["ran"].count(seed.marker)
    if times > 1:
        faults.append(f"the user data ran {times} times")
    if not now["boot"] or now["boot"] == record.get("boot", [""])[0]:
        faults.append("the kernel is still the one of the first boot")
    known_as = record.get("machine", [""])[0]
    if known_as and now["machine"] != known_as:
        faults.append("the machine id is another one")
    named = record.get("name", [""])[0]
    if not now["hostname"] or now["hostname"] != named:
        faults.append(f"the host name is {now['hostname']!r}, not {named!r} any more")
    if set(now["hostkeys"].splitlines()) != set(record.get("hostkey", [])):
        faults.append("the ssh host keys are other ones")
    return faults
