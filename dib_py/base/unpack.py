"""Compressed images, unpacked with holes where there is nothing."""

from __future__ import annotations

import bz2
import gzip
import lzma
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from dib_py.errors import BaseError
from dib_py.events import Events, Progress
from dib_py.process import CommandFailed, follow

BLOCK = 1024 * 1024  # bytes
SUFFIXES = (".xz", ".gz", ".zst", ".bz2")
_OPENERS: dict[str, Callable[..., Any]] = {"xz": lzma.open, "gzip": gzip.open, "bzip2": bz2.open}


def unpack(source: Path, kind: str, destination: Path, events: Events) -> None:
    """Unpack ``source`` (compressed as ``kind`` says) to ``destination``; BaseError if it is damaged or cut off."""
    try:
        with destination.open("wb") as out:
            if kind == "zstd":  # Python has none of its own before 3.14
                follow(["zstd", "-dcq", source], lambda block: write_sparse(out, block))
            else:
                _copy(source, kind, out, events)
            out.truncate(out.tell())
    except CommandFailed as error:
        why = error.output.strip().splitlines()[-1:] or [str(error)]
        raise BaseError(f"can't be unpacked: {why[0]}", where=str(source)) from error
    except (lzma.LZMAError, zlib.error, EOFError) as error:
        raise BaseError(f"can't be unpacked: {error}", where=str(source)) from error
    except OSError as error:
        raise BaseError(f"can't be unpacked: {error.strerror or error}", where=str(source)) from error


def plain_name(name: str) -> str:
    """The file's name without the suffix of its compression."""
    return next((name[: -len(suffix)] for suffix in SUFFIXES if name.endswith(suffix)), name)


def _copy(source: Path, kind: str, out: IO[bytes], events: Events) -> None:
    total, count = source.stat().st_size, 0
    with source.open("rb") as packed, _OPENERS[kind](packed) as reader:
        while block := reader.read(BLOCK):
            write_sparse(out, block)
            count += 1
            if count % 64 == 0:
                events.emit(Progress(f"unpack {source.name}", packed.tell(), total))


def write_sparse(out: IO[bytes], block: bytes) -> None:
    """Write a block, or leave a hole for one of zeroes; the file's end is for the caller to set."""
    if block.count(0) == len(block):
        out.seek(len(block), 1)
    else:
        out.write(block)
