"""From an image and what is asked of it to a verdict: a kept one that is still good, or one of a new verification.

A verification runs under the supervisor, as builds do: whatever ends the command, also SIGKILL, ends qemu and all else
that it started.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from dib_py import supervisor
from dib_py.base.image_format import detect, examine, read_prefix
from dib_py.digest import Memory
from dib_py.disk.image import refuse_references
from dib_py.errors import BaseError, DibError, HostError, OutputError
from dib_py.events import (
    BuildFailed,
    CheckFinished,
    Event,
    Events,
    Progress,
    Subscriber,
    VerificationFinished,
    VerificationStarted,
)
from dib_py.isolation import Worker
from dib_py.settings import Settings
from dib_py.target.probe import kvm_works
from dib_py.verify import console_copy, kept, verification
from dib_py.verify.checks import DOORS, Check
from dib_py.verify.console_copy import ConsoleCopy
from dib_py.verify.content import content_digest
from dib_py.verify.limits import limits
from dib_py.verify.namespace import apart
from dib_py.verify.result import Outcome, Result, Stage, Verdict
from dib_py.verify.verdict_json import from_json, to_json
from dib_py.verify.verification import Order, identity

MEMORY = 1024  # MiB of the machine: what a small flavour of a cloud has
LAST_WORDS = 15  # lines of a console that are shown of a guest that did not come up
DIRECTORY = "verify"  # in the build's directory


@dataclass(frozen=True)
class Asked:
    """What somebody wants to know of an image; ``profile`` is empty where the checks were named one by one.

    ``called`` is the image's name where its file has another one for now: the verdict is that image's.
    """

    image: Path
    checks: tuple[Check, ...]
    profile: str
    timeout: float | None = None  # seconds for everything
    again: bool = False  # whatever is known of it
    kept_console: Path | None = None
    terms: Mapping[str, str] = field(default_factory=lambda: {"memory": f"{MEMORY} MiB"})
    called: Path | None = None

    @property
    def name(self) -> Path:
        return self.called or self.image


def verify(asked: Asked, settings: Settings, memory: Memory, *subscribers: Subscriber) -> Verdict:
    """The verdict, which is kept beside the image; DibError where none can be had.

    ``memory`` remembers the digests of images.
    """
    events = Events(*subscribers)
    check_readable(asked.image)
    order = prepare(asked, settings, memory, events)
    if isinstance(order, Verdict):
        return order
    supervisor.check_build_root(settings)
    with tempfile.TemporaryFile() as answer:
        failure = _Failure()
        code = supervisor.run(lambda worker: _answer(order, worker, answer), settings, (*subscribers, failure))
        if code != 0:
            raise failure.error(code)
        answer.seek(0)
        verdict = from_json(answer.read().decode())
    return finish(verdict, asked.name, events)


def check_readable(image: Path) -> None:
    """Raise a DibError unless there is a file that we may read, and that needs no other one if it is an image."""
    if not image.is_file():
        raise BaseError("is no file" if image.exists() else "there is no such file", where=str(image))
    prefix = read_prefix(image)
    try:
        image_format = detect(prefix)
    except BaseError:  # which is for the verdict
        return
    refuse_references(image, image_format)


def prepare(asked: Asked, settings: Settings, memory: Memory, events: Events) -> Order | Verdict:
    """What is to be done, or the verdict where nothing needs to be."""
    began = time.monotonic()
    known_as = identity(asked.image)
    try:
        image_format, size = examine(asked.image)
    except BaseError as error:
        _begin_console(asked)
        return _keep_broken(asked, error, events)
    _begin_console(asked)
    kvm = kvm_works(settings.environ)
    allowed = limits(kvm.works, asked.timeout)
    try:
        digest = content_digest(
            asked.image,
            image_format,
            memory,
            deadline=began + allowed.total,
            told=lambda done, total: events.emit(Progress("read the image", done, total)),
        )
    except HostError as error:
        events.info(f"the verdict is not kept for another time: {error}")
        digest = ""
    question = kept.Asked(
        digest=digest,
        profile=asked.profile,
        checks={check.name: check.version for check in asked.checks},
        limit=allowed.total,
        accelerator="kvm" if kvm.works else "tcg",
        terms=asked.terms,
    )
    if not asked.again and (known := kept.recall(asked.name, question)):
        _tell_again(known, events)
        if asked.kept_console is not None:
            _keep_known_console(known, asked.kept_console, events)
        return known
    if any(check.needs & DOORS for check in asked.checks):
        events.info(f"accelerator {'kvm' if kvm.works else 'tcg'}: {kvm.reason}")
    return Order(
        asked.image,
        asked.name,
        image_format,
        size,
        digest,
        asked.checks,
        asked.profile,
        allowed,
        kvm.works,
        MEMORY,
        dict(asked.terms),
        asked.kept_console,
        time.monotonic() - began,
        known_as,
    )


def _begin_console(asked: Asked) -> None:
    """Only once there is an image to verify: until then what is there may be all that anybody has."""
    if asked.kept_console is not None:
        console_copy.empty(asked.kept_console)


def carry_out(order: Order, worker: Worker) -> Verdict:
    """A verification in a process of the supervisor's."""
    directory = worker.build_dir / DIRECTORY
    directory.mkdir()
    return apart(lambda: verification.carry_out(order, directory, worker.events))


