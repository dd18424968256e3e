"""Where the tar archive of the guest's files goes, chunk by chunk: a file, or a program that makes one of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from dib_py.errors import OutputError
from dib_py.output.convert import unwritable
from dib_py.process import CommandFailed, writing

Sink = Callable[[bytes], object]


@contextmanager
def into_file(destination: Path, name: str) -> Iterator[Sink]:
    """The archive itself."""
    with told(name):
        file = destination.open("wb")
    try:
        yield writer(file, name)
    finally:
        with told(name):
            file.close()


def writer(file: IO[bytes], name: str) -> Sink:
    """What writes to ``file``, and tells of its errors as those of the image ``name``."""

    def write(chunk: bytes) -> None:
        with told(name):
            file.write(chunk)

    return write


@contextmanager
def told(name: str) -> Iterator[None]:
    """Tell of the kernel's errors as those of an image. Not around what feeds other images too: theirs are not ours."""
    try:
        yield
    except OSError as error:
        raise OutputError(f"the {name} image can't be written: {error.strerror}") from error


@contextmanager
def into_program(argv: Sequence[str | Path], destination: Path, name: str) -> Iterator[Sink]:
    """What ``argv`` makes of the archive; its standard output is ``destination``, whether or not it writes there."""
    with told(name):
        file = destination.open("ab")
    with file, fed(argv, file, name) as feed:
        yield feed


@contextmanager
def fed(argv: Sequence[str | Path], output: IO[bytes], name: str) -> Iterator[Sink]:
    """The standard input of a program whose output goes to a file; OutputError with what it said where it fails."""
    early = False
    try:
        with writing(argv, output) as pipe:

            def feed(chunk: bytes) -> None:
                try:
                    pipe.write(chunk)
                except BrokenPipeError:
                    if chunk.strip(b"\0"):  # else it has seen the end, and leaves what fills the last block
                        raise _Ended(pipe) from None

            try:
                yield feed
            except _Ended as ended:
                if ended.pipe is not pipe:
                    raise
                early = True
                raise BrokenPipeError from None  # it has ended; whoever waits for it says why
    except CommandFailed as error:
        raise unwritable(name, error) from error
    if early:
        raise OutputError(f"the {name} image can't be written: {argv[0]} ended before it had all of the files")


class _Ended(Exception):
    """A program has ended that something is left for."""

    def __init__(self, pipe: IO[bytes]) -> None:
        super().__init__()
        self.pipe = pipe
