"""What keeps this machine from carrying a plan out that is right as such; said before anything starts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from dib_py import output
from dib_py.doctor import Machine
from dib_py.errors import DibError, HostError, TargetError
from dib_py.host_files import named_bootstrappers
from dib_py.host_programs import PROGRAMS, find
from dib_py.output.beside import check_directory
from dib_py.phases import ROOT
from dib_py.plan import Plan, Step
from dib_py.target.choose import refuse_other_architecture
from dib_py.verify import accept

# texts that name these mean those of the guest, as often as not
_GUESTS_TOO = frozenset({"dnf", "yum", "zypper"})
_WINDOWS_IS_A_DISK = "Windows, whose files are no system without their disk"


def check_outputs(plan: Plan) -> None:
    """Raise UsageError for results that nobody could write, OutputError or HostError for those that can't be here."""
    if plan.makes_media:
        check_directory(Path(plan.outputs[0].path))
        return
    output.check_output(plan.settings, _WINDOWS_IS_A_DISK if plan.is_for_windows else "")
    accept.check_formats(plan.settings, plan.formats)


def obstacles(plan: Plan, steps: Iterable[Step]) -> Iterator[DibError]:
    """Why a build of which these steps are left to run would be refused here.

    An element says in its file ``bootstrap-programs`` what its root.d needs where there is no base image.
    """
    try:
        refuse_other_architecture(plan.settings.arch)
    except TargetError as error:
        yield error
    left = {step.element for step in steps if step.phase is ROOT}
    for element in plan.elements:
        if plan.base is not None or element.name not in left:
            continue
        missing = [name for name in element.bootstrap_programs if find(name, plan.settings.environ) is None]
        if missing:
            yield HostError(
                f"this machine lacks {' and '.join(missing)}, with which element {element.name} bootstraps",
                hint="; ".join(filter(None, map(_how_to_install, missing))),
            )


def doubts(plan: Plan) -> Iterator[str]:
    """What is likely to keep a build from succeeding here, by the texts of elements that do not say what they need."""
    silent = {element.name for element in plan.elements if not element.bootstrap_programs}
    for step in plan.steps:
        if step.phase is not ROOT or step.source is None or step.element not in silent:
            continue
        named = sorted(named_bootstrappers([_read(step.source)]) - _GUESTS_TOO)
        if named and all(find(name, plan.settings.environ) is None for name in named):
            title = f"{step.phase.directory}/{step.name} of {step.element}"
            yield f"{title} seems to need {' or '.join(named)}, which this machine lacks"


def _how_to_install(program: str) -> str:
    known = next((one for one in PROGRAMS if one.name == program), None)
    return Machine().install(known.debian, known.fedora) if known else ""


def _read(hook: Path) -> bytes:
    try:
        return hook.read_bytes()
    except OSError:  # the build says so when it gets there
        return b""
