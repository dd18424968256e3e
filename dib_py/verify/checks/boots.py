"""Does the image boot at all?"""

from __future__ import annotations

from typing import ClassVar

from dib_py.verify.checks import Finding, Need, Subject, failed, passed
from dib_py.verify.result import Evidence, Stage

_SHOWN = 40  # lines of the console: a panic comes with a trace
# what tells of a guest that came up although its console does not show it
_DOORS = {Need.AGENT: "the guest agent answers", Need.SSH: "the ssh server answers"}


class Boots:
    """A login prompt, or the target that means the same; where the console is mute, an open door is as good."""

    name: ClassVar[str] = "boots"
    proves: ClassVar[str] = "The image boots until somebody can log in."
    version: ClassVar[int] = 1
    profiles: ClassVar[frozenset[str]] = frozenset({"minimal", "openstack"})
    needs: ClassVar[frozenset[Need]] = frozenset({Need.MACHINE})
    boot: ClassVar[int] = 1

    def run(self, subject: Subject) -> Finding:
        return came_up(subject)


def came_up(subject: Subject) -> Finding:
    """Whether this boot of the machine came as far as a login; waits for it."""
    came = subject.wait(Need.LOGIN, subject.limits.login)
    console = subject.console
    shown = Evidence("the console's last lines", "\n".join(console.tail(_SHOWN)) or "(nothing came)")
    if not came:
        stage = subject.trouble.stage if subject.trouble else console.stage
        return failed(f"{_why(subject)}; it came as far as {_stage(stage)}", shown)
    if console.stage >= Stage.LOGIN:
        return passed(shown)
    seen = [text for need, text in _DOORS.items() if subject.wait(need, 0)]
    if not seen:
        return failed("there is neither a login prompt nor an open door", shown)
    return passed(Evidence("seen besides the console", "\n".join(seen)), shown)


def _why(subject: Subject) -> str:
    if subject.trouble is not None:
        return subject.trouble.what
    if subject.ending:
        return f"the machine ended before a login prompt came: {subject.ending}"
    return f"no login prompt within {subject.limits.login:g} s"


def _stage(stage: Stage) -> str:
    return "nothing at all" if stage is Stage.NOTHING else f"the {stage.word}"
