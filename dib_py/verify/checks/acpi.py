"""Does the guest switch itself off when the cloud presses its power button?"""

from __future__ import annotations

from typing import ClassVar

from dib_py.verify.checks import Finding, Need, Subject, failed, passed
from dib_py.verify.result import Evidence

_SHOWN = 15  # lines of the console


class Acpi:
    """The last check of a boot: nothing can be asked afterwards."""

    name: ClassVar[str] = "acpi"
    proves: ClassVar[str] = "The power button of ACPI, which clouds press to stop a guest, shuts it down in time."
    version: ClassVar[int] = 1
    profiles: ClassVar[frozenset[str]] = frozenset({"minimal", "openstack"})
    needs: ClassVar[frozenset[Need]] = frozenset({Need.LOGIN, Need.OTHERS})
    boot: ClassVar[int] = 1

    def run(self, subject: Subject) -> Finding:
        limit = subject.limits.shutdown
        if subject.ending:
            return failed(f"the machine had ended before the power button was pressed: {subject.ending}")
        off = subject.press_power_button(limit)
        shown = Evidence("the console's last lines", "\n".join(subject.console.tail(_SHOWN)))
        if not off:
            return failed(subject.ending or f"still on {limit:g} s after the power button was pressed", shown)
        return passed(Evidence("how it ended", subject.ending or "the machine switched itself off"), shown)
