"""``dib-py [OPTIONS] ELEMENT...``: build an image."""

from __future__ import annotations

import io
import sys
import traceback
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import click

import dib_py
from dib_py.cli import CLASSIC, SUBCOMMANDS
from dib_py.cli.options import SettingsCommand
from dib_py.epoch import find as find_epoch
from dib_py.errors import DibError, UsageError
from dib_py.events import Event, Message, Subscriber
from dib_py.render.failure import FailureReport
from dib_py.render.json_lines import JsonLines
from dib_py.render.logfile import log_directory, open_default, open_named
from dib_py.render.plain import PlainLines
from dib_py.render.replay import replay
from dib_py.render.screen import screen
from dib_py.render.sturdy import Sturdy
from dib_py.settings import Settings

if TYPE_CHECKING:
    from dib_py.layers.store import Store
    from dib_py.plan import Plan

HELP = """Build an operating-system image from elements.

Options and elements come in any order. A variable in brackets is read where its option is not given."""


class BuildCommand(SettingsCommand):
    """The build, whose help also names the other commands."""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        if ctx.info_name not in CLASSIC:
            with formatter.section("Other commands, each with its own --help"):
                formatter.write_dl([(f"{ctx.info_name} {name}", text) for name, text in SUBCOMMANDS.items()])
        with formatter.section("Example"):
            formatter.write_text(f"{ctx.info_name} -o debian.qcow2 debian vm cloud-init growroot qga")


@click.command(cls=BuildCommand, help=HELP)
@click.version_option(dib_py.__version__, message="%(version)s")
@click.pass_context
def command(ctx: click.Context, settings: Settings) -> int:
    if not settings.elements and not (settings.base and settings.one_offs):
        raise UsageError(
            "at least one distribution root element must be specified",
            hint=f"for example: {ctx.info_name} -o debian.qcow2 debian vm; dib-py elements lists what there is",
        )
    for stream in (sys.stdout, sys.stderr):
        _take_anything(stream)
    from dib_py.layers.store import open_store  # help and usage errors need not wait for the engine
    from dib_py.plan import make_plan

    store = open_store(settings)
    epoch = find_epoch(settings, store.directory if store else None)
    with _subcommands_come_first(settings, ctx.info_name or ""):
        plan = make_plan(settings, epoch=epoch, keyed=False)
    with ExitStack() as stack:
        return _build(plan, settings, store, subscribers(settings, ctx.info_name or "dib-py", stack))


@contextmanager
def _subcommands_come_first(settings: Settings, program: str) -> Iterator[None]:
    """Say so where a word is no element, but would have been a subcommand in the first place."""
    from dib_py.resolve import UnknownElement

    try:
        yield
    except UnknownElement as error:
        word = next((one for one in settings.elements if one in SUBCOMMANDS), "")
        if word and program not in CLASSIC and error.message == f"unknown element '{word}'":
            error.hint = f"a subcommand comes first, before all options: {program} {word} ..."
        raise


def _build(plan: Plan, settings: Settings, store: Store | None, listening: list[Subscriber]) -> int:
    from dib_py.build import build

    try:
        return build(plan, settings, *listening, store=store)
    except DibError as error:
        _to_all(listening, Message("debug", f"error: {error}"))
        raise
    except Exception:
        _to_all(listening, Message("debug", traceback.format_exc()))
        raise


def _to_all(listening: list[Subscriber], event: Event) -> None:
    for subscriber in listening:
        subscriber(event)


def subscribers(settings: Settings, program: str, stack: ExitStack) -> list[Subscriber]:
    """Who listens to a build: the log, the screen or pipe, and the reports of a failure."""
    log = _open_log(settings)
    path = None
    again = replay(program, settings)
    listening: list[Subscriber] = []
    if log:
        stack.enter_context(log)
        path = Path(log.name).absolute()
        listening += [
            Sturdy(renderer, log, f"the log {path}") for renderer in _log_renderers(settings, log, path, again)
        ]
    # As in diskimage-builder a named log is all there is, unless DIB_QUIET=0 asks for both.
    if not settings.quiet and not (settings.logfile and not settings.environ.get("DIB_QUIET")):
        listening.append(_screen(settings, stack))
    listening.append(Sturdy(FailureReport(sys.stderr, log=path, replay=again), sys.stderr, "standard error"))
    return listening


def _open_log(settings: Settings) -> TextIO | None:
    """The log that was named, which must be there, or our own, without which a build goes on."""
    if settings.logfile:
        if not settings.quiet:
            print(f"Output logs going to: {settings.logfile}", flush=True)
        return open_named(settings.logfile)
    try:
        return open_default(settings.image_name, log_directory())
    except OSError as error:
        print(f"dib-py: warning: no log is kept: {error}", file=sys.stderr)
        return None


def _log_renderers(settings: Settings, log: TextIO, path: Path, again: str) -> list[Subscriber]:
    if settings.logfile and settings.log_format == "json":
        return [JsonLines(log)]
    return [PlainLines(log, debug=True), FailureReport(log, log=path, replay=again)]


def _screen(settings: Settings, stack: ExitStack) -> Subscriber:
    if settings.log_format == "json":
        return Sturdy(JsonLines(sys.stdout), sys.stdout, "standard output")
    return screen(stack, settings.verbosity, timestamps=settings.timestamps)


def _take_anything(stream: TextIO) -> None:
    """Text that the terminal's encoding lacks is shown escaped instead of ending the build."""
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors="backslashreplace")
