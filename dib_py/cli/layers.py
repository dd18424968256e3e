"""``dib-py layers``: what the store of layers has, and what to do with it."""

from __future__ import annotations

import dataclasses
import os
import re
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from dib_py.cli.layers_text import listing, listing_json, record_json, record_text
from dib_py.cli.options import parse
from dib_py.errors import UsageError
from dib_py.layers import upkeep
from dib_py.layers.store import Store, store_directory
from dib_py.layers.upkeep import Freed
from dib_py.render.measures import count_of, size
from dib_py.settings import Settings
from dib_py.units import GIB

_AGE = re.compile(r"(\d+(?:\.\d+)?)([mhdw]?)")
_SECONDS = {"m": 60, "h": 3600, "d": 86400, "": 86400, "w": 7 * 86400}
_STEP = 64 * 1024**2  # bytes between two lines of progress

_keys = click.argument("keys", metavar="KEY...", nargs=-1, required=True)
_json = click.option("--json", "as_json", is_flag=True, help="print JSON")


@click.group(
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    subcommand_metavar="COMMAND [OPTIONS] ...",
)
@click.pass_context
def command(context: click.Context) -> None:
    """Look after the layers of finished steps, which builds go on from.

    A KEY may be cut short while it stays unique. Layers are kept in the directory layers below --cache-dir.
    """
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


def _subcommand(name: str) -> Callable[[Callable[..., Any]], click.Command]:
    """A command of the group, with the option that all of them have."""

    def made(function: Callable[..., Any]) -> click.Command:
        option = click.option(
            "--cache-dir",
            metavar="DIR",
            type=click.Path(path_type=Path),
            help="where the layers are [DIB_IMAGE_CACHE; default: ~/.cache/dib-py]",
        )
        return command.command(name)(option(function))

    return made


@_subcommand("ls")
@_json
def ls(cache_dir: Path | None, as_json: bool) -> None:
    """List the layers, each below the one that it lies on, with what each takes by itself."""
    store = _store(_settings(cache_dir))
    click.echo(listing_json(store) if as_json else listing(store))


@_subcommand("show")
@click.argument("key")
@click.option("--log", is_flag=True, help="print what the step printed")
@_json
def show(cache_dir: Path | None, key: str, log: bool, as_json: bool) -> None:
    """Show what is known of a layer: its step, what its key was made of, what it did to packages."""
    store = _store(_settings(cache_dir))
    found = upkeep.find(store, key)
    record = store.record(found)
    if record is None:
        raise UsageError(f"the record of {found} can't be read", hint=f"dib-py layers rm {found[:12]} removes it")
    if log:
        path = store.log(found)
        sys.stdout.buffer.write(path.read_bytes() if path else b"")
    else:
        click.echo(record_json(store, record) if as_json else record_text(store, record))


@_subcommand("rm")
@_keys
def rm(cache_dir: Path | None, keys: Sequence[str]) -> None:
    """Remove layers, with all that lie on them; refused if a running build uses one."""
    store = _store(_settings(cache_dir))
    _tell_freed(store, upkeep.remove(store, [upkeep.find(store, key) for key in keys]))


@_subcommand("gc")
@click.option("--size", "gib", metavar="GiB", type=click.FloatRange(min=0), help="leave so much [DIB_PY_LAYERS_SIZE]")
@click.option("--older-than", metavar="AGE", help="remove what was not used for so long, such as 12h, 30d or 4w")
def gc(cache_dir: Path | None, gib: float | None, older_than: str | None) -> None:
    """Remove what is of no use, what was not used for long, and the least recently used until the rest is small enough.

    What a running build uses stays.
    """
    settings = _settings(cache_dir)
    store = _store(settings)
    since = None if older_than is None else time.time() - _age(older_than)
    limit = settings.layers_size if gib is None else int(gib * GIB)
    _tell_freed(store, upkeep.collect(store, size=limit, unused_since=since))


