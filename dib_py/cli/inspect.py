"""``dib-py inspect IMAGE``: what is inside an image, without running or changing anything of it."""

from __future__ import annotations

import os
from pathlib import Path

import click

from dib_py.cli.looking import looking_settings
from dib_py.inside.opening import ending_in_order, opened
from dib_py.inside.report import look
from dib_py.inside.report_text import text


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("image", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="print JSON, as dib_py/schema/inspect.json describes it")
def command(image: Path, as_json: bool) -> None:
    """Say what is inside IMAGE: the operating system and its state, partitions, filesystems.

    Nobody needs to vouch for the image: it is looked at in the libguestfs appliance, nothing of it is run, and it stays
    as it is.
    """
    with ending_in_order(), opened(image, looking_settings(os.environ)) as found:
        report = look(found)
    click.echo(report.json() if as_json else text(report))
