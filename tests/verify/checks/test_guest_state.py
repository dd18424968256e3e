"""cloud-init, services, size and second-boot: what the guest says of itself."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from dib_py.verify.checks import Answer, Need
from dib_py.verify.checks.cloud_init import CloudInit
from dib_py.verify.checks.growroot import Growroot
from dib_py.verify.checks.metadata_route import MetadataRoute
from dib_py.verify.checks.second_boot import SecondBoot
from dib_py.verify.checks.services import Services
from dib_py.verify.checks.size import Size
from dib_py.verify.result import Outcome
from tests.verify.checks.fakes import GIB, SEED, Console, Recorded, Subject

STAGES = ("init-local", "init", "modules-config", "modules-final")
RESULT = {"v1": {"datasource": "DataSourceNoCloud [seed=/dev/vdb][dsmode=net]", "errors": []}}
RECORD = f"ran {SEED.marker}\nboot 11111111\nname verify-1234\nmachine abcdef\nhostkey ssh-ed25519 AAAAC3\n"


def status(errors: list[str] | None = None, finished: float | None = 42.0) -> str:
    stages: dict[str, Any] = {
        name: {"errors": [], "start": 40.0, "finished": 41.0, "recoverable_errors": {}} for name in STAGES
    }
    stages["modules-final"] |= {"errors": errors or [], "finished": finished}
    return json.dumps({"v1": {"datasource": "DataSourceNoCloud", "stage": None, **stages}})


def answers(**changed: Recorded) -> dict[str, Recorded]:
    said: dict[str, Recorded] = {
        "hostname": "verify-1234",
        "result": json.dumps(RESULT),
        "status": status(),
        "log": "",
        "version": "/usr/bin/cloud-init 22.4.2",
        "record": RECORD,
    }
    return {**said, **changed}


def test_cloud_init_did_all() -> None:
    finding = CloudInit().run(Subject(answers()))
    assert finding.outcome is Outcome.PASSED
    assert {one.title for one in finding.evidence} == {"hostname", "result", "status", "version", "record"}


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"hostname": "debian"}, "the host name is 'debian', not 'verify-1234'"),
        ({"record": Answer(1, "cat: /var/lib/dib-py-verify: No such file")}, "the user data did not run"),
        ({"record": "ran of-another-verification"}, "the user data did not run"),
        ({"status": status(["('scripts_user', RuntimeError('1'))"])}, "('scripts_user', RuntimeError('1'))"),
        ({"status": status(finished=None)}, "modules-final did not finish"),
        ({"result": Answer(1, "cat: no such file")}, "cloud-init left no result"),
        ({"result": json.dumps({"v1": {"errors": ["no datasource"]}})}, "cloud-init: no datasource"),
        ({"result": "[]"}, "cloud-init left no result"),
    ],
)
def test_cloud_init_did_not(changed: dict[str, Recorded], reason: str) -> None:
    finding = CloudInit().run(Subject(answers(**changed)))
    assert finding.outcome is Outcome.FAILED
    assert reason in finding.reason


def test_a_fully_qualified_host_name_is_the_host_name() -> None:
    assert CloudInit().run(Subject(answers(hostname="verify-1234.novalocal"))).outcome is Outcome.PASSED


def test_cloud_init_that_never_ends() -> None:
    finding = CloudInit().run(Subject(answers(), missing=frozenset({Need.CLOUD_INIT})))
    assert finding.reason == "cloud-init did not end within 0.05 s"


def test_an_image_without_cloud_init_and_agent_lets_nobody_in() -> None:
    finding = CloudInit().run(Subject(missing=frozenset({Need.CLOUD_INIT, Need.SHELL})))
    assert (finding.outcome, "lets anybody in" in finding.reason) == (Outcome.FAILED, True)


# -- services
UNITS = "ssh.service loaded active running OpenBSD Secure Shell server\n"
FAILED = "● broken.service loaded failed failed A service that does not start\n"


def systemd(**changed: Recorded) -> dict[str, Recorded]:
    said: dict[str, Recorded] = {
        "init": "systemd",
        "state": "running",
        "failed": "",
        "restarting": "",
        "jobs": "No jobs running.",
        "active": UNITS,
        "status": "",
    }
    return {**said, **changed}


def test_all_services_run() -> None:
    assert Services().run(Subject(systemd())).outcome is Outcome.PASSED


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"state": Answer(1, "degraded"), "failed": FAILED}, "failed: broken.service"),
        ({"failed": FAILED.lstrip("● ")}, "failed: broken.service"),
        (
            {"restarting": "loop.service loaded activating auto-restart Starts and ends"},
            "started again and again: loop.service",
        ),
        (
            {"state": "starting", "jobs": "52 slow.service start running"},
            "not all services have come up after 0.05 s: slow.service",
        ),
        ({"state": Answer(1, "degraded")}, "systemd says that the system is degraded"),
        ({"state": Answer(127, "")}, "systemd says that the system is nothing"),
        ({"active": ""}, "systemd says that the system is running"),
    ],
)
def test_services_that_do_not(changed: dict[str, Recorded], reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dib_py.verify.checks.services._POLL", 0.01)
    finding = Services().run(Subject(systemd(**changed)))
    assert (finding.outcome, finding.reason) == (Outcome.FAILED, reason)


def test_services_that_are_about_to_come_up_are_awaited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dib_py.verify.checks.services._POLL", 0.0)
    assert Services().run(Subject(systemd(state=["starting", "running"]))).outcome is Outcome.PASSED


def openrc(crashed: str = "", all: str = " sshd   [  started  ]") -> dict[str, Recorded]:
    return {"init": "openrc", "runlevel": "default", "crashed": crashed, "all": all}


def test_openrc() -> None:
    assert Services().run(Subject(openrc())).outcome is Outcome.PASSED
    assert Services().run(Subject(openrc(crashed=" sshd [  crashed  ]"))).reason == "crashed: sshd"
    assert Services().run(Subject(openrc(all=""))).outcome is Outcome.FAILED


def test_an_init_that_keeps_no_record() -> None:
    finding = Services().run(Subject({"init": "/sbin/init -> /bin/busybox"}))
    assert finding.outcome is Outcome.NOT_RUN


# -- size
SWAPPING = "SwapTotal:       4194304 kB\nSwapFree:        2621440 kB\n"
MEMINFO = "MemTotal:         992360 kB\nMemFree:          640000 kB\nMemAvailable:     770048 kB\n"


def test_size_gives_the_figures() -> None:
    finding = Size().run(Subject({"meminfo": MEMINFO, "killed": ""}, virtual_size=int(1.7 * GIB)))
    assert finding.outcome is Outcome.PASSED
    assert "min_disk 2 GiB" in finding.evidence[0].text
    assert "min_ram 384 MiB (272 MiB in use" in finding.evidence[0].text


@pytest.mark.parametrize(
    ("virtual_size", "memory", "meminfo", "console", "reason"),
    [
        (81 * GIB, 1024, MEMINFO, "", "the image needs a disk of 81 GiB: usual flavours have up to 80"),
        (2 * GIB, 4096, MEMINFO, "", "the image needs 4224 MiB of memory: a small flavour has 2048"),
        (2 * GIB, 1024, MEMINFO + SWAPPING, "", "the image needs 2304 MiB of memory: a small flavour has 2048"),
        (2 * GIB, 1024, "", "", "the guest does not say how much memory it uses"),
        (2 * GIB, 512, MEMINFO, "", "the guest does not say how much memory it uses"),
        (
            2 * GIB,
            1024,
            MEMINFO,
            "[  9.0] Out of memory: Killed process 321 (apt)",
            "the guest ran out of memory while it came up",
        ),
    ],
)
def test_size_that_does_not_fit(virtual_size: int, memory: int, meminfo: str, console: str, reason: str) -> None:
    answers = {"meminfo": meminfo, "killed": ""}
    finding = Size().run(Subject(answers, virtual_size=virtual_size, memory=memory, console=Console(console)))
    assert (finding.outcome, finding.reason) == (Outcome.FAILED, reason)


def test_what_was_killed_is_found_though_the_console_does_not_tell() -> None:
    killed = "[   31.2] Out of memory: Killed process 321 (python3)"
    finding = Size().run(Subject({"meminfo": MEMINFO, "killed": killed}))
    assert (finding.outcome, finding.reason) == (Outcome.FAILED, "the guest ran out of memory while it came up")
    assert finding.evidence[1].text == killed


def test_the_largest_layout_of_our_own_has_a_flavour() -> None:
    layout = Path(__file__).parents[3] / "elements" / "block-device-efi-lvm" / "block-device-default.yaml"
    (partition,) = re.findall(r"size: (\d+)G$", layout.read_text(), re.MULTILINE)
    size = (int(partition) + 1) * GIB
    assert Size().run(Subject({"meminfo": MEMINFO, "killed": ""}, virtual_size=size)).outcome is Outcome.PASSED


# -- second-boot
def second(**changed: Recorded) -> dict[str, Recorded]:
    said: dict[str, Recorded] = {
        "boot": "22222222",
        "machine": "abcdef",
        "hostname": "verify-1234",
        "hostkeys": "ssh-ed25519 AAAAC3",
        "record": RECORD,
    }
    return {**said, **systemd(), **changed}


def test_a_second_boot_repeats_nothing() -> None:
    assert SecondBoot().run(Subject(second(), boot=2)).outcome is Outcome.PASSED


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"record": RECORD + RECORD}, "the user data ran 2 times"),
        ({"boot": "11111111"}, "the kernel is still the one of the first boot"),
        ({"machine": "fedcba"}, "the machine id is another one"),
        ({"machine": ""}, "the machine id is another one"),
        ({"hostkeys": "ssh-ed25519 BBBB"}, "the ssh host keys are other ones"),
        ({"hostkeys": ""}, "the ssh host keys are other ones"),
        ({"hostname": "debian"}, "the host name is 'debian', not 'verify-1234' any more"),
        ({"failed": FAILED}, "failed: broken.service"),
    ],
)
def test_a_second_boot_that_does(changed: dict[str, Recorded], reason: str) -> None:
    finding = SecondBoot().run(Subject(second(**changed), boot=2))
    assert (finding.outcome, finding.reason) == (Outcome.FAILED, reason)


def test_a_guest_that_never_had_a_machine_id_has_lost_none() -> None:
    without = RECORD.replace("machine abcdef", "machine ")
    assert without != RECORD
    subject = Subject(second(record=without, machine=""), boot=2)
    assert SecondBoot().run(subject).outcome is Outcome.PASSED
    assert "/etc/machine-id 2>/dev/null" in subject.shell.scripts[0]  # what cat says is no id


@pytest.mark.parametrize("missing", [Need.LOGIN, Need.CLOUD_INIT, Need.SHELL])
def test_a_second_boot_that_does_not_come(missing: Need) -> None:
    finding = SecondBoot().run(Subject(second(), boot=2, missing=frozenset({missing})))
    assert finding.outcome is Outcome.FAILED


def test_without_a_record_there_is_nothing_to_compare_with() -> None:
    finding = SecondBoot().run(Subject(second(record="ran something-else"), boot=2))
    assert finding.outcome is Outcome.NOT_RUN


# -- a guest that answers anything
@pytest.mark.parametrize(
    "junk", ["", "\x00\x1b[31m", "a b c d e f g h i j k l\n" * 3, '{"v1": {"errors": 5, "init": []}}', "[1]"]
)
def test_no_answer_breaks_a_check(junk: str) -> None:
    names = (*answers(), *systemd(), *second(), "meminfo", "killed", "mounts", "df", "blocks", "routes", "answer")
    for check in (CloudInit(), Services(), Size(), SecondBoot(), Growroot(), MetadataRoute()):
        finding = check.run(Subject(dict.fromkeys(names, junk)))
        assert finding.outcome is not Outcome.PASSED
