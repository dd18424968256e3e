"""Is the image free of what belongs to one machine, or to the host that built it?"""

from __future__ import annotations

from typing import ClassVar

from dib_py.verify.checks import Finding, Need, Subject, failed, not_run, passed
from dib_py.verify.leftovers import leftovers
from dib_py.verify.result import Evidence

_SHOWN = 200  # leftovers


class NoLeftovers:
    """Reads the image as it is delivered, beside the boot; what can't be read is not taken for clean."""

    name: ClassVar[str] = "no-leftovers"
    proves: ClassVar[str] = (
        "The image has no host keys, machine id, MAC addresses, logs, caches or resolver of where it was built."
    )
    version: ClassVar[int] = 3
    profiles: ClassVar[frozenset[str]] = frozenset({"minimal", "openstack"})
    needs: ClassVar[frozenset[Need]] = frozenset({Need.IMAGE})
    boot: ClassVar[int] = 1

    def run(self, subject: Subject) -> Finding:
        image = subject.image
        if image.system not in ("linux", "windows"):
            return failed(f"there is nothing to look at: {image.problem or f'this is {image.system}'}")
        looked = Evidence("read", "\n".join(f"{one.device} {one.fstype} {one.path}" for one in image.filesystems))
        found = leftovers(image)
        if found:
            kinds = ", ".join(dict.fromkeys(one.kind for one in found))
            lines = [f"{one.kind}: {one.where}" for one in found]
            more = [f"... and {len(lines) - _SHOWN} more"] if len(lines) > _SHOWN else []
            return failed(
                f"left in the image: {kinds}", Evidence("leftovers", "\n".join(lines[:_SHOWN] + more)), looked
            )
        if image.problem:
            return not_run(f"not all of the image could be read: {image.problem}", looked)
        return passed(looked)
