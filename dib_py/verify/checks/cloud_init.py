"""Did cloud-init do what it was told, all of it, and without an error?"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, ClassVar

from dib_py.verify.checks import Answer, Finding, Need, Subject, failed, passed
from dib_py.verify.checks.sections import ask
from dib_py.verify.result import Evidence

_QUESTIONS = {
    "hostname": "cat /proc/sys/kernel/hostname",
    "result": "cat /run/cloud-init/result.json",
    "status": "cat /run/cloud-init/status.json",
    "log": "grep -hE 'WARNING|ERROR|CRITICAL|Traceback' /var/log/cloud-init.log | tail -n 30",
    "version": "cloud-init --version",
}


class CloudInit:
    """The seed has a host name and a marker that were made for this verification: no older state can show them."""

    name: ClassVar[str] = "cloud-init"
    proves: ClassVar[str] = (
        "cloud-init takes what the cloud gives: the host name is set, user data ran, no stage failed."
    )
    version: ClassVar[int] = 1
    profiles: ClassVar[frozenset[str]] = frozenset({"openstack"})
    needs: ClassVar[frozenset[Need]] = frozenset({Need.LOGIN})
    boot: ClassVar[int] = 1

    def run(self, subject: Subject) -> Finding:
        seed, limits = subject.seed, subject.limits
        ended = subject.wait(Need.CLOUD_INIT, limits.cloud_init)
        if not subject.wait(Need.SHELL, limits.door):
            said = "cloud-init ended" if ended else f"cloud-init did not end within {limits.cloud_init:g} s"
            return failed(f"{said}, and neither the seed's user nor the agent lets anybody in to ask")
        answers = ask(subject.shell, {**_QUESTIONS, "record": f"cat {seed.record}"})
        faults = _faults(answers, seed.host_name, seed.marker)
        if not ended:
            faults.insert(0, f"cloud-init did not end within {limits.cloud_init:g} s")
        evidence = [Evidence(name, answer.output) for name, answer in answers.items() if answer.output]
        return failed("; ".join(faults), *evidence) if faults else passed(*evidence)


def _faults(answers: Mapping[str, Answer], host_name: str, marker: str) -> list[str]:
    found = answers["hostname"].output.strip()
    faults = [] if found.partition(".")[0] == host_name else [f"the host name is {found!r}, not {host_name!r}"]
    if f"ran {marker}" not in answers["record"].output.splitlines():
        faults.append("the user data did not run")
    return faults + _errors(answers["result"], answers["status"])


def _errors(result: Answer, status: Answer) -> list[str]:
    """What cloud-init itself says of its stages; a summary that is missing is an error too."""
    results, stages = _document(result), _document(status)
    if not results:
        return ["cloud-init left no result: /run/cloud-init/result.json can't be read"]
    errors = _listed(results)
    for name, stage in stages.items():
        if isinstance(stage, dict):
            errors += [f"{name}: {error}" for error in _listed(stage)]
            if stage.get("start") and not stage.get("finished"):
                errors.append(f"{name} did not finish")
    return [f"cloud-init: {error}" for error in dict.fromkeys(errors)]


def _listed(summary: Mapping[str, Any]) -> list[str]:
    errors = summary.get("errors") or []
    return [str(error) for error in errors] if isinstance(errors, list) else [str(errors)]


def _document(answer: Answer) -> dict[str, Any]:
    """The value of ``v1`` in one of cloud-init's summaries; empty for what is none."""
    try:
        document = json.loads(answer.output)
    except ValueError:
        return {}
    values = document.get("v1") if isinstance(document, dict) else None
    return values if isinstance(values, dict) else {}