@_subcommand("verify")
@click.option("--remove", is_flag=True, help="remove broken layers, with all that lie on them")
def verify(cache_dir: Path | None, remove: bool) -> int:
    """Read every layer: is it what was committed, and a sound qcow2 file? The exit code is 1 if one is not."""
    store = _store(_settings(cache_dir))
    total = len(store.contents().entries)
    with click.progressbar(length=total, label="verifying", file=sys.stderr, hidden=not sys.stderr.isatty()) as bar:
        problems = upkeep.verify(store, lambda: bar.update(1))
    for problem in problems:
        click.echo(f"{problem.key[:12]}  {problem.why}")
    if problems and remove:
        _tell_freed(store, upkeep.remove(store, [problem.key for problem in problems]))
    broken = f"{len(problems)} broken" if problems else "all are good"
    click.echo(f"{count_of(total, 'layer')}, {broken}", err=True)
    return 1 if problems else 0


@_subcommand("export")
@_keys
@click.option("-o", "output", metavar="FILE", type=click.Path(path_type=Path), required=True, help="the file to write")
@click.option("--with-base", is_flag=True, help="put the base image in too")
def export(cache_dir: Path | None, keys: Sequence[str], output: Path, with_base: bool) -> None:
    """Write layers with all that they lie on to one file, for another machine.

    Layers can hold passwords, and the file has the store's secret too: whoever can read it can find out much.
    """
    from dib_py.layers import archive
    from dib_py.layers.bases import find_bases

    settings = _settings(cache_dir)
    store = _store(settings)
    wanted = [upkeep.find(store, key) for key in keys]
    below = store.contents().below
    records = [record for key in wanted for one in below(key) if (record := store.record(one))]
    bases = find_bases(records, settings) if with_base else []
    with _Counter("exporting") as counter:
        manifest = archive.export(store, wanted, output, bases=bases, told=counter.add)
    click.echo(f"{output}: {count_of(len(manifest.steps), 'step')}, {size(output.stat().st_size)}")
    click.echo("Layers can hold passwords: keep this file as private as the image.", err=True)


@_subcommand("import")
@click.argument("file", type=click.Path(path_type=Path))
def import_(cache_dir: Path | None, file: Path) -> None:
    """Take layers in that another machine exported; all of them are verified first.

    Their hooks have run there: import only what comes from somebody whose images you would use.
    """
    from dib_py.layers.importing import bring_in

    settings = _settings(cache_dir)
    store = _store(settings)
    with _Counter("importing") as counter:
        done = bring_in(store, file, bases=store.directory.parent / "bases", told=counter.add)
    click.echo(f"{count_of(len(done.added), 'layer')} added, {len(done.kept)} there already")
    for base in done.bases:
        click.echo(f"base image: {base} (--base {base})")
    if done.other_runs:
        click.echo(
            f"{len(done.other_runs)} left out: this store has another run of these steps, or of one before", err=True
        )
    if done.never_hit:
        click.echo(
            f"{len(done.never_hit)} will never be used: their keys have a secret in them, and this store, which had"
            " layers already, has a secret of its own",
            err=True,
        )


class _Counter:
    """Says on a terminal how much is done."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._done = self._told = 0

    def __enter__(self) -> _Counter:
        return self

    def __exit__(self, *exc: object) -> None:
        if self._told:
            click.echo("\r\x1b[K", nl=False, err=True)

    def add(self, count: int) -> None:
        self._done += count
        if self._done - self._told > _STEP and sys.stderr.isatty():
            self._told = self._done
            click.echo(f"\r{self._what}: {size(self._done)}\x1b[K", nl=False, err=True)


def _settings(cache_dir: Path | None) -> Settings:
    settings = parse([], os.environ)
    return settings if cache_dir is None else dataclasses.replace(settings, cache_dir=cache_dir)


def _store(settings: Settings) -> Store:
    return Store.open(store_directory(settings), cap=settings.layers_size)


def _age(text: str) -> float:
    match = _AGE.fullmatch(text)
    if match is None:
        raise UsageError(f"--older-than takes an age such as 12h, 30d or 4w, not '{text}'")
    return float(match[1]) * _SECONDS[match[2]]


def _tell_freed(store: Store, freed: Freed) -> None:
    for entry in freed.layers:
        title = f"{entry.record.title} ({entry.record.element})" if entry.record else "its record could not be read"
        click.echo(f"removed {entry.key[:12]}  {title}")
    for path in freed.others:
        click.echo(f"removed {path.relative_to(store.directory)}")
    click.echo(f"{size(freed.bytes)} freed")
