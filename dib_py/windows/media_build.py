"""A build whose result is a medium for Windows Setup: no image, no disk, no layers, but the same elements and plan."""

from __future__ import annotations

import functools
import time
from collections.abc import Iterable
from pathlib import Path
from typing import cast

from dib_py import supervisor
from dib_py.environment import DiskFacts, Places, architecture, build_variables
from dib_py.errors import TargetError
from dib_py.events import NO_TARGET, BuildFinished, BuildStarted, OutputWritten, Subscriber
from dib_py.output.beside import Partial
from dib_py.phase_run import PhaseRun, Surroundings
from dib_py.phases import EXTRA_DATA
from dib_py.plan import Plan
from dib_py.settings import Settings
from dib_py.target import Target
from dib_py.units import GIB
from dib_py.windows import configuration_set, iso_image, unattend
from dib_py.windows.host_side import HostSide
from dib_py.windows.setup_answers import SetupChoices
from dib_py.windows.setup_commands import VirtualMachine

LABEL = "DIB_CONFIG"
_ARCHITECTURES = {"amd64": "amd64", "arm64": "arm64", "i386": "x86"}  # Debian's names, and Microsoft's
_MEDIA = "windows.iso"  # in commands, where nobody has said what the media are called


def build(plan: Plan, settings: Settings, subscribers: Iterable[Subscriber]) -> int:
    """Write the medium and return the exit code; DibError for what is wrong before work starts."""
    supervisor.check_build_root(settings)
    return supervisor.run(functools.partial(_work, plan, settings), settings, tuple(subscribers))


def _work(plan: Plan, settings: Settings, worker: supervisor.Worker) -> None:
    started = time.monotonic()
    events = worker.events
    names = [element.name for element in plan.elements]
    events.emit(BuildStarted(settings.image_name, names, NO_TARGET, len(plan.steps)))
    places = Places(worker.build_dir)
    places.mount.mkdir(parents=True, exist_ok=True)
    plan.stage(places.hooks)
    plan.link_builtin_elements(places.elements)
    _fetch(plan, settings, worker, places)
    choices = SetupChoices.of(plan.environment)
    scratch = places.build / "medium"
    scratch.mkdir()
    arch = _ARCHITECTURES[architecture(settings)]
    made = configuration_set.compose(plan.declared.values(), choices, arch, scratch, plan.environment)
    for line in made.told:
        events.info(line)
    for advice in unattend.advice(unattend.of(plan.declared.values()), choices.generation):
        events.warning(advice)
    destination = Path(plan.outputs[0].path)
    with Partial(destination, worker.partial) as medium:
        iso_image.write(made.tree, medium.path, LABEL)
        medium.publish()
    events.emit(OutputWritten(str(destination), "iso", destination.stat().st_size))
    for line in _commands(plan, choices, destination, (made.tree / configuration_set.DRIVERS).is_dir()):
        events.info(line)
    events.emit(BuildFinished(time.monotonic() - started))


def _fetch(plan: Plan, settings: Settings, worker: supervisor.Worker, places: Places) -> None:
    """Hooks on this machine, which get what declarative files then place or read."""
    target = cast(Target, _NoGuest())  # nothing but such hooks runs here
    around = Surroundings.of(plan, settings, target, worker.events, root=places.build, hooks=places.hooks)
    variables = build_variables(settings, plan.resolution, EXTRA_DATA, places=places, disk=DiskFacts())
    PhaseRun(around, EXTRA_DATA, variables).run()


class _NoGuest(HostSide):
    """A target without a guest and without a disk."""

    name = NO_TARGET

    def usage(self) -> None:
        raise TargetError("there is no disk")


def _commands(plan: Plan, choices: SetupChoices, medium: Path, drivers: bool) -> Iterable[str]:
    name = medium.stem
    machine = VirtualMachine(
        name=name,
        config=medium,
        media=plan.environment.get("DIB_WINDOWS_ISO") or _MEDIA,
        disk=f"{name}.qcow2",
        size=choices.disk_size // GIB,
        os_variant=choices.generation.osinfo,
        uefi=choices.uefi,
        drivers=drivers,
    )
    yield f"to install with libvirt:\n{machine.virt_install()}"
    if machine.uefi:
        yield f"which has to be told at once, from another terminal, to boot from the media:\n{machine.press_key()}"
    yield f"to install with qemu alone:\n{machine.qemu()}"
    if machine.uefi:
        yield "which asks for a key to boot from the media: type sendkey ret at its prompt at once, and again"
