"""What elements take back when a build fails: the hooks of ``undo.d``, run in the guest."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from dib_py.errors import DibError
from dib_py.events import Events
from dib_py.hooks import list_hooks
from dib_py.phases import HOOKS_IN_GUEST
from dib_py.step_output import StepLog
from dib_py.target import HookTimeout, Target

DIRECTORY = "undo.d"
_LONGEST = 120.0  # seconds for each hook: somebody is waiting for the failure


def undo(target: Target, hooks: Path, variables: Mapping[str, str], mask: Callable[[str], str], events: Events) -> None:
    """Run the hooks of ``undo.d``, all of them, whatever they end with; no error comes of it, only warnings.

    The guest's filesystems are mounted; the build has failed in one of its phases or after them.
    """
    directory = hooks / DIRECTORY
    names = list_hooks(directory) if directory.is_dir() else []
    if not names:
        return
    try:
        with target.guest_mounts(hooks):
            for name in names:
                if why := _run(name, target, variables, StepLog(events, mask)):
                    events.warning(f"{DIRECTORY}/{name} {why}: what it takes back is not taken back")
    except DibError as error:
        events.warning(f"{DIRECTORY}: what elements take back is not taken back: {error}")


def _run(name: str, target: Target, variables: Mapping[str, str], log: StepLog) -> str:
    """Run one hook; why it failed, if it did."""
    try:
        argv = [f"{HOOKS_IN_GUEST}/{DIRECTORY}/{name}"]
        code = target.run(argv, env=variables, output=log, timeout=_LONGEST)
    except HookTimeout:
        return f"did not end within {_LONGEST:g} s"
    finally:
        log.close()
    return f"failed with exit code {code}" if code else ""
