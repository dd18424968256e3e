"""boots, console and acpi: what the console and the machine's end tell."""

from __future__ import annotations

import pytest

from dib_py.verify.checks import Need, Trouble
from dib_py.verify.checks.acpi import Acpi
from dib_py.verify.checks.boots import Boots
from dib_py.verify.checks.console import Console as ConsoleCheck
from dib_py.verify.result import Outcome, Stage
from dib_py.verify.signs import stage_of
from tests.verify.checks.fakes import Console, Subject

BOOT = """\
SeaBIOS (version 1.16.2-debian-1.16.2-1)
GRUB loading.
[    0.000000] Linux version 6.1.0-56-cloud-amd64 (debian-kernel@lists.debian.org) (gcc-12 (Debian 12.2.0-14)) #1 SMP
[    0.000000] Command line: BOOT_IMAGE=/boot/vmlinuz-6.1.0-56-cloud-amd64 root=LABEL=cloudimg-rootfs ro console=ttyS0
[    0.000000] BIOS-provided physical RAM map:
[    1.042342] Run /init as init process
Debian GNU/Linux 12 verify-1234 ttyS0

verify-1234 login:
"""
# what systemd and services say goes to the console too, whatever the kernel does
WITHOUT_KERNEL = """\
SeaBIOS (version 1.16.2-debian-1.16.2-1)
Loading Linux 6.1.0-56-cloud-amd64 ...
[  OK  ] Started ssh.service - OpenBSD Secure Shell server.
verify-1234 login:
"""
QUIET = "[    0.812000] shpchp 0000:00:04.0: pci_hp_register failed with error -16\nverify-1234 login:\n"
CMDLINE = "BOOT_IMAGE=/boot/vmlinuz root=LABEL=cloudimg-rootfs ro"


def test_boots_shows_the_prompt() -> None:
    finding = Boots().run(Subject(console=Console(BOOT)))
    assert finding.outcome is Outcome.PASSED
    assert "verify-1234 login:" in finding.evidence[0].text


def test_boots_names_the_trouble_and_the_stage() -> None:
    trouble = Trouble(Stage.KERNEL, "kernel panic: no init found")
    subject = Subject(
        missing=frozenset({Need.LOGIN}), trouble=trouble, console=Console("Kernel panic - not syncing", Stage.KERNEL)
    )
    finding = Boots().run(subject)
    assert finding.outcome is Outcome.FAILED
    assert finding.reason == "kernel panic: no init found; it came as far as the kernel"
    assert "Kernel panic" in finding.evidence[0].text


def test_boots_says_that_nothing_came() -> None:
    finding = Boots().run(Subject(missing=frozenset({Need.LOGIN}), console=Console("", Stage.NOTHING)))
    assert finding.reason == "no login prompt within 1 s; it came as far as nothing at all"
    assert finding.evidence[0].text == "(nothing came)"


def test_boots_takes_an_open_door_for_a_prompt() -> None:
    subject = Subject(console=Console("", Stage.KERNEL), missing=frozenset({Need.SSH}))
    finding = Boots().run(subject)
    assert finding.outcome is Outcome.PASSED
    assert finding.evidence[0].text == "the guest agent answers"


def test_boots_takes_no_ones_word_that_the_guest_is_up() -> None:
    subject = Subject(console=Console("", Stage.KERNEL), missing=frozenset({Need.SSH, Need.AGENT}))
    assert Boots().run(subject).outcome is Outcome.FAILED


def test_console_shows_the_kernels_first_messages() -> None:
    finding = ConsoleCheck().run(Subject(console=Console(BOOT)))
    assert finding.outcome is Outcome.PASSED
    assert "Linux version 6.1.0" in finding.evidence[0].text


@pytest.mark.parametrize("caller", ["[    T0]", " [    T0]", "[   C12]"])
def test_kernels_that_name_the_caller_are_heard_too(caller: str) -> None:
    text = BOOT.replace("[    0.000000]", f"[    0.000000]{caller}")
    finding = ConsoleCheck().run(Subject(console=Console(text)))
    assert (finding.outcome, finding.evidence[0].text.count("[    0.000000]")) == (Outcome.PASSED, 5)
    assert stage_of(f"[    0.000000]{caller} BIOS-provided physical RAM map:", Stage.BOOTLOADER) is Stage.KERNEL


@pytest.mark.parametrize(
    ("text", "cmdline", "reason"),
    [
        (
            WITHOUT_KERNEL,
            CMDLINE,
            "no message of the kernel came on ttyS0: its command line lacks console=ttyS0",
        ),
        (
            QUIET,
            f"{CMDLINE} console=ttyS0 quiet",
            "the kernel writes only some messages to ttyS0: its command line says quiet",
        ),
        ("", f"{CMDLINE} console=ttyS0", "no message of the kernel came on ttyS0"),
        ("I have read: Linux version 6.1\n", CMDLINE + " console=ttyS0", "no message of the kernel came on ttyS0"),
    ],
)
def test_console_fails_without_them(text: str, cmdline: str, reason: str) -> None:
    finding = ConsoleCheck().run(Subject({"cmdline": cmdline}, console=Console(text)))
    assert (finding.outcome, finding.reason) == (Outcome.FAILED, reason)


def test_console_needs_no_door_to_fail() -> None:
    finding = ConsoleCheck().run(Subject(console=Console(""), missing=frozenset({Need.SHELL})))
    assert finding.reason == "no message of the kernel came on ttyS0"


def test_acpi_says_how_it_ended() -> None:
    finding = Acpi().run(Subject(console=Console("[   99.1] reboot: Power down\n")))
    assert finding.outcome is Outcome.PASSED
    assert finding.evidence[0].text == "the guest switched the machine off"


def test_acpi_fails_for_a_machine_that_stays_on() -> None:
    finding = Acpi().run(Subject(switches_off=False))
    assert (finding.outcome, finding.reason) == (Outcome.FAILED, "still on 1 s after the power button was pressed")


def test_acpi_takes_no_credit_for_a_machine_that_had_ended() -> None:
    finding = Acpi().run(Subject(ending="qemu ended: exit code 1"))
    assert finding.outcome is Outcome.FAILED
    assert "qemu ended" in finding.reason
