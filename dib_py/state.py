"""Where one user's builds keep what outlives a process, and the one path at which each build sees its directory."""

from __future__ import annotations

import os
from pathlib import Path

from dib_py.settings import Settings


def state_path() -> Path:
    """``/var/tmp/dib-py.UID``; nothing is made here."""
    return Path(f"/var/tmp/dib-py.{os.getuid()}")


def build_root(settings: Settings) -> Path:
    """Where build directories are made: TMPDIR, else TMP_DIR, else /var/tmp."""
    return Path(settings.tmp_dir or settings.environ.get("TMP_DIR") or "/var/tmp").absolute()


def build_path() -> Path:
    """``$TMP_BUILD_DIR``: a mount point on which each build, in its own namespace, has its real directory.

    Its name has the form of diskimage-builder's, as hooks make names of what is behind the dot.
    """
    return state_path() / "dib_build.private"
