"""``dib-py explain [OPTIONS] ELEMENT...``: which steps a build need not run, and why the first one runs that does."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from itertools import groupby

import click

from dib_py.cli.options import SettingsCommand
from dib_py.cli.plan import WIDTH, owner, shown, warn
from dib_py.explain import FOLLOWS
from dib_py.prospect import Outlook, Prospect, look
from dib_py.settings import Settings

HELP = """Say for each step of a build whether it is a hit, which need not run, and why the first one runs that must.

Takes the options of a build. Nothing is run and no root is needed."""


@click.command(cls=SettingsCommand, help=HELP)
def command(settings: Settings) -> None:
    prospect = look(settings)
    click.echo(prospect.plan.mask("\n".join(lines(prospect))))
    warn(prospect)


def lines(prospect: Prospect) -> Iterator[str]:
    """The prospect for people."""
    for phase, group in groupby(prospect.outlooks, key=lambda one: one.step.phase):
        yield f"{phase.directory} ({phase.side.value})"
        yield from _table(list(group))
        yield ""
    runs = len(prospect.outlooks) - prospect.hits
    hits = f"{prospect.hits} {'step is a hit' if prospect.hits == 1 else 'steps are hits'}"
    saved = f", which took {_time(prospect.seconds)}" if prospect.hits else ""
    yield f"{hits}{saved}; {runs} {'runs' if runs == 1 else 'run'}"


def _table(outlooks: list[Outlook]) -> Iterator[str]:
    names = max(len(shown(one.step)) for one in outlooks)
    for one in outlooks:
        number = one.step.index or ""  # a hook that another hook added has none
        state = f"hit {_time(one.record.seconds):>8}" if one.record else "run"
        yield f"  {number:>3}  {state:<12}  {shown(one.step):<{names}}  {owner(one.step)}".rstrip()
        if one.why is not None and one.why is not FOLLOWS:
            yield textwrap.fill(
                one.why.text,
                WIDTH,
                initial_indent=" " * 7,
                subsequent_indent=" " * 9,
                break_on_hyphens=False,
                break_long_words=False,
            )


def _time(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 60 else f"{int(seconds // 60)} min {int(seconds % 60)} s"
