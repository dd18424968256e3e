"""``dib-py diff BASE IMAGE``: what was changed between two images, without running or changing anything of them.

Exit codes are those of diff(1): 0 where nothing differs, 1 where something does, 2 for trouble, such as files that
can't be seen.
"""

from __future__ import annotations

import os
from pathlib import Path

import click

from dib_py.cli.looking import looking_settings
from dib_py.inside.difference import compare, to_json
from dib_py.inside.difference_text import lines
from dib_py.inside.guests import find
from dib_py.inside.opening import check, ending_in_order, opened

DIFFERENT = 1
TROUBLE = 2


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("base", type=click.Path(path_type=Path))
@click.argument("image", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="print JSON, as dib_py/schema/diff.json describes it")
def command(base: Path, image: Path, as_json: bool) -> int:
    """Say how IMAGE differs from BASE: files, registry and boot configuration of Windows, packages of Linux.

    Nobody needs to vouch for the images: each is looked at in an appliance of its own, and both stay as they are. The
    exit code is 0 if nothing differs, 1 if something does, and 2 if that can't be found out, as where no difference is
    seen but not all files are.
    """
    settings = looking_settings(os.environ)
    for one in (base, image):
        check(one)
    with ending_in_order(), opened(base, settings) as old:
        before = old, find(old)
        with opened(image, settings) as new:
            found = compare(before, (new, find(new)))
    if as_json:
        click.echo(to_json(str(base), str(image), found))
    else:
        for line in lines(found):
            click.echo(line)
    if not found.is_empty:
        return DIFFERENT
    return TROUBLE if any(found.unseen) else 0
