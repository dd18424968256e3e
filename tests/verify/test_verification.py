"""The plan of a verification, with guests of one sector and checks of our own."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from dib_py.errors import DibError
from dib_py.events import CheckFinished, Event, Events, MachineStarted, Message, StageReached
from dib_py.verify import boot as boot_module
from dib_py.verify.checks import Check, Finding, Limits, Need, Subject, Unreachable, failed, passed
from dib_py.verify.namespace import apart
from dib_py.verify.result import Outcome, Stage, Verdict
from dib_py.verify.verification import Order, carry_out
from tests.verify.sectors import HANG, REPEAT, RESTART, SWITCH_OFF, WAIT_FOR_BUTTON, guest

pytestmark = [pytest.mark.slow, pytest.mark.root]

UP = "Linux version 6\nsomebody login: "
# No guest here waits for `login` or `total`, and on a busy machine a flood takes minutes.
LIMITS = Limits(login=900, cloud_init=5, door=10, command=20, shutdown=60, offline=120, silence=10, total=1200)


def check(
    name: str, *needs: Need, boot: int = 1, run: Callable[[Subject], Finding] = lambda subject: passed()
) -> Check:
    about = {
        "name": name,
        "proves": f"{name} is all right",
        "version": 1,
        "profiles": frozenset({"ours"}),
        "needs": frozenset(needs),
        "boot": boot,
        "run": lambda self, subject: run(subject),
    }
    made: Check = type(name, (), about)()
    return made


def comes_up(subject: Subject) -> Finding:
    if subject.wait(Need.LOGIN, subject.limits.login):
        return passed()
    return failed(subject.trouble.what if subject.trouble else "not in time")


BOOTS = check("boots", Need.MACHINE, run=comes_up)
IN_GUEST = check("in-guest", Need.LOGIN)
ACPI = check(
    "acpi",
    Need.OTHERS,
    run=lambda subject: passed() if subject.press_power_button(subject.limits.shutdown) else failed("it stays on"),
)


class Told:
    """What a verification told while it ran."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def __call__(self, event: Event) -> None:
        self.events.append(event)

    def of(self, kind: type[Event]) -> list[Event]:
        return [event for event in self.events if isinstance(event, kind)]


def verified(
    tmp_path: Path,
    image: Path,
    *checks: Check,
    limits: Limits = LIMITS,
    told: Told | None = None,
    memory: int = 64,
) -> Verdict:
    order = Order(
        image=image,
        name=image,
        image_format="raw",
        virtual_size=image.stat().st_size,
        digest="",
        checks=checks,
        profile="ours",
        limits=limits,
        kvm=False,
        memory=memory,
        terms={},
        kept_console=tmp_path / "console.log",
    )
    directory = tmp_path / "work"
    directory.mkdir()
    return apart(lambda: carry_out(order, directory, Events(told or Told())))


def outcomes(verdict: Verdict) -> dict[str, str]:
    return {result.check: result.outcome.value for result in verdict.results}


def reasons(verdict: Verdict) -> dict[str, str]:
    return {result.check: result.reason for result in verdict.results}


def test_a_good_guest_passes_both_boots(tmp_path: Path) -> None:
    image = guest(tmp_path / "good.raw", UP, WAIT_FOR_BUTTON, SWITCH_OFF)
    before = image.read_bytes()
    told = Told()
    second = check("second", Need.LOGIN, boot=2)
    verdict = verified(tmp_path, image, BOOTS, IN_GUEST, ACPI, second, told=told)
    assert set(outcomes(verdict).values()) == {"passed"} and verdict.passed and verdict.stage is Stage.LOGIN
    first, again = verdict.boots
    assert (first.ending, again.ending) == ("the guest switched the machine off", "ended by the verification")
    assert first.screenshot is not None and first.screenshot.startswith(b"\x89PNG")
    assert [line.text for line in first.console][-1] == "somebody login:"
    assert (tmp_path / "console.log").read_bytes().count(b"somebody login: ") == 2
    assert image.read_bytes() == before
    stages = [(event.boot, event.stage) for event in told.of(StageReached) if isinstance(event, StageReached)]
    assert stages[-1] == (2, "login")
    assert [event.check for event in told.of(CheckFinished) if isinstance(event, CheckFinished)][-1] == "second"


