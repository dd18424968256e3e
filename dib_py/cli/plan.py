"""``dib-py plan [OPTIONS] ELEMENT...``: what a build would do; nothing is run and no root is needed."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from itertools import groupby

import click

from dib_py.cli.options import SettingsCommand
from dib_py.disk.layout import Layout
from dib_py.disk.size import shown as shown_size
from dib_py.layers.walk import CLOSING
from dib_py.obstacles import doubts, obstacles
from dib_py.phases import ROOT
from dib_py.plan import DECLARATION, NO_FINAL_IMAGE, Plan, Step
from dib_py.plan_json import to_json
from dib_py.prospect import Prospect, look
from dib_py.secrets import MASKED
from dib_py.settings import Settings

WIDTH = 110  # columns at which lists of names are folded
KEY_SHOWN = 12  # characters of a key that people need to tell it from others
HELP = """Print what a build would do: its base, steps, packages and output.

Takes the options of a build. Nothing is run and no root is needed."""


@click.command(cls=SettingsCommand, help=HELP)
@click.option("--json", "as_json", is_flag=True, help="print JSON, as dib_py/schema/plan.json describes it")
def command(settings: Settings, as_json: bool) -> None:
    prospect = look(settings)
    plan = prospect.plan
    if as_json:
        click.echo(to_json(plan, prospect.outlooks))
    else:
        click.echo(plan.mask("\n".join(lines(plan))))
    warn(prospect)


def warn(prospect: Prospect) -> None:
    """Say on standard error what may go wrong with a build of this, and what would end it here."""
    plan = prospect.plan
    hindrances = (*prospect.hindrances, *obstacles(plan, prospect.left))
    refused = [f"a build here would be refused: {why}" for why in hindrances]
    for warning in (*plan.warnings, *doubts(plan), *refused, *filter(None, [prospect.trouble])):
        click.echo(f"dib-py: warning: {plan.mask(warning)}", err=True)


def lines(plan: Plan) -> Iterator[str]:
    """The plan for people."""
    yield from _field("base", _base(plan))
    yield from _field("elements", " ".join(element.name for element in plan.elements) or "none")
    for output in plan.outputs:
        yield from _field("output", f"{output.path} ({output.format})" if output.path else output.format)
    if plan.settings.verify:
        yield from _field("verify", _verification(plan))
    if plan.packages.slots:
        yield ""
        yield from _packages(plan)
    for phase, steps in groupby(plan.steps, key=lambda step: step.phase):
        yield ""
        yield f"{phase.directory} ({phase.side.value})"
        yield from _table(list(steps))


def _field(name: str, text: str) -> Iterator[str]:
    yield textwrap.fill(
        text,
        WIDTH,
        initial_indent=f"{name:<10}",
        subsequent_indent=" " * 10,
        break_on_hyphens=False,
        break_long_words=False,
    )


def _base(plan: Plan) -> str:
    if plan.base is not None:
        checksum = plan.base.checksum or "no checksum"
        image = f"image {plan.base} ({checksum}), from {plan.base.source}"
        if media := plan.base.media:
            edition = f"the edition {media.edition}" if media.edition else "the only edition that the media may have"
            image += f"; of installation media, a disk of {shown_size(media.disk_size)} is made with {edition}"
        return image if plan.layout is None else f"{image}; its content moves to a {_disk(plan.layout)}"
    if plan.makes_media:
        return "none: a medium for Windows Setup is made"
    blank = "blank disk" if plan.layout is None else f"blank {_disk(plan.layout)}"
    filled = plan.resolution.has_operating_system and any(step.phase is ROOT for step in plan.steps)
    return f"{blank}; {plan.resolution.operating_system.name} fills it in root.d" if filled else blank


def _disk(layout: Layout) -> str:
    filesystems = ", ".join(f"{fs.type} {fs.mount_point}" if fs.mount_point else fs.type for fs in layout.filesystems)
    table = f"{layout.table.label}: " if layout.table else "unpartitioned: "
    return f"disk, {table}{filesystems}, from {layout.source}"


def _verification(plan: Plan) -> str:
    """What --verify does with the image of this plan."""
    if plan.makes_media:
        return "nothing: a medium for Windows Setup is no image that boots"
    if not plan.outputs:
        return f"nothing: no image is written, as there is {NO_FINAL_IMAGE}"
    from dib_py.verify import choice  # loads every check, which other plans need not

    profile = choice.DEFAULT_PROFILE
    if plan.is_for_windows:
        return f"profile {profile}, as far as it can be read from the disk: images of Windows can't be booted here"
    names = " ".join(check.name for check in choice.of_profile(profile, choice.known()))
    return f"the image is booted, and takes its name only if it passes profile {profile}: {names}"


def _packages(plan: Plan) -> Iterator[str]:
    for slot, wanted in plan.packages.slots.items():
        yield f"{slot.phase} {slot.action}, {slot.part}:"
        yield textwrap.fill(
            " ".join(wanted),
            WIDTH,
            initial_indent="  ",
            subsequent_indent="  ",
            break_on_hyphens=False,
            break_long_words=False,
        )


def _table(steps: list[Step]) -> Iterator[str]:
    names = max(len(shown(step)) for step in steps)
    owners = max(len(owner(step)) for step in steps)
    for step in steps:
        yield f"  {step.index:>3}  {shown(step):<{names}}  {owner(step):<{owners}}  {step.key[:KEY_SHOWN]}"


def shown(step: Step) -> str:
    """What people call a step: the hook's name, or the option that asks for it."""
    if step.kind in ("hook", DECLARATION, CLOSING):
        return step.name
    option = "-p" if step.kind == "packages" else f"--{step.kind}"
    return f"{option} {MASKED if step.kind == 'root-password' else step.argument}"


def owner(step: Step) -> str:
    """The element that a step belongs to, or who else asks for it."""
    if step.kind == CLOSING:
        return "dib-py"
    if step.kind == "hook" and not step.element:
        return "another hook"
    return step.element or "command line"
