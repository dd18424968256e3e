"""Are the filesystems clean after the guest has switched itself off?"""

from __future__ import annotations

from typing import ClassVar

from dib_py.verify.checks import Finding, Need, Subject, failed, not_run, passed
from dib_py.verify.result import Evidence


class CleanShutdown:
    """Read from the superblocks of the machine's disk, before anything mounts them."""

    name: ClassVar[str] = "clean-shutdown"
    proves: ClassVar[str] = "A shutdown writes everything back: the filesystems need no repair and no journal replay."
    version: ClassVar[int] = 1
    profiles: ClassVar[frozenset[str]] = frozenset({"minimal", "openstack"})
    needs: ClassVar[frozenset[Need]] = frozenset({Need.END})
    boot: ClassVar[int] = 1

    def run(self, subject: Subject) -> Finding:
        found = subject.disk.filesystems
        shown = Evidence(
            "filesystems after the end",
            "\n".join(f"{one.device} {one.fstype} {one.path or '(not mounted)'}: {one.state.why}" for one in found)
            or "(none)",
        )
        unclean = [one for one in found if one.state.clean is False]
        if unclean:
            names = "; ".join(f"{one.path or one.device}: {one.state.why}" for one in unclean)
            return failed(f"not every filesystem is clean: {names}", shown)
        root = next((one for one in found if one.path == "/"), None)
        if root is None:
            return failed("no root filesystem is found on the disk any more", shown)
        if root.state.clean is None:
            return not_run(f"the root filesystem can't be judged: {root.state.why}", shown)
        return passed(shown)