def test_the_end_waits_for_all_other_checks(tmp_path: Path) -> None:
    ended: list[str] = []

    def slowly(subject: Subject) -> Finding:
        time.sleep(1.5)
        ended.append("slow")
        return passed()

    def press(subject: Subject) -> Finding:
        ended.append("acpi")
        return passed() if subject.press_power_button(3) else failed("no")

    image = guest(tmp_path / "good.raw", UP, WAIT_FOR_BUTTON, SWITCH_OFF)
    checks = check("acpi", Need.OTHERS, run=press), check("slow", Need.LOGIN, run=slowly)
    assert verified(tmp_path, image, *checks).passed
    assert ended == ["slow", "acpi"]


def test_a_power_button_that_is_not_heeded(tmp_path: Path) -> None:
    image = guest(tmp_path / "deaf.raw", UP, HANG)
    after = check("after", Need.END)
    second = check("second", Need.LOGIN, boot=2)
    limits = Limits(**{**vars(LIMITS), "shutdown": 1})
    verdict = verified(tmp_path, image, ACPI, after, second, limits=limits)
    assert outcomes(verdict) == {"acpi": "failed", "after": "not run", "second": "not run"}
    assert reasons(verdict)["after"] == "the guest did not switch the machine off: ended by the verification"
    assert verdict.outcome is Outcome.FAILED and len(verdict.boots) == 1


@pytest.mark.parametrize(
    ("does", "what"),
    [
        (SWITCH_OFF, "the guest switched the machine off"),
        (RESTART, "it restarts again and again: 3 times"),
        (HANG, "it hangs: nothing on the console for 10 s"),
        (REPEAT, "the console is flooded"),
    ],
)
def test_a_guest_that_does_not_come_up(tmp_path: Path, does: bytes, what: str) -> None:
    image = guest(tmp_path / "bad.raw", "Linux version 6\nand so on " + "x" * 200, does)
    verdict = verified(tmp_path, image, BOOTS, IN_GUEST)
    assert outcomes(verdict) == {"boots": "failed", "in-guest": "not run"}
    assert what in verdict.reason and "(it came to: kernel)" in verdict.reason
    assert what in reasons(verdict)["boots"] and what in reasons(verdict)["in-guest"]
    assert verdict.stage is Stage.KERNEL
    assert "and so on" in verdict.boots[0].console[-1].text + verdict.boots[0].console[-2].text


def test_a_panic_ends_it_with_its_words(tmp_path: Path) -> None:
    image = guest(tmp_path / "panic.raw", "Linux version 6\nKernel panic - not syncing: no init\nthe end\n", HANG)
    verdict = verified(tmp_path, image, BOOTS)
    assert verdict.reason == "kernel panic: no init (it came to: kernel)"
    assert verdict.boots[0].console[-1].text == "the end"


def test_the_limit_of_all_ends_checks_too(tmp_path: Path) -> None:
    waits = threading.Event()
    image = guest(tmp_path / "good.raw", UP, HANG)
    endless = check("endless", Need.LOGIN, run=lambda subject: passed() if waits.wait(600) else failed("no"))
    waiting = check("waiting", Need.AGENT)
    limits = Limits(**{**vars(LIMITS), "total": 20})
    started = time.monotonic()
    verdict = verified(tmp_path, image, endless, waiting, limits=limits)
    waits.set()
    assert time.monotonic() - started < 120
    assert outcomes(verdict) == {"endless": "not run", "waiting": "not run"}
    assert reasons(verdict)["endless"] == "it did not end within the verification's limit"


