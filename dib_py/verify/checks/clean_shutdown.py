"""Are the filesystems clean after the guest has switched itself off?"""

from __future__ import annotations

from typing import ClassVar

from dib_py.verify.checks import Finding, Need, Subject, failed, not_run, passed
from dib_py.verify.result import Evidence


class CleanShutdown:
    """Read from the superblocks of the machine's disk, before anything mounts them."""

    name: ClassVar[str] = "clean-shutdown"
    proves: ClassVar[str] = "A shutdown writes everything back: the filesystems need no repair and no journal replay."
    version: ClassVar[int] = 2
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
        if not any(one.path == "/" for one in found):
            return failed("no root filesystem is found on the disk any more", shown)
        unknown = [f"{one.path}: {one.state.why}" for one in found if one.path and one.state.clean is None]
        if unknown:
            return not_run(f"not every filesystem can be judged: {'; '.join(unknown)}", shown)
        return passed(shown)