def finish(verdict: Verdict, image: Path, events: Events, *, anew: bool = False) -> Verdict:
    """Keep a new verdict beside the image that it is of, which may be there ``anew``, and tell of it."""
    files: list[Path] = []
    try:
        files = kept.keep(image, verdict, anew=anew)
        if not files:
            events.warning(
                f"{kept.verdict_path(image)} stays as it is: it is of a content that this verdict knows nothing of"
            )
    except OutputError as error:  # such as in a directory of somebody else's
        events.warning(str(error))
    _tell(verdict, files, events)
    return verdict


def _answer(order: Order, worker: Worker, answer: IO[bytes]) -> None:
    answer.write(to_json(carry_out(order, worker)).encode())
    answer.flush()


def _keep_broken(asked: Asked, error: DibError, events: Events) -> Verdict:
    """The verdict on a file that no machine could boot, as it is no image, or not a whole one."""
    names = [check.name for check in asked.checks]
    events.emit(VerificationStarted(str(asked.name), asked.profile, names))
    reason = f"the image {error.message}"
    results = tuple(
        Result(check.name, check.proves, Outcome.NOT_RUN, reason, version=check.version) for check in asked.checks
    )
    verdict = Verdict(
        str(asked.name),
        "",
        asked.profile,
        Outcome.FAILED,
        reason,
        Stage.NOTHING,
        results,
        started=time.time(),
        terms=asked.terms,
    )
    return finish(verdict, asked.name, events)


def _tell_again(verdict: Verdict, events: Events) -> None:
    """A verdict of another time, check by check as at that time."""
    image = Path(verdict.image)
    events.emit(VerificationStarted(verdict.image, verdict.profile, [result.check for result in verdict.results]))
    for result in verdict.results:
        events.emit(CheckFinished(result.check, result.outcome.value, result.reason, result.seconds))
    _tell(verdict, [kept.page_path(image), kept.verdict_path(image)], events, verdict.started)


def _keep_known_console(verdict: Verdict, path: Path, events: Events) -> None:
    """The lines that were kept, as what came byte for byte is not there any more."""
    copy = ConsoleCopy(path, events)
    for boot in verdict.boots:
        copy.write("".join(f"{line.text}\n" for line in boot.console).encode(errors="backslashreplace"))
    copy.close()
    events.info("--keep-console: these are the lines that were kept with the verdict; --again boots for all bytes")


def _tell(verdict: Verdict, files: list[Path], events: Events, known: float | None = None) -> None:
    events.emit(
        VerificationFinished(
            verdict.image,
            verdict.outcome.value,
            verdict.reason,
            verdict.seconds,
            known,
            [str(path) for path in files],
            verdict.last_words(LAST_WORDS),
        )
    )


class _Failure:
    """Remembers why the worker failed: the supervisor's subscribers are told, its caller is not."""

    def __init__(self) -> None:
        self.event: BuildFailed | None = None

    def __call__(self, event: Event) -> None:
        if isinstance(event, BuildFailed):
            self.event = event

    def error(self, code: int) -> DibError:
        """The same, to be raised; the exit code is the supervisor's."""
        event = self.event
        error = DibError(event.message, hint=event.hint) if event else DibError("the verification was ended")
        error.exit_code = code
        return error
