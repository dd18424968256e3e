"""``dib-py graph ELEMENT...``: draw how the elements of an image depend on each other."""

from __future__ import annotations

import click

from dib_py import graph
from dib_py.cli.options import SettingsCommand
from dib_py.element import Catalog
from dib_py.errors import UsageError
from dib_py.resolve import requested_names, resolve
from dib_py.settings import Settings


@click.command(cls=SettingsCommand)
@click.option(
    "--format",
    "form",
    type=click.Choice(sorted(graph.FORMATS)),
    default="dot",
    show_default=True,
    help="language of the drawing; svg needs graphviz",
)
def command(settings: Settings, form: str) -> None:
    """Draw what the elements depend on, as a build would resolve them.

    The elements that were asked for are marked; a dashed line leads to an element that only provides what is needed.
    An operating system is not needed: a part of an image can be drawn too.
    """
    if not settings.elements:
        raise UsageError("graph needs at least one element", hint="for example: dib-py graph debian vm")
    catalog = Catalog.load(settings.elements_path)
    resolution = resolve(catalog, requested_names(settings, catalog), require_os=False)
    click.echo(graph.FORMATS[form](resolution), nl=False)
