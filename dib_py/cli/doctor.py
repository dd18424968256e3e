"""``dib-py doctor``: what this machine can do, and how to mend what it can't."""

from __future__ import annotations

import dataclasses
import json
import os

import click

from dib_py.base.cache import image_cache
from dib_py.cli.options import parse
from dib_py.doctor import FAIL, OK, Finding, Machine, examine, working_targets
from dib_py.layers.store import store_directory
from dib_py.state import build_root

COLOURS = {OK: "green", FAIL: "red"}


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--json", "as_json", is_flag=True, help="print one JSON object instead of lines")
def command(as_json: bool) -> int:
    """Say what this machine can do: targets, KVM, programs, space.

    The exit code is 1 if no target can work here, else 0.
    """
    settings = parse([], os.environ)
    places = {
        "build directory": build_root(settings),
        "cache": image_cache(settings),
    }
    findings = examine(Machine(), places, store_directory(settings), settings.layers_size)
    targets = working_targets(findings)
    if as_json:
        told = [dataclasses.asdict(finding) for finding in findings]
        click.echo(json.dumps({"targets": targets, "findings": told}, indent=2))
    else:
        _print(findings, targets)
    return 0 if targets else 1


def _print(findings: list[Finding], targets: list[str]) -> None:
    width = max(len(finding.name) for finding in findings)
    for group in dict.fromkeys(finding.group for finding in findings):
        click.secho(group, bold=True)
        for finding in (one for one in findings if one.group == group):
            mark = click.style(f"{finding.verdict:<4}", fg=COLOURS.get(finding.verdict, "yellow"))
            click.echo(f"  {mark}  {finding.name:<{width}}  {finding.detail}")
            if finding.mend and finding.verdict != OK:
                click.echo(f"        {'':<{width}}  to mend it: {finding.mend}")
    click.echo()
    if targets:
        click.echo(f"Targets that can work here: {', '.join(targets)}")
    else:
        click.echo("No target can work here: mend what failed above")
