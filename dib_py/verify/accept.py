"""``--verify`` of a build: an image takes its name only if it passes.

One that fails is kept beside that name, as ``NAME.rejected.EXT`` with its verdict, to be looked at; the image of the
build before stays as it is. What can't be booted here, such as Windows, is not held against an image.
"""

from __future__ import annotations

import shlex
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from dib_py.base.cache import image_cache
from dib_py.digest import Memory
from dib_py.errors import OutputError, UsageError
from dib_py.events import Events, Subscriber
from dib_py.isolation import Worker
from dib_py.output import Judge, Written
from dib_py.settings import Settings
from dib_py.verify.result import Outcome, Verdict

if TYPE_CHECKING:  # what verifies costs a tenth of a second to load, which other builds need not pay
    from dib_py.verify.verify import Asked

FORMATS = ("qcow2", "raw", "vhdx", "vdi", "vhd", "vhd-fixed")  # that can be booted; the first that is there is


def check_formats(settings: Settings, formats: Collection[str]) -> None:
    """Raise UsageError if --verify is asked for, and none of the ``formats`` that are written can be booted."""
    if settings.verify and not set(FORMATS) & set(formats):
        raise UsageError(
            f"--verify boots an image, which can't be done with {', '.join(formats) or 'no image at all'}",
            hint=f"add one of: {', '.join(FORMATS)}",
        )


def judge(settings: Settings, worker: Worker) -> Judge | None:
    """What a build asks before its images take their names; None without --verify."""

    def ask(images: Sequence[Written]) -> Path:
        from dib_py.verify.verify import carry_out, finish, prepare

        image = min((one for one in images if one.format in FORMATS), key=lambda one: FORMATS.index(one.format))
        asked = _asked(image.path, image.destination)
        order = prepare(asked, settings, _memory(settings), worker.events)
        verdict = order if isinstance(order, Verdict) else carry_out(order, worker)
        if verdict.outcome is not Outcome.FAILED:
            if not isinstance(order, Verdict):
                finish(verdict, image.destination, worker.events, anew=True)
            _warn(verdict, worker.events)
            return image.destination
        rejected = image.destination.with_name(f"{image.destination.stem}.rejected{image.destination.suffix}")
        image.path.replace(rejected)
        finish(replace(verdict, image=str(rejected)), rejected, worker.events, anew=True)
        raise _refusal(verdict, rejected)

    return ask if settings.verify else None


def judge_again(files: Sequence[Path], settings: Settings, *subscribers: Subscriber) -> None:
    """The same for an image that is there already: OutputError if it does not pass. It stays."""
    from dib_py.verify.verify import verify

    image = next(path for suffix in FORMATS for path in files if path.suffix == f".{suffix.partition('-')[0]}")
    verdict = verify(_asked(image, image), settings, _memory(settings), *subscribers)
    if verdict.outcome is Outcome.FAILED:
        raise _refusal(verdict, image)
    _warn(verdict, Events(*subscribers))


def _asked(image: Path, called: Path) -> Asked:
    from dib_py.verify import choice
    from dib_py.verify.verify import Asked

    checks = choice.of_profile(choice.DEFAULT_PROFILE, choice.known())
    return Asked(image=image, checks=checks, profile=choice.DEFAULT_PROFILE, called=called)


def _memory(settings: Settings) -> Memory:
    return Memory(image_cache(settings) / "digests")


def _warn(verdict: Verdict, events: Events) -> None:
    if not verdict.passed:
        events.warning(f"the image was not verified as a whole: {verdict.reason}")


def _refusal(verdict: Verdict, image: Path) -> OutputError:
    from dib_py.verify import kept

    return OutputError(
        f"the image does not pass: {verdict.reason}",
        hint=f"it is {shlex.quote(str(image))}; what was seen is in {shlex.quote(str(kept.page_path(image)))}",
    )
