"""What overlayfs collected, read from real overlays."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from dib_py import overlay

_SCRIPT = """
set -e
cd "$1"
"$2" -c 'import sys; from pathlib import Path; from dib_py import overlay
overlay.mount(*(Path(sys.argv[1]) / name for name in ("root", "lower", "upper", "work")))' "$1"
cd root
rm kept/gone
rm -r replaced && mkdir replaced && echo new > replaced/file
rm -r emptied && echo file > emptied
ln -s nowhere link
"""


def is_opaque(path: Path) -> bool:
    """Whether a directory of an upper directory hides the one below it."""
    for prefix in overlay.ATTRIBUTES:
        with contextlib.suppress(OSError):
            if os.getxattr(path, f"{prefix}opaque", follow_symlinks=False) == b"y":
                return True
    return False


@pytest.mark.root
def test_an_upper_directory_says_what_was_removed_and_what_is_there(tmp_path: Path) -> None:
    for name in ("root", "lower/kept", "lower/replaced", "lower/emptied", "upper", "work"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("kept/gone", "kept/stays", "replaced/old", "emptied/old"):
        (tmp_path / "lower" / name).touch()
    argv = ["unshare", "--mount", "bash", "-c", _SCRIPT, "bash", tmp_path, sys.executable]
    subprocess.run(argv, check=True, timeout=60)
    upper = tmp_path / "upper"
    assert {path for path in upper.rglob("*") if overlay.is_whiteout(path.lstat())} == {upper / "kept/gone"}
    assert {path for path in upper.iterdir() if path.is_dir() and is_opaque(path)} == {upper / "replaced"}
    assert (upper / "emptied").read_text() == "file\n"


def test_only_the_device_0_0_stands_for_a_deletion() -> None:
    assert not overlay.is_whiteout(Path("/dev/null").stat())
    assert not overlay.is_whiteout(Path("/").stat())
