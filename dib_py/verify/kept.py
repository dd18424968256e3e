"""The verdict beside the image, for people and for the next verification of the same image.

``IMAGE.verdict.json`` is the verdict, ``IMAGE.verdict.html`` its page. What makes an old verdict good for another time
is in :func:`answers`; the file's age or the image's are no part of it. What was found out about the same image by
checks that were not run again stays in it: see :func:`joined`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from dib_py.errors import OutputError
from dib_py.verify.page import page
from dib_py.verify.places import page_path as page_path
from dib_py.verify.places import verdict_path as verdict_path
from dib_py.verify.result import ENGINE, Outcome, Verdict, overall, summary
from dib_py.verify.verdict_json import from_json, to_json

LARGEST = 256 * 1024**2  # bytes of a verdict that are read: far more than one ever has


@dataclass(frozen=True)
class Asked:
    """What somebody wants to know of an image: its ``digest``, and the version of each check by its name.

    ``limit`` is how many seconds it may take on this ``accelerator``, ``terms`` what else is asked of the machine, as
    in a :class:`Verdict`.
    """

    digest: str
    profile: str
    checks: Mapping[str, int]
    limit: float
    accelerator: str
    terms: Mapping[str, str] = field(default_factory=dict)


def keep(image: Path, verdict: Verdict, *, anew: bool = False) -> list[Path]:
    """Put a verdict beside its image, joined with the one before; the paths of its page and itself.

    One that says of no digest what it is of stays away from one that does, and nothing is written then; unless ``anew``
    says that this is another image than the one before. OutputError where it can't be written.
    """
    if not anew and (known := _read(image)) is not None:
        if known.digest and not verdict.digest:
            return []
        verdict = joined(known, verdict)
    made = [(page_path(image), page(verdict)), (verdict_path(image), to_json(verdict) + "\n")]
    for path, text in made:
        _write(path, text)
    return [path for path, _ in made]


def recall(image: Path, asked: Asked) -> Verdict | None:
    """The verdict that was kept, cut down to what is asked, if it answers that; one that can't be read is none."""
    known = _read(image)
    if known is None:
        return None
    known = replace(known.narrowed(asked.checks, asked.profile), image=str(image))
    return known if answers(known, asked) else None


def joined(known: Verdict, new: Verdict) -> Verdict:
    """A new verdict on fewer checks, with what the others found before, if it is of the same image.

    What was not run anew stays as it was found. Boots are those of the newer verdict that has any; the times of a
    result count from the start of its own verification. The limit is the smaller one, as a failure can be that of
    either. A profile that is asked for again is no question about fewer checks, also where one has gone from it.
    """
    before = {result.check for result in known.results}
    fewer = new.profile != known.profile or not new.profile
    if not (fewer and before - {result.check for result in new.results} and _same_question(known, new)):
        return new
    anew = {result.check: result for result in new.results if result.outcome is not Outcome.NOT_RUN}
    results = (
        *(anew.get(result.check, result) for result in known.results),
        *(result for result in new.results if result.check not in before),
    )
    outcome = overall(results)
    return replace(
        new if new.boots else replace(known, image=new.image),
        profile=known.profile,
        outcome=outcome,
        reason=new.reason if new.outcome is outcome is Outcome.FAILED else summary(results),
        results=results,
        limit=min(known.limit, new.limit),
    )


def _same_question(known: Verdict, new: Verdict) -> bool:
    """Of an image that is known by its digest, and on the same accelerator as far as both have booted it."""
    accelerators = {known.accelerator, new.accelerator} - {""}
    known_as, new_as = ((one.engine, one.digest, dict(one.terms)) for one in (known, new))
    return bool(new.digest) and known_as == new_as and len(accelerators) < 2


def answers(known: Verdict, asked: Asked) -> bool:
    """Whether verifying again could find nothing else, as far as the image is concerned.

    The image, the versions of all checks, what was asked of the machine and the engine must be the same. A failure can
    be that of a limit, so it counts as long as no more time is given than there was, and on the same accelerator.
    Checks that were not run count only beside one that failed in a boot, as their reason may be that one: else this
    machine may have learned to run them.
    """
    versions = {result.check: result.version for result in known.results}
    same = (
        bool(known.digest)
        and (known.engine, known.digest) == (ENGINE, asked.digest)
        and versions == dict(asked.checks)
        and dict(known.terms) == dict(asked.terms)
    )
    if known.outcome is Outcome.FAILED:
        return same and asked.limit <= known.limit and known.accelerator == asked.accelerator
    return same and known.outcome is Outcome.PASSED


def _read(image: Path) -> Verdict | None:
    """The verdict that is kept; one that can't be read is none."""
    try:
        with verdict_path(image).open("rb") as file:
            return from_json(file.read(LARGEST).decode())
    except (OSError, ValueError):
        return None


def _write(path: Path, text: str) -> None:
    """In one step, so that nobody reads a part of it."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        fresh.write_text(text, encoding="utf-8", errors="backslashreplace")
        fresh.replace(path)
    except OSError as error:
        raise OutputError(f"the verdict can't be kept: {error.strerror}", where=str(path)) from error
    finally:
        fresh.unlink(missing_ok=True)
