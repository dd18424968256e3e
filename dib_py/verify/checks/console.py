"""Does the kernel tell on the serial console what it does? ``nova console-log`` shows nothing else."""

from __future__ import annotations

import contextlib
import re
from typing import ClassVar

from dib_py.verify.checks import Finding, Need, Subject, Unreachable, failed, passed
from dib_py.verify.checks.sections import ask
from dib_py.verify.result import Evidence
from dib_py.verify.signs import STAMP

# Both are of level "notice": a kernel that was told to be quiet shows neither, and no bootloader or init prints them.
_VERSION = re.compile(rf"^(?:{STAMP})?Linux version \d.*$", re.MULTILINE)
_COMMAND_LINE = re.compile(rf"^(?:{STAMP})?(?:Kernel command line|Command line): .*$", re.MULTILINE)
_STAMPED = re.compile(rf"^{STAMP}.*$", re.MULTILINE)
_SHOWN = 5


class Console:
    """The kernel's own messages, from its first on; those of a bootloader or of services prove nothing."""

    name: ClassVar[str] = "console"
    proves: ClassVar[str] = "The kernel writes its messages to the first serial port, where a cloud keeps them."
    version: ClassVar[int] = 2
    profiles: ClassVar[frozenset[str]] = frozenset({"minimal", "openstack"})
    needs: ClassVar[frozenset[Need]] = frozenset({Need.LOGIN})  # a kernel that did not run had nothing to say
    boot: ClassVar[int] = 1

    def run(self, subject: Subject) -> Finding:
        text = subject.console.text
        first = [match[0] for match in (_VERSION.search(text), _COMMAND_LINE.search(text)) if match]
        stamped = _STAMPED.findall(text)
        shown = Evidence("kernel messages on ttyS0", "\n".join([*first, *stamped[:_SHOWN]]) or "(none)")
        if len(first) == 2:
            return passed(shown)
        told = _command_line(subject)
        why = "the kernel writes only some messages to ttyS0" if stamped else "no message of the kernel came on ttyS0"
        return failed(f"{why}{_advice(told)}", shown, Evidence("/proc/cmdline", told or "(could not be read)"))


def _command_line(subject: Subject) -> str:
    """What the kernel was told; empty where no door opens to ask."""
    if subject.wait(Need.SHELL, subject.limits.door):
        with contextlib.suppress(Unreachable):
            return ask(subject.shell, {"cmdline": "cat /proc/cmdline"})["cmdline"].output.strip()
    return ""


def _advice(command_line: str) -> str:
    words = command_line.split()
    if not words:
        return ""
    if not any(word.startswith("console=ttyS0") for word in words):
        return ": its command line lacks console=ttyS0"
    return ": its command line says quiet" if "quiet" in words else ""