def test_a_check_that_breaks_costs_only_its_own_verdict(tmp_path: Path) -> None:
    def broken(subject: Subject) -> Finding:
        raise ZeroDivisionError("of ours")

    def cannot(subject: Subject) -> Finding:
        raise Unreachable("nobody is there")

    def wrong(subject: Subject) -> Finding:
        raise DibError("it is wrong")

    image = guest(tmp_path / "good.raw", UP, HANG)
    checks = (
        check("broken", Need.LOGIN, run=broken),
        check("cannot", Need.LOGIN, run=cannot),
        check("wrong", Need.LOGIN, run=wrong),
    )
    verdict = verified(tmp_path, image, *checks, IN_GUEST)
    assert outcomes(verdict) == {"broken": "failed", "cannot": "not run", "wrong": "failed", "in-guest": "passed"}
    assert "ZeroDivisionError: of ours" in reasons(verdict)["broken"]
    assert "Traceback" in verdict.results[0].evidence[0].text


def test_no_qemu_is_left(tmp_path: Path) -> None:
    image = guest(tmp_path / "good.raw", UP, HANG)
    verified(tmp_path, image, IN_GUEST)
    mark = os.fsencode(str(tmp_path / "work"))
    commands = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if path.exists()]
    assert not [command for command in commands if b"qemu" in command and mark in command]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_qemu_that_somebody_ends_is_no_fault_of_the_image(tmp_path: Path, number: signal.Signals) -> None:
    def end(subject: Subject) -> Finding:
        mark = os.fsencode(str(tmp_path / "work"))
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            with suppress(OSError):
                if b"qemu-system" in (words := path.read_bytes()) and mark in words:
                    os.kill(int(path.parent.name), number)
        return passed() if subject.wait(Need.SHELL, 10) else failed("it has gone")

    image = guest(tmp_path / "good.raw", UP, HANG)
    verdict = verified(tmp_path, image, BOOTS, check("end", Need.LOGIN, run=end), check("second", Need.LOGIN, boot=2))
    assert set(outcomes(verdict).values()) == {"not run"} and verdict.outcome is Outcome.NOT_RUN
    assert reasons(verdict)["boots"].startswith("qemu was ended, and not by the guest: ")
    assert verdict.boots[0].stage is Stage.LOGIN and verdict.accelerator == ""


PANIC = "Linux version 6\nOops: int3: 0000 [#1] SMP\nKernel panic - not syncing: Fatal exception\n"
ACCIDENT = "the emulation (TCG) showed the kernel its own breakpoint: kernel panic"


def test_a_panic_of_the_emulation_is_no_fault_of_the_image(tmp_path: Path) -> None:
    told = Told()
    verdict = verified(tmp_path, guest(tmp_path / "bad.raw", PANIC, HANG), BOOTS, told=told)
    assert outcomes(verdict) == {"boots": "not run"} and verdict.outcome is Outcome.NOT_RUN
    assert reasons(verdict)["boots"].startswith(
        "the emulation (TCG) showed the kernel its own breakpoint: kernel panic"
    )
    assert len(told.of(MachineStarted)) == 2


def test_what_fails_in_the_second_attempt_is_the_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    accidents = iter([True, False])
    monkeypatch.setattr(boot_module, "is_of_emulation", lambda text: next(accidents))
    told = Told()
    verdict = verified(tmp_path, guest(tmp_path / "bad.raw", PANIC, HANG), BOOTS, told=told)
    assert verdict.outcome is Outcome.FAILED and verdict.reason.startswith("kernel panic: Fatal exception")
    [warning] = told.of(Message)
    assert f"{ACCIDENT}: Fatal exception" in str(warning) and "; it is verified once more" in str(warning)


@pytest.mark.parametrize(("need", "boot"), [(Need.END, 1), (Need.LOGIN, 2)])
def test_a_first_boot_comes_up_before_it_is_switched_off(tmp_path: Path, need: Need, boot: int) -> None:
    image = guest(tmp_path / "good.raw", UP, WAIT_FOR_BUTTON, SWITCH_OFF)
    verdict = verified(tmp_path, image, check("after", need, boot=boot))
    first = verdict.boots[0]
    (pressed,) = [moment.at for moment in first.moments if moment.text == "power button pressed"]
    (up,) = [moment.at for moment in first.moments if moment.stage is Stage.LOGIN]
    assert up + LIMITS.cloud_init < pressed
    assert first.ending == "the guest switched the machine off"
