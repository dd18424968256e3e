"""Which flavour does the image need: the figures for ``openstack image create --min-disk --min-ram``."""

from __future__ import annotations

import re
from typing import ClassVar

from dib_py.units import GIB, MIB
from dib_py.verify.checks import Finding, Need, Subject, failed, passed
from dib_py.verify.checks.sections import ask
from dib_py.verify.result import Evidence

# an image that needs more starts on few flavours
MOST_DISK = 80  # GiB, as OpenStack's m1.large has
MOST_MEMORY = 2048  # MiB, as its m1.small has
_STEP = 64  # MiB
_HEADROOM = 1.25  # of what the guest had in use when it had come up

_FIELD = re.compile(r"^(MemTotal|MemAvailable|MemFree|SwapTotal|SwapFree): +(\d+) kB$", re.MULTILINE)
_OUT_OF_MEMORY = re.compile(r"^.*(?:Out of memory|oom-kill|Killed process \d+).*$", re.MULTILINE)
_QUESTIONS = {
    "meminfo": "cat /proc/meminfo",
    # the console has no such message of a kernel that was told to be quiet
    "killed": "{ dmesg; journalctl -b -k -q --no-pager; } 2>/dev/null | "
    "grep -E 'Out of memory|oom-kill|Killed process' | tail -n 20",
}


class Size:
    """min_disk is the disk's size in whole GiB; min_ram what the guest was seen to use with swap, and a quarter."""

    name: ClassVar[str] = "size"
    proves: ClassVar[str] = "min_disk and min_ram are known, and usual flavours (80 GiB, 2048 MiB) have them."
    version: ClassVar[int] = 2
    profiles: ClassVar[frozenset[str]] = frozenset({"openstack"})
    needs: ClassVar[frozenset[Need]] = frozenset({Need.SHELL})
    boot: ClassVar[int] = 1

    def run(self, subject: Subject) -> Finding:
        subject.wait(Need.CLOUD_INIT, subject.limits.cloud_init)
        min_disk = -(-subject.virtual_size // GIB)
        answers = {name: answer.output for name, answer in ask(subject.shell, _QUESTIONS).items()}
        meminfo = answers["meminfo"]
        fields = {name: int(value) * 1024 for name, value in _FIELD.findall(meminfo)}
        free = fields.get("MemAvailable", fields.get("MemFree", 0))
        if "MemTotal" not in fields or not 0 < free <= subject.memory * MIB:
            return failed("the guest does not say how much memory it uses", Evidence("/proc/meminfo", meminfo))
        swapped = max(0, fields.get("SwapTotal", 0) - fields.get("SwapFree", 0))
        used = subject.memory * MIB - free + swapped
        min_ram = -(-int(used * _HEADROOM) // (_STEP * MIB)) * _STEP
        shown = Evidence(
            "figures",
            f"min_disk {min_disk} GiB (the image's disk has {subject.virtual_size / GIB:.2f} GiB)\n"
            f"min_ram {min_ram} MiB ({used // MIB} MiB in use when the guest had come up, {swapped // MIB} of it swap; "
            f"the machine has {subject.memory} MiB)\n"
            f"file {subject.image_path.stat().st_size / MIB:.1f} MiB",
        )
        killed = _OUT_OF_MEMORY.findall(f"{subject.console.text}\n{answers['killed']}")
        return _judged(min_disk, min_ram, killed, shown)


def _judged(min_disk: int, min_ram: int, killed: list[str], shown: Evidence) -> Finding:
    if killed:
        return failed(
            "the guest ran out of memory while it came up", shown, Evidence("kernel messages", "\n".join(killed))
        )
    if min_disk > MOST_DISK:
        return failed(f"the image needs a disk of {min_disk} GiB: usual flavours have up to {MOST_DISK}", shown)
    if min_ram > MOST_MEMORY:
        return failed(f"the image needs {min_ram} MiB of memory: a small flavour has {MOST_MEMORY}", shown)
    return passed(shown)
