"""A download that survives what networks do: cut connections, stalls, restarts of the build, servers that change.

The incomplete file and the version that it is a part of lie side by side; a later attempt, of this build or the next,
asks for the rest of that version only. Whether the content is right is not decided here.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import BinaryIO

from tenacity import RetryCallState, Retrying, retry_if_exception_type

from dib_py.base.transport import NotResumableError, Reply, Request, TransientError, Version, request, shown
from dib_py.errors import BaseError
from dib_py.events import Events, Progress


@dataclass(frozen=True)
class Patience:
    """``attempts`` without a new byte before it is given up; waits and stalls in seconds."""

    attempts: int = 5
    first_wait: float = 1.0
    longest_wait: float = 30.0
    stall: float = 60.0


PATIENCE = Patience()


class Partial:
    """The incomplete file, ``path``, and beside it the version that it is a part of."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._note = path.with_name(f"{path.name}.json")

    def version(self) -> Version | None:
        """The version that there is a part of, if its rest can be asked for."""
        with suppress(OSError, ValueError, TypeError):
            kept = Version(**json.loads(self._note.read_text()))
            if kept.strong and self.path.stat().st_size:
                return kept
        return None

    def begin(self, version: Version) -> BinaryIO:
        self.discard()
        file = self.path.open("wb")
        self._note.write_text(json.dumps(asdict(version)))
        return file

    def resume(self) -> BinaryIO:
        return self.path.open("ab")

    def discard(self) -> None:
        for path in (self._note, self.path):
            path.unlink(missing_ok=True)


class Download:
    """One file from one address into ``partial``; ``current`` is the version that is had already, if any."""

    def __init__(
        self, template: Request, partial: Partial, patience: Patience, events: Events, *, unframed: bool = False
    ) -> None:
        """``unframed``: take a file whose end can't be told from a cut, as somebody will look at its checksum."""
        self._template = replace(template, stall=patience.stall)
        self._partial = partial
        self._patience = patience
        self._events = events
        self._unframed = unframed
        self._furthest = 0  # bytes that were had at once
        self._fruitless = 0  # attempts since then
        self.resumed = False  # whether bytes of an earlier attempt are in the result

    def run(self, current: Version | None) -> Version | None:
        """Download until the file is whole and return its version; None if ``current`` is still the newest.

        Raises BaseError for what trying again can't mend, and TransientError when patience ends.
        """
        retrying = Retrying(
            retry=retry_if_exception_type(TransientError),
            stop=lambda _state: self._fruitless >= self._patience.attempts,
            wait=self._wait,
            before_sleep=self._announce,
            reraise=True,
        )
        for attempt in retrying:
            with attempt:
                version = self._attempt(current)
        return version

    def _attempt(self, current: Version | None) -> Version | None:
        part = self._partial.version()
        had = self._partial.path.stat().st_size if part else 0
        complete = part is not None and part.size == had  # all came, but nobody was left to take it
        wanted = replace(self._template, offset=0 if complete else had, known=part or current)
        receiver = _Receiver(self._partial, wanted, self._progress)
        try:
            request(wanted, receiver)
            version = receiver.whole(self._unframed)
        except NotResumableError as error:
            if not wanted.offset:
                raise BaseError(
                    f"{shown(wanted.url)}: the server sends a part where the whole was asked for"
                ) from error
            self._partial.discard()
            return self._attempt(current)
        except TransientError:
            self._count(receiver.done)
            raise
        finally:
            receiver.close()
        self.resumed = receiver.resumed or (complete and version is None)
        return part if complete and version is None else version

    def _count(self, done: int) -> None:
        self._fruitless = 1 if done > self._furthest else self._fruitless + 1
        self._furthest = max(done, self._furthest)

    def _progress(self, done: int, total: int | None) -> None:
        self._events.emit(Progress(f"download {shown(self._template.url).rpartition('/')[2]}", done, total))

    def _wait(self, state: RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        asked = error.after if isinstance(error, TransientError) else 0.0
        backoff: float = self._patience.first_wait * 2.0 ** (self._fruitless - 1) * random.uniform(0.75, 1.25)
        return min(self._patience.longest_wait, max(asked, backoff))

    def _announce(self, state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        pause = state.next_action.sleep if state.next_action else 0.0
        self._events.warning(f"{shown(self._template.url)}: {error}; trying again in {pause:.0f} s")


class _Receiver:
    """Writes what one request brings."""

    def __init__(self, partial: Partial, wanted: Request, progress: Callable[[int, int | None], None]) -> None:
        self._partial = partial
        self._wanted = wanted
        self._progress = progress
        self._file: BinaryIO | None = None
        self._reply: Reply | None = None
        self.done = 0
        self._told = 0.0
        self.resumed = False

    def begin(self, reply: Reply) -> None:
        known = self._wanted.known
        if reply.start and known:
            _refuse_another_version(known, reply.version)
            reply = replace(reply, version=replace(known, size=reply.version.size or known.size))
        self._reply = reply
        if reply.unchanged:
            return
        self.resumed = reply.start > 0
        self.done = reply.start
        self._file = self._partial.resume() if self.resumed else self._partial.begin(reply.version)

    def write(self, chunk: bytes) -> None:
        assert self._file is not None
        try:
            self._file.write(chunk)
        except OSError as error:
            raise self._unkept(error) from error
        self.done += len(chunk)
        if time.monotonic() - self._told > 0.2:
            self._tell()

    def _unkept(self, error: OSError) -> BaseError:
        return BaseError(f"the download can't be kept: {error.strerror}", where=str(self._partial.path))

    def _tell(self) -> None:
        self._told = time.monotonic()
        self._progress(self.done, self._reply.version.size if self._reply else None)

    def close(self) -> None:
        if self._file:
            try:
                self._file.close()
            except OSError as error:
                raise self._unkept(error) from error

    def whole(self, unframed: bool) -> Version | None:
        """The version that has come, whole; None if nothing had to come."""
        assert self._reply is not None
        if self._reply.unchanged:
            return None
        size = self._reply.version.size
        if size is not None and self.done < size:
            raise TransientError(f"the connection ended after {self.done} of {size} bytes")
        if size is not None and self.done > size:
            raise BaseError(f"{shown(self._wanted.url)}: the server sends more than the {size} bytes that it announced")
        if not (self._reply.framed or unframed):
            raise BaseError(
                f"{shown(self._wanted.url)}: the server does not say how long the file is, so a cut could not be seen",
                hint="--base-checksum tells what the whole is",
            )
        self._tell()
        return self._reply.version


def _refuse_another_version(known: Version, version: Version) -> None:
    """A server that heeds Range but not If-Range sends the rest of a newer version."""
    pairs = ((known.etag, version.etag), (known.modified, version.modified), (known.size, version.size))
    if any(ours and theirs and ours != theirs for ours, theirs in pairs):
        raise NotResumableError
