"""Where the log of a build goes: the file that the user named, or one of our own, of which the last twenty are kept."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Literal, TextIO

import platformdirs

from dib_py.errors import UsageError

KEPT = 20


def log_directory() -> Path:
    """The default place: ``~/.local/state/dib-py/log`` (``$XDG_STATE_HOME/dib-py/log``)."""
    return platformdirs.user_state_path("dib-py") / "log"


def open_named(path: Path) -> TextIO:
    """The file of ``--logfile``, to append to; UsageError where it can't be written."""
    try:
        return _open(path, "a")
    except OSError as error:
        raise UsageError(f"--logfile: {path} can't be written: {error.strerror}") from error


def open_default(image_name: str, directory: Path) -> TextIO:
    """A new log, after removing the oldest ones; raises OSError.

    The name begins with the time, so that names sort by age.
    """
    directory.mkdir(parents=True, exist_ok=True)
    name = f"{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}-{_cut(Path(image_name).name)}.log"
    for old in sorted(directory.glob("*.log"))[: -(KEPT - 1)]:
        old.unlink(missing_ok=True)
    return _open(directory / name, "x")


def _cut(name: str) -> str:
    """As much of an image's name as the name of a file has room for beside the rest."""
    return os.fsencode(name)[:200].decode(errors="ignore")


def _open(path: Path, mode: Literal["a", "x"]) -> TextIO:
    return path.open(mode, encoding="utf-8", errors="backslashreplace")
