"""The plan: base, ordered steps, packages and output, as a pure value that is computed before anything runs.

Making one reads files and runs ``environment.d`` in a bash of its own; it changes nothing and needs no root.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from dib_py import install_types, misspelt, packages
from dib_py.base.spec import BaseSpec, base_spec
from dib_py.disk.block_device import find as find_layout
from dib_py.disk.block_device import find_asked as find_asked_layout
from dib_py.disk.boot_checks import check_boot
from dib_py.disk.layout import Layout
from dib_py.distributions import refuse_other_distributions
from dib_py.element import WINDOWS, Catalog, Element
from dib_py.environment import DiskFacts, architecture, plan_environment
from dib_py.epoch import find as find_epoch
from dib_py.errors import FileError, UsageError
from dib_py.extensions import OF_FILES, extension, misleading
from dib_py.hooks import ALLOWED_NAMES, MergedHooks, merge
from dib_py.phases import INSTALL, PHASES, POST_INSTALL, Phase, check_stops
from dib_py.resolve import NoOperatingSystem, Resolution, requested_names, resolve
from dib_py.secrets import Mask
from dib_py.settings import Settings

if TYPE_CHECKING:
    from dib_py.windows.declarations import Declared

NO_FINAL_IMAGE = "no-final-image"  # an element with this in its name: diskimage-builder then writes no image
SETUP_MEDIA = "windows-autounattend"  # the element by which a build makes a medium for Windows Setup, and no image
COMMAND_LINE = "command-line"  # where scripts of --run are, below the merged hooks
DECLARATION = "declaration"  # the kind of a step that is a declarative file for Windows


@dataclass(frozen=True)
class Step:
    """One thing to run, in its place.

    ``kind`` is ``hook`` (``name`` is its file in the phase directory), ``declaration`` (its element and file), or for
    what the command line asks for ``packages`` (-p), ``run`` (--run), ``copy-in`` or ``root-password``. ``key`` names
    the layer that it produces.
    """

    index: int
    phase: Phase
    element: str
    name: str
    kind: str
    key: str
    source: Path | None = None  # the hook's file in its element
    argument: str = ""  # what the option was given, for steps of the command line


@dataclass(frozen=True)
class Output:
    """One file that the build leaves."""

    path: str
    format: str


@dataclass(frozen=True)
class Plan:
    """All that a build will do, as far as it can be known before; hooks may add hooks while it runs.

    ``base`` is None for a blank disk, which has a ``layout`` then; with both, the content of the base image moves to a
    new disk of that layout. ``environment`` is that of extra-data.d and holds secrets: show it through ``mask``.
    """

    settings: Settings
    resolution: Resolution
    base: BaseSpec | None
    layout: Layout | None
    hooks: MergedHooks
    packages: packages.Packages
    environment: Mapping[str, str]
    steps: tuple[Step, ...]
    warnings: tuple[str, ...]
    epoch: str = ""  # how fresh packages are to be
    declared: Mapping[str, Declared] = field(default_factory=dict)  # for Windows, by the names of the steps

    @property
    def is_for_windows(self) -> bool:
        return self.resolution.os_family == WINDOWS

    @property
    def elements(self) -> tuple[Element, ...]:
        return self.resolution.elements

    @property
    def moves_base(self) -> bool:
        """Whether the content of the base image moves to a new disk, which then has nothing below it."""
        return self.base is not None and self.layout is not None

    @property
    def disk_facts(self) -> DiskFacts:
        """What hooks are told about the disk, as far as it is known before there is one."""
        return _facts(self.base, self.layout)

    @property
    def formats(self) -> tuple[str, ...]:
        """Those of the formats asked for that are written: with ``no-final-image`` none that has the disk, as in
        diskimage-builder, but those that have the guest's files, and what hooks leave beside the image."""
        asked = self.settings.image_types
        if any(NO_FINAL_IMAGE in element.name for element in self.elements):
            return tuple(kind for kind in asked if kind in OF_FILES)
        return asked

    @property
    def makes_media(self) -> bool:
        """Whether what comes out is a medium for Windows Setup instead of an image."""
        return SETUP_MEDIA in self.resolution.members

    @property
    def outputs(self) -> tuple[Output, ...]:
        """The image's files in the order in which they were asked for."""
        if self.makes_media:
            return (Output(f"{self.settings.image_name.removesuffix('.iso')}.iso", "iso"),)
        name = self.settings.image_name
        return tuple(Output(f"{name}.{extension(kind)}", kind) for kind in self.formats)

    @cached_property
    def mask(self) -> Mask:
        """Hides the secrets of this build in text."""
        passwords = [one.argument for one in self.settings.one_offs if one.kind == "root-password"]
        return Mask.of({**self.settings.environ, **self.environment}, passwords)

    def left_out(self, phase: Phase) -> frozenset[str]:
        """Hooks that are in the merged tree and have nothing to do in this build."""
        return packages.left_out(self.packages, phase.directory)

    def stage(self, directory: Path) -> None:
        """Write all that hooks find in ``$TMP_HOOKS_PATH``: merged hooks, package lists, scripts of --run."""
        import shutil  # takes its time to load, and only a build gets here

        self.hooks.stage(directory)
        packages.write(self.packages, directory)
        for step in self.steps:
            if step.kind == "run" and step.source is not None:
                script = directory / COMMAND_LINE / step.name
                script.parent.mkdir(exist_ok=True)
                shutil.copyfile(step.source, script)
                script.chmod(0o755)

    def link_builtin_elements(self, directory: Path) -> None:
        """Make links to the built-in elements of this image, for hooks that look on ``$ELEMENTS_PATH``."""
        directory.mkdir(parents=True, exist_ok=True)
        for element in self.elements:
            if element.is_builtin:
                (directory / element.name).symlink_to(element.path)


