"""How far a guest has come, and what is wrong with it, told from its console."""

from __future__ import annotations

import pytest

from dib_py.verify.checks import Trouble
from dib_py.verify.result import Stage
from dib_py.verify.signs import Signs, is_of_emulation, stage_of, trouble_of

DEBIAN = """\
SeaBIOS (version 1.16.2-debian-1.16.2-1)
Booting from 0000:7c00
Loading Linux 6.1.0-37-cloud-amd64 ...
[    0.000000] Linux version 6.1.0-37-cloud-amd64 (debian-kernel@lists.debian.org)
[    4.899728] Run /init as init process
Loading, please wait...
[    8.123456] systemd[1]: systemd 252.38-1~deb12u1 running in system mode (+PAM +AUDIT)
[    8.223456] systemd[1]: Detected architecture x86-64.
Welcome to Debian GNU/Linux 12 (bookworm)!
[  OK  ] Started systemd-journald.service - Journal Service.
debian login: """
CENTOS = """\
GRUB loading..
Welcome to GRUB!
[    0.000000] Linux version 3.10.0-1160.el7.x86_64 (mockbuild@kbuilder.bsys.centos.org)
[    2.000000] systemd[1]: Running in initial RAM disk.
Welcome to CentOS Linux 7 (Core) dracut-033-572.el7 (Initramfs)!
[    6.000000] systemd-journald[123]: Received SIGTERM from PID 1 (systemd).
Welcome to CentOS Linux 7 (Core)!
[  OK  ] Reached target Multi-User System."""


def stages_of(console: str) -> list[str]:
    reached: list[str] = []
    signs = Signs(lambda stage: reached.append(stage.word))
    for line in console.splitlines():
        signs.look(line)
    assert signs.trouble is None
    return reached


def test_a_debian_comes_through_all_stages() -> None:
    assert stages_of(DEBIAN) == ["firmware", "bootloader", "kernel", "initramfs", "userspace", "login"]


def test_dracut_says_welcome_before_the_system_does() -> None:
    reached = stages_of(CENTOS)
    assert reached == ["bootloader", "kernel", "initramfs", "userspace", "login"]


def test_the_bootloaders_welcome_is_not_the_systems() -> None:
    assert stage_of("Welcome to GRUB!", Stage.NOTHING) is Stage.BOOTLOADER


def test_uefis_own_shell_is_no_bootloader() -> None:
    shell = 'BdsDxe: starting Boot0001 "EFI Internal Shell" from Fv(7CB8BDC9-F8EB-4F34-AAEA-3EE4AF6516A1)'
    assert stage_of(shell, Stage.NOTHING) is Stage.FIRMWARE
    disk = 'BdsDxe: starting Boot0001 "UEFI Misc Device" from PciRoot(0x0)/Pci(0x3,0x0)'
    assert stage_of(disk, Stage.FIRMWARE) is Stage.BOOTLOADER


def test_a_stage_is_never_left_for_an_earlier_one() -> None:
    assert stage_of("[    0.000000] Linux version 6.1.0", Stage.USERSPACE) is Stage.USERSPACE


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("No bootable device.", "the firmware finds nothing to boot"),
        ("BdsDxe: No bootable option or device was found.", "UEFI finds nothing to boot"),
        ("grub rescue> ", "GRUB finds neither its modules nor its configuration: it opened its rescue shell"),
        (
            "[    2.1] Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)",
            "kernel panic: VFS: Unable to mount root fs on unknown-block(0,0)",
        ),
        (
            "ALERT!  UUID=deadbeef does not exist.  Dropping to a shell!",
            "the initramfs gave up: UUID=deadbeef does not exist",
        ),
        ("(initramfs) ", "the initramfs gave up and opened a shell"),
        ('Generating "/run/initramfs/rdsosreport.txt"', "the initramfs gave up and opened a shell"),
        ("You are in emergency mode. After logging in, type ...", "the system went into emergency mode"),
    ],
)
def test_trouble(line: str, what: str) -> None:
    found = trouble_of(line, Stage.KERNEL)
    assert found is not None and found.what == what and found.stage is Stage.KERNEL


def test_text_that_only_mentions_trouble_is_none() -> None:
    assert trouble_of("[    1.0] Command line: panic=10 emergency", Stage.KERNEL) is None
    assert trouble_of("dracut-pre-trigger: waiting", Stage.INITRAMFS) is None


def test_a_line_that_comes_in_pieces_is_quoted_whole() -> None:
    signs = Signs(lambda stage: None)
    line = "Kernel panic - not syncing: VFS: Unable to mount root fs"
    for end in range(len(line)):
        signs.look(line[:end], complete=False)
    assert signs.trouble is not None
    signs.look(line)
    assert signs.trouble == Trouble(Stage.NOTHING, "kernel panic: VFS: Unable to mount root fs")
    signs.look("Kernel panic - not syncing: another one")
    assert signs.trouble.what.endswith("root fs")


def test_a_restart_gives_it_another_chance() -> None:
    signs = Signs(lambda stage: None)
    signs.look("Kernel panic - not syncing: once")
    signs.restarted()
    assert signs.trouble is None
    signs.look("Kernel panic - not syncing: twice")
    assert signs.trouble is not None and signs.trouble.what == "kernel panic: twice"


def test_cloud_inits_last_words() -> None:
    signs = Signs(lambda stage: None)
    signs.look("[   61.1] cloud-init[512]: Cloud-init v. 22.4.2 running 'modules:final' at Sat, 21 Nov 2026 19:04:54")
    assert not signs.cloud_init_ended
    signs.look("[   63.7] cloud-init[512]: Cloud-init v. 22.4.2 finished at Sat, 21 Nov 2026 19:04:56 +0000.")
    assert signs.cloud_init_ended


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("[   13.170000] Oops: int3: 0000 [#1] PREEMPT SMP NOPTI", True),
        ("[   13.170000] int3: 0000 [#1] SMP PTI", True),
        ("[   13.170000] Oops: general protection fault: 0000 [#1] SMP", False),
        ("[   13.170000] Oops: int3: 0000 [#2] SMP", False),  # not what it began with
        ("Kernel panic - not syncing: VFS: Unable to mount root fs", False),
    ],
)
def test_what_only_an_emulation_does_to_a_kernel(line: str, expected: bool) -> None:
    assert is_of_emulation(f"before\n{line}\nKernel panic - not syncing: Fatal exception\n") is expected
