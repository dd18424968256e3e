"""``dib-py new PATH``: begin an element."""

from __future__ import annotations

import os
from pathlib import Path

import click

from dib_py.element import Catalog, split_elements_path
from dib_py.errors import UsageError, nearest
from dib_py.phases import PHASES, Phase
from dib_py.resolve import hint_for_unknown
from dib_py.skeleton import Skeleton


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("path", type=click.Path(path_type=Path))
@click.option(
    "--phase",
    "phases",
    metavar="PHASE",
    multiple=True,
    help="begin a hook in this phase, like install or post-install; may be repeated",
)
@click.option("-p", "--package", "packages", metavar="NAME", multiple=True, help="install a package; may be repeated")
@click.option("--needs", metavar="ELEMENT", multiple=True, help="depend on an element; may be repeated")
@click.option(
    "--variable",
    "variables",
    metavar="NAME[=DEFAULT]",
    multiple=True,
    help="take a variable of the environment; may be repeated",
)
@click.option("--windows", is_flag=True, help="for Windows: a file for the registry instead of hooks in the guest")
@click.option("--summary", metavar="TEXT", default="", help="one sentence that says what the element does")
def command(
    path: Path,
    phases: tuple[str, ...],
    packages: tuple[str, ...],
    needs: tuple[str, ...],
    variables: tuple[str, ...],
    windows: bool,
    summary: str,
) -> None:
    """Make a directory PATH with a new element, which dib-py lint finds nothing wrong with.

    The last part of PATH is the element's name. What is there already is left alone. Without --phase, --package and
    --windows it has a hook in install.d.
    """
    path = path.absolute()
    beside = [path.parent] if path.parent.is_dir() else []
    catalog = Catalog.load([*beside, *split_elements_path(os.environ.get("ELEMENTS_PATH", ""))])
    for name in needs:
        if catalog.get(name) is None and not catalog.providers(name):
            raise UsageError(f"unknown element '{name}'", hint=hint_for_unknown(catalog, name))
    chosen = phases or (() if packages or windows else ("install",))
    defaults = {name: default for name, _, default in (text.partition("=") for text in variables)}
    skeleton = Skeleton(path.name, summary, [_phase(name) for name in chosen], packages, needs, defaults, windows)
    hidden = catalog.get(path.name)
    skeleton.write(path.parent)
    if hidden and hidden.path != path:
        click.echo(f"note: there is an element of this name in {hidden.path.parent}, which it hides", err=True)
    for name in skeleton.files:
        click.echo(os.path.relpath(path / name))


def _phase(name: str) -> Phase:
    known = {phase.name: phase for phase in PHASES}
    found = known.get(name.removesuffix(".d"))
    if found is None:
        meant = nearest(name.removesuffix(".d"), known)
        hint = f"did you mean {meant[0]}?" if meant else f"there are {', '.join(known)}"
        raise UsageError(f"there is no phase '{name}'", hint=hint)
    return found