def make_plan(
    settings: Settings,
    catalog: Catalog | None = None,
    *,
    secret: bytes | None = None,
    epoch: str = "",
    keyed: bool = True,
) -> Plan:
    """Find out all that a build with these settings will do, and refuse what cannot work.

    ``secret`` is the layer store's key, with which secrets enter the keys of steps; ``epoch`` says how fresh packages
    are to be, by default what the settings say. Without ``keyed`` the steps have no keys. Raises DibError.
    """
    check_stops(settings.breakpoints)
    catalog = Catalog.load(settings.elements_path) if catalog is None else catalog
    try:
        plan = _plan(settings, catalog, epoch or find_epoch(settings, None))
        return _with_keys(plan, secret) if keyed else plan
    except OSError as error:  # of a file that an element has and we may not read; others are named already
        if error.filename is None:
            raise
        raise FileError(Path(os.fsdecode(error.filename)), f"cannot be read: {error.strerror}") from error


def _plan(settings: Settings, catalog: Catalog, epoch: str) -> Plan:
    resolution = resolve(catalog, requested_names(settings, catalog), require_os=not settings.base)
    refuse_other_distributions(resolution)
    merged = merge(resolution, _allowed_names(settings))
    merged.refuse_unexecutable()
    try:
        base, layout, environment = _start(settings, resolution, merged)
    except FileError as error:
        if resolution.has_operating_system:
            raise
        raise NoOperatingSystem(
            f"no element of the base image's operating system is named, and others ask for what it says: {error}",
            hint="name it too, like debian; dib-py elements operating-system lists them",
        ) from error
    plan = Plan(settings, resolution, base, layout, merged, packages.Packages(), environment, (), (), epoch)
    plan = _with_declarations(plan) if plan.is_for_windows else _with_packages(plan)
    return replace(plan, steps=tuple(_steps(plan)), warnings=(*_warnings(plan, catalog), *plan.warnings))


def _with_packages(plan: Plan) -> Plan:
    foreseen = install_types.foresee(plan.resolution, plan.hooks, plan.environment)
    wanted = packages.compute(plan.resolution, foreseen, plan.environment, architecture(plan.settings))
    return replace(plan, hooks=foreseen, packages=wanted, warnings=wanted.warnings)


def _with_declarations(plan: Plan) -> Plan:
    from dib_py.windows import declarations, planning  # no other image needs them

    planning.refuse(plan)
    taken, left_out = planning.taken(plan, declarations.find(plan.elements))
    found = [declarations.read(one, plan.environment) for one in taken]
    warnings = (*left_out, *(text for one in found for text in one.warnings))
    return replace(plan, declared={one.declaration.name: one for one in found}, warnings=warnings)


def _allowed_names(settings: Settings) -> str:
    pattern = settings.environ.get("RUN_PARTS_REGEX") or ALLOWED_NAMES
    try:
        re.compile(pattern)
    except re.error as error:
        raise UsageError(f"RUN_PARTS_REGEX is no regular expression: {error}") from error
    return pattern


def _start(
    settings: Settings, resolution: Resolution, merged: MergedHooks
) -> tuple[BaseSpec | None, Layout | None, dict[str, str]]:
    """What the build starts on, a base image or a new disk, and the environment that goes with it."""
    if SETUP_MEDIA in resolution.members:
        return None, None, plan_environment(settings, resolution, merged)
    if _takes_base_apart_itself(settings, resolution):
        settings = replace(settings, base="")
    declaring = [element.base_image for element in resolution.elements if element.base_image is not None]
    # the last one is the most particular: debian's before that of debian-minimal, on which it depends
    declared = declaring[-1] if declaring else None
    if settings.base or declared is not None:
        environment = plan_environment(settings, resolution, merged)
        base = base_spec(settings, declared, environment)
        if base is not None:
            layout = _asked_layout(settings, resolution)
            return base, layout, plan_environment(settings, resolution, merged, disk=_facts(base, layout))
    else:
        base_spec(settings, None, {})  # refuses what makes no sense without a base image
    # as in diskimage-builder, environment.d has no say in the layout, but sees it
    layout = find_layout(resolution.elements, {**settings.environ, "ARCH": architecture(settings)}, settings)
    return None, layout, plan_environment(settings, resolution, merged, disk=DiskFacts.of(layout))


