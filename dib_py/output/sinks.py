"""Where the tar archive of the guest's files goes, chunk by chunk: a file, or a program that makes one of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from dib_py.errors import OutputError
from dib_py.output.convert import unwritable
from dib_py.process import CommandFailed, writing

Sink = Callable[[bytes], object]


@contextmanager
def into_file(destination: Path, name: str) -> Iterator[Sink]:
    """The archive itself."""
    try:
        with destination.open("wb") as file:
            yield file.write
    except OSError as error:
        raise OutputError(f"the {name} image can't be written: {error.strerror}") from error


@contextmanager
def into_program(argv: Sequence[str | Path], destination: Path, name: str) -> Iterator[Sink]:
    """What ``argv`` makes of the archive; its standard output is ``destination``, whether or not it writes there."""
    try:
        with destination.open("ab") as file, writing(argv, file) as pipe:

            def feed(chunk: bytes) -> None:
                try:
                    pipe.write(chunk)
                except BrokenPipeError:
                    if chunk.strip(b"\0"):  # else it has seen the end, and leaves what fills the last block
                        raise

            yield feed
    except CommandFailed as error:
        raise unwritable(name, error) from error
