"""Programs that the stand-in is made with, and what is said meanwhile."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any


def run(*argv: str | Path, **options: Any) -> str:
    """Standard output of a program; what it says goes to the terminal only if it fails."""
    result = subprocess.run([str(word) for word in argv], capture_output=True, text=True, check=False, **options)
    if result.returncode != 0:
        sys.stderr.write(result.stdout[-4000:] + result.stderr[-4000:])
        raise SystemExit(f"centos7-stand-in: {argv[0]} failed with exit code {result.returncode}")
    return str(result.stdout)


_begun = time.monotonic()


def say(text: str) -> None:
    print(f"{time.monotonic() - _begun:5.0f} s  {text}", flush=True)


def inside(root: Path, *argv: str) -> None:
    environment = {"PATH": "/usr/sbin:/usr/bin", "HOME": "/root", "LC_ALL": "C"}
    run("chroot", root, *argv, env=environment, timeout=300)