def _asked_layout(settings: Settings, resolution: Resolution) -> Layout | None:
    """The layout that somebody asked for: the block device that ``vm`` gets by default does not change a base image."""
    added = set(resolution.requested) - set(settings.elements)
    asked = [element for element in resolution.elements if element.name not in added]
    return find_asked_layout(asked, {**settings.environ, "ARCH": architecture(settings)}, settings)


def _facts(base: BaseSpec | None, layout: Layout | None) -> DiskFacts:
    facts = DiskFacts() if layout is None else DiskFacts.of(layout)
    return facts if base is None else replace(facts, base_image=base.location, moved=layout is not None)


def _takes_base_apart_itself(settings: Settings, resolution: Resolution) -> bool:
    """Whether DIB_LOCAL_IMAGE is for a root.d hook of the operating system's element, as in diskimage-builder.

    Elements made for dib-py say ``os-family`` or have a ``base-image.yaml``; --base always is for dib-py.
    """
    given = any(word == "--base" or word.startswith("--base=") for word in settings.argv)
    if given or not settings.environ.get("DIB_LOCAL_IMAGE") or not resolution.has_operating_system:
        return False
    return not any(element.base_image or (element.path / "os-family").is_file() for element in resolution.elements)


def _steps(plan: Plan) -> Iterator[Step]:
    index = 0
    for phase in PHASES:
        for element, name, kind, source, argument in _of_phase(plan, phase):
            index += 1
            yield Step(index, phase, element, name, kind, "", source, argument)


def _of_phase(plan: Plan, phase: Phase) -> Iterator[tuple[str, str, str, Path | None, str]]:
    """Element, name, kind, source and argument of the steps of a phase, in order."""
    left_out = plan.left_out(phase)
    for hook in plan.hooks.hooks(phase.directory):
        if hook.name not in left_out:
            yield hook.element, hook.name, "hook", hook.source, ""
    for name, declared in plan.declared.items():
        if declared.declaration.kind.phase is phase:
            yield declared.declaration.element, name, DECLARATION, declared.declaration.path, ""
    settings = plan.settings
    if phase is INSTALL and settings.packages:
        yield "", "command-line-packages", "packages", None, " ".join(settings.packages)
    if phase is POST_INSTALL:
        for number, one in enumerate(settings.one_offs, 1):
            source = Path(one.argument) if one.kind == "run" else None
            label = f"-{source.name}" if source else ""
            yield "", f"command-line-{number}-{one.kind}{label}", one.kind, source, one.argument


def _with_keys(plan: Plan, secret: bytes | None) -> Plan:
    from dib_py.step_keys import StepKeys

    keys = StepKeys(plan, epoch=plan.epoch, secret=secret)
    parent = keys.base
    steps = []
    for step in plan.steps:
        parent = keys.after(parent, step)
        steps.append(replace(step, key=parent))
    return replace(plan, steps=tuple(steps))


def _boot_warnings(plan: Plan, layout: Layout) -> Iterator[str]:
    """DiskError for a layout that can't boot as it is to."""
    if "bootloader" not in plan.resolution.members:
        if plan.moves_base:
            yield "the base image moves to a new disk, and no bootloader is put there: the element vm does that"
        return
    kind = plan.environment.get("DIB_BLOCK_DEVICE", "")
    element = next((one.name for one in plan.elements if one.name.startswith("block-device-")), "")
    yield from check_boot(layout, kind, element, architecture(plan.settings))


def _warnings(plan: Plan, catalog: Catalog) -> Iterator[str]:
    used = plan.resolution.members
    for override in catalog.overrides:
        if override.name in used:
            yield str(override)
    yield from plan.hooks.skipped()
    yield from misspelt.warnings(plan.settings.environ, plan.elements, catalog)
    other = "" if plan.makes_media else misleading(plan.settings.image_name, plan.settings.image_types)
    if other and plan.outputs:
        files = " and ".join(output.path for output in plan.outputs)
        yield f"the image will be {files}: -t {other} writes what -o {plan.settings.image_name} sounds like"
    if plan.layout is not None:
        yield from plan.layout.warnings
        yield from _boot_warnings(plan, plan.layout)
