"""``dib-py shell``: a shell in a build, at a checkpoint or where a step failed."""

from __future__ import annotations

import os
from contextlib import ExitStack

import click

from dib_py import epoch, shell
from dib_py.cli.build import subscribers
from dib_py.cli.options import SettingsCommand, parse
from dib_py.errors import HostError, UsageError
from dib_py.layers.failure import FailedStep
from dib_py.layers.store import Store, open_store
from dib_py.plan import Plan, make_plan
from dib_py.settings import Settings

HELP = """Open a shell in the guest in the middle of a build, without changing any layer.

With --failed it is where the last step failed, as that left the guest, with its environment. With --before STEP it is
before a step (install.d/50-mine, or 50-mine) of the build whose options and elements follow."""


@click.command(cls=SettingsCommand, help=HELP)
@click.option("--failed", "after_failure", is_flag=True, help="where the last step failed")
@click.option("--before", metavar="STEP", help="before a step of the build that the options and elements say")
@click.option("--command", "script", metavar="TEXT", default="", help="run this with sh there, instead of a shell")
def command(settings: Settings, after_failure: bool, before: str | None, script: str) -> int:
    if after_failure == bool(before):
        raise UsageError("shell takes either --failed or --before STEP")
    store = open_store(settings)
    if store is None:
        raise UsageError("without layers there is nothing to open a shell in", hint="leave --no-cache out")
    with ExitStack() as stack:
        if before:
            plan = _plan(settings, store)
            return shell.before(plan, store, before, script, *subscribers(settings, "dib-py shell", stack))
        kept = store.failures()
        if not kept:
            raise HostError("no failed step is kept", hint="a build that fails keeps the disk of the step that failed")
        failure = FailedStep.of(kept[-1].overlay, kept[-1].about)
        os.chdir(failure.cwd)
        again = parse(failure.argv, failure.environ)
        plan = _plan(again, store)
        return shell.failed(plan, store, failure, script, *subscribers(again, "dib-py shell", stack))


def _plan(settings: Settings, store: Store) -> Plan:
    return make_plan(settings, epoch=epoch.find(settings, store.directory), keyed=False)
