"""``dib-py verify IMAGE``: boot an image, and say whether it is what a cloud expects."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dib_py.cli.looking import looking_settings
from dib_py.errors import UsageError
from dib_py.events import Subscriber

if TYPE_CHECKING:
    from dib_py.verify.result import Verdict

HELP = """Boot an image on a throw-away overlay, and say whether it is what a cloud expects.

The image is not changed. The verdict is kept beside it, as IMAGE.verdict.json and as a page, IMAGE.verdict.html; while
the image, the checks and what is asked stay the same, that is the answer without another boot.

The exit code is 0 if all checks passed, 1 if the verdict is another one, and 2 if there is none: the command line is
wrong, the image can't be read, or this machine can't verify it. --list names the checks."""

LONGEST = 7 * 24 * 3600  # seconds of --timeout


def _list_checks(context: click.Context, _: click.Parameter, wanted: bool) -> None:
    """Print what ``--check`` and ``--profile`` take."""
    if not wanted:
        return
    from dib_py.verify import choice

    for check in choice.known():
        click.echo(f"{check.name:15} {' '.join(sorted(check.profiles)):18} {check.proves}")
    context.exit()


@click.command(help=HELP, context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("image", metavar="IMAGE")
@click.option("--check", "checks", multiple=True, metavar="NAME", help="run this check only; may be given again")
@click.option("--profile", metavar="NAME", help="the set of checks: openstack (the default) or minimal")
@click.option(
    "--list",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_list_checks,
    help="list the checks, and what each proves",
)
@click.option("--timeout", type=float, metavar="SECONDS", help="how long all may take (default: 900, without KVM 2400)")
@click.option("--again", is_flag=True, help="boot it even if its verdict is known")
@click.option("--json", "as_json", is_flag=True, help="print the verdict as JSON")
@click.option("--junit", metavar="FILE", help="write the verdict as a JUnit report")
@click.option("--keep-console", metavar="FILE", help="write what came from the serial console, byte for byte")
@click.option("-v", "--verbose", is_flag=True, help="say more")
def command(
    image: str,
    checks: tuple[str, ...],
    profile: str | None,
    timeout: float | None,
    again: bool,
    as_json: bool,
    junit: str | None,
    keep_console: str | None,
    verbose: bool,
) -> int:
    if checks and profile:
        raise UsageError("--check and --profile exclude each other")
    if timeout is not None and not 0 < timeout <= LONGEST:
        raise UsageError(f"--timeout takes seconds, up to {LONGEST}, not {timeout:g}")
    written = {"--junit": junit, "--keep-console": keep_console}
    outputs = {option: Path(name) for option, name in written.items() if name is not None}
    _refuse_collisions(Path(image), outputs)
    from dib_py.base.cache import image_cache  # help and usage errors need not wait for the engine
    from dib_py.digest import Memory
    from dib_py.verify import choice
    from dib_py.verify.verify import Asked, verify

    for option, path in outputs.items():
        _refuse_unwritable(option, path)
    settings = looking_settings(os.environ)
    known = choice.known()
    chosen = choice.by_name(checks, known) if checks else choice.of_profile(profile or choice.DEFAULT_PROFILE, known)
    asked = Asked(
        image=Path(image),
        checks=chosen,
        profile="" if checks else profile or choice.DEFAULT_PROFILE,
        timeout=timeout,
        again=again,
        kept_console=None if keep_console is None else Path(keep_console).absolute(),
    )
    memory = Memory(image_cache(settings) / "digests")
    with ExitStack() as stack:
        verdict = verify(asked, settings, memory, *_subscribers(as_json, verbose, stack))
    return _tell(verdict, as_json, junit)


def _refuse_collisions(image: Path, outputs: Mapping[str, Path]) -> None:
    """Tell of a file that would be written over the image, over its verdict or over another one that is asked for."""
    from dib_py.verify.places import page_path, verdict_path

    if image.is_dir():  # which has no verdict, and is told later
        return
    taken = {"the image itself": image, "where the verdict is kept": verdict_path(image), "its page": page_path(image)}
    for option, path in outputs.items():
        for what, other in taken.items():
            if _is_same(path, other):
                raise UsageError(f"{option}: {path} is {what}")
        taken[f"what {option} writes"] = path


def _is_same(one: Path, other: Path) -> bool:
    """Whether both names are of one file, now or once it is there; devices and pipes hold nothing to lose."""
    if one.exists() and other.exists():
        return one.is_file() and one.samefile(other)
    return one.resolve() == other.resolve()


def _refuse_unwritable(option: str, path: Path) -> None:
    """Tell of a file that can't be written before any work; what it holds stays until there is something to write."""
    if path.exists() and not path.is_file() and not path.is_dir():
        return  # a pipe, whose reader would take an opening for the report
    new = not path.exists() and not path.is_symlink()
    try:
        path.open("ab").close()
    except OSError as error:
        raise UsageError(f"{option}: {path} can't be written: {error.strerror}") from error
    if new:
        path.unlink()


def _subscribers(as_json: bool, verbose: bool, stack: ExitStack) -> list[Subscriber]:
    """Who is told of the progress; nobody where standard output is for the verdict itself."""
    from dib_py.render.screen import screen

    return [] if as_json else [screen(stack, int(verbose), timestamps=False)]


def _tell(verdict: Verdict, as_json: bool, junit: str | None) -> int:
    from dib_py.verify.junit import write_junit
    from dib_py.verify.verdict_json import to_json

    if junit is not None:
        write_junit(Path(junit), verdict)
    if as_json:
        click.echo(to_json(verdict))
    return 0 if verdict.passed else 1
