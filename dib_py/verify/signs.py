"""What a console says that tells how far a guest has come, or that it won't come further.

Each line is looked at once, cleaned, as it is complete; a prompt never is, so what there is of a line is looked at too.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from dib_py.verify.checks import Trouble
from dib_py.verify.result import Stage

# before the kernel's messages: seconds, and where CONFIG_PRINTK_CALLER is on the task or processor that says it
STAMP = r"\[ *\d+\.\d{6}\](?: ?\[ *[TC]\d+\])? "

# in the order of stages, each the first sign that the guest is in it
_STAGES = tuple(
    (stage, re.compile(pattern))
    for stage, pattern in (
        (Stage.FIRMWARE, r"SeaBIOS|BdsDxe:|UEFI firmware"),
        (
            Stage.BOOTLOADER,
            (
                r"Booting from [0-9a-fA-F]{4}:|BdsDxe: starting Boot\w+ .(?!EFI Internal Shell)|"
                r"\bGRUB\b|grub>|grub rescue>|(SYS|ISO|EXT)LINUX|"
                r"Loading Linux|Loading initial ramdisk|systemd-boot|boot: ?$"
            ),
        ),
        (Stage.KERNEL, rf"Linux version \d|^{STAMP}|EFI stub:|Decompressing Linux"),
        (
            Stage.INITRAMFS,
            (
                r"Run /init as init process|^Loading, please wait|^Begin: |^Starting (version \S+|systemd-udevd)|"
                r"\bdracut\b|\(initramfs\)|\(Initramfs\)|Running in (initrd|initial RAM disk)"
            ),
        ),
        (
            Stage.USERSPACE,
            (
                r"Run /(sbin/init|bin/init|etc/init|bin/sh) as init process|Switching root|Set hostname to|"
                r"^INIT: version|OpenRC |Started .*Journal Service|cloud-init\[\d+\]:|"
                r"Reached target .*Local File Systems"
            ),
        ),
        (
            Stage.LOGIN,
            r"^\S+ login:( |$)|Reached target .*(Multi-User System|Graphical Interface|multi-user\.target)",
        ),
    )
)
_WELCOME = re.compile(r"^Welcome to (?!GRUB).+!")  # by systemd, in the initramfs of dracut too, which says so itself
CLOUD_INIT_ENDED = re.compile(r"Cloud-init v\. \S+ finished at")

# what no guest comes back from by itself, with what to call it; {} is the group of the pattern
_TROUBLES: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern), what)
    for pattern, what in (
        (r"No bootable device", "the firmware finds nothing to boot"),
        (r"BdsDxe: No bootable option or device was found|^UEFI Interactive Shell", "UEFI finds nothing to boot"),
        (r"^(grub rescue>)", "GRUB finds neither its modules nor its configuration: it opened its rescue shell"),
        (r"^(grub>)", "GRUB has nothing to boot: it opened its shell"),
        (r"Kernel panic - not syncing: (.*)", "kernel panic: {}"),
        (r"ALERT!\s+(.*?)\.?\s*(?:Dropping to a shell!?)?$", "the initramfs gave up: {}"),
        (r"^\(initramfs\)", "the initramfs gave up and opened a shell"),
        (r"^dracut:.*# ?$|Generating .*/run/initramfs/rdsosreport", "the initramfs gave up and opened a shell"),
        (r"You are in emergency mode|Entering emergency mode", "the system went into emergency mode"),
        (r"(?:Give root password for maintenance|Press Enter for maintenance)", "the system asks for maintenance"),
    )
)

# A kernel that changes its own code puts a breakpoint there meanwhile, and knows it when another processor meets it. In
# emulation one can meet it so late that the kernel has forgotten it.
_OF_EMULATION = re.compile(r"\bint3: 0000 \[#1\]")


def is_of_emulation(text: str) -> bool:
    """Whether a kernel that panicked did so for what happens in emulation only; ``text`` is all of the console."""
    return _OF_EMULATION.search(text) is not None


def stage_of(line: str, before: Stage) -> Stage:
    """The stage that a line is a sign of, or the one that was reached before."""
    for stage, pattern in reversed(_STAGES):
        if stage <= before:
            break
        if pattern.search(line):
            return stage
    if before < Stage.USERSPACE and _WELCOME.search(line) and "nitramfs" not in line and "initrd" not in line:
        return Stage.USERSPACE
    return before


def trouble_of(line: str, stage: Stage) -> Trouble | None:
    """What a line says is wrong for good, with the stage in which that is; None for one that says nothing like it."""
    for pattern, what in _TROUBLES:
        if found := pattern.search(line):
            detail = found.group(1).strip() if pattern.groups else ""
            return Trouble(stage, what.format(detail))
    return None


class Signs:
    """How far one guest has come, told line by line."""

    def __init__(self, reached: Callable[[Stage], None]) -> None:
        """``reached`` is told each new stage."""
        self._reached = reached
        self.stage = Stage.NOTHING
        self.trouble: Trouble | None = None  # the first since the last start
        self._guessed = False  # from a line that was not complete
        self.cloud_init_ended = False

    def look(self, line: str, *, complete: bool = True) -> None:
        """Take a line. One that is not ``complete`` comes again with more of it, and then says better what is wrong."""
        stage = stage_of(line, self.stage)
        if stage > self.stage:
            self.stage = stage
            self._reached(stage)
        if (self.trouble is None or self._guessed) and self.stage < Stage.LOGIN:
            self.trouble = trouble_of(line, self.stage)
            self._guessed = self.trouble is not None and not complete
        self.cloud_init_ended = self.cloud_init_ended or bool(CLOUD_INIT_ENDED.search(line))

    def restarted(self) -> None:
        """The machine was reset: what was in its way may not be there the next time."""
        self.trouble = None
