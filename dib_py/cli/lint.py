"""``dib-py lint WHAT...``: find what is wrong with elements."""

from __future__ import annotations

import os
from pathlib import Path

import click

from dib_py.element import split_elements_path
from dib_py.lint import codes, lint
from dib_py.lint.formats import FORMATS
from dib_py.render.measures import count_of


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("what", metavar="WHAT...", nargs=-1)
@click.option(
    "--format",
    "form",
    type=click.Choice(list(FORMATS)),
    default="text",
    show_default=True,
    help="how findings are told",
)
@click.option(
    "--together",
    "combinations",
    metavar="ELEMENTS",
    multiple=True,
    help="also look at these elements, separated by blanks, as they would go into one image; may be repeated",
)
@click.option("--rules", is_flag=True, help="print the rules and what each asks for")
def command(what: tuple[str, ...], form: str, combinations: tuple[str, ...], rules: bool) -> int:
    """Find what is wrong with elements; nothing of them is run.

    WHAT is a directory that holds elements, is one, or is a repository with a directory called elements; or a file of
    an element; or the name of an element that builds find. The exit code is 1 if something was found.

    A line "# dib-lint: disable=CODE..." switches rules off for a file, "ignore = CODE..." in section [dib-lint] of
    tox.ini or setup.cfg for a repository.
    """
    if rules:
        click.echo("\n".join(f"{code:20} {text}" for code, text in codes().items()))
        return 0
    if not what:
        raise click.UsageError("lint needs at least one directory, file or name of an element")
    elements_path = split_elements_path(os.environ.get("ELEMENTS_PATH", ""))
    names = [word for word in what if not Path(word).exists() and "/" not in word]
    report = lint(
        [Path(word) for word in what if word not in names],
        names,
        elements_path=elements_path,
        combinations=[together.split() for together in combinations],
    )
    click.echo(FORMATS[form](report), nl=False)
    count = len(report.findings)
    found = count_of(count, "finding") if count else "nothing found"
    click.echo(f"{found} in {count_of(report.elements, 'element')}, {count_of(report.files, 'file')}", err=True)
    return 1 if report.findings else 0
