"""supermin, which libguestfs has make its appliance, once for each kernel: what it leaves where it is killed at that.

It puts temporary files where ``TMPDIR`` says, and the appliance beside its name in libguestfs's cache until it is whole
(supermin's ``mode_build.ml``); as long, it holds the lock there.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_UNFINISHED = "appliance.d.????????"
_environment = threading.Lock()


@contextmanager
def temporary_files_in(directory: Path) -> Iterator[None]:
    """While open, programs that this process starts have their temporary files in ``directory``.

    libguestfs hands its own environment on. One at a time: an environment is the whole process's.
    """
    tempfile.gettempdir()  # remembers ours, whichever thread asks for it next
    with _environment:
        before = os.environ.get("TMPDIR")
        os.environ["TMPDIR"] = str(directory)
        try:
            yield
        finally:
            if before is None:
                del os.environ["TMPDIR"]
            else:
                os.environ["TMPDIR"] = before


def forget_unfinished(cache: Path) -> None:
    """Remove appliances below libguestfs's cache directory that were never finished, unless somebody makes one now."""
    made = cache / f".guestfs-{os.geteuid()}"
    unfinished = list(made.glob(_UNFINISHED))
    if not unfinished:
        return
    try:
        with (made / "lock").open("r+b") as lock:
            fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            for directory in unfinished:
                shutil.rmtree(directory, ignore_errors=True)
    except OSError:  # it is being made
        return
