"""A stand-in for CentOS 7, made by tools/centos7-stand-in once for each machine, and builds on it."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from dib_py.target.guestfs import HOST_IN_APPLIANCE

TOOL = Path(__file__).resolve().parents[1] / "tools" / "centos7-stand-in"
PROGRAMS = ("mmdebstrap", "rpmbuild", "rpmsign", "createrepo_c", "gpg", "mkfs.xfs", "qemu-img", "sfdisk")
LONGEST = 1200  # seconds; one to two minutes on two idle cores


def stand_in() -> Path:
    """Its directory: image.qcow2, repo, images. Kept beside other temporary files; made anew if the tool changed."""
    named = os.environ.get("DIB_PY_TEST_CENTOS7")
    if named:
        return Path(named)
    if sys.version_info < (3, 11):
        pytest.skip("needs Python 3.11, whose tomllib reads what the stand-in for CentOS 7 is made of")
    missing = [name for name in PROGRAMS if not shutil.which(name)]
    if missing:
        pytest.skip(f"needs {', '.join(missing)} for a stand-in for CentOS 7")
    fixtures = Path(tempfile.gettempdir()) / "fixtures"
    fixtures.mkdir(parents=True, exist_ok=True)
    directory = fixtures / "centos7"
    with (fixtures / "centos7.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        wanted = subprocess.run([TOOL, "--fingerprint"], check=True, capture_output=True, text=True).stdout
        made_from = directory / "made-from"
        if not made_from.exists() or made_from.read_text() != wanted:
            fresh = fixtures / f"centos7.{os.getpid()}"
            done = subprocess.run([TOOL, fresh], timeout=LONGEST, capture_output=True, text=True, check=False)
            if done.returncode == os.EX_TEMPFAIL:
                pytest.skip(f"needs Debian's packages for a stand-in for CentOS 7: {done.stderr[-300:]}")
            assert done.returncode == 0, done.stderr[-3000:]
            shutil.rmtree(directory, ignore_errors=True)
            fresh.rename(directory)
    return directory


def build(directory: Path, centos7: Path, port: int, *arguments: str, **environ: str) -> str:
    """What ``dib-py ARGUMENTS`` on the stand-in prints, with its repositories at a port of this machine."""
    mirror = f"http://{HOST_IN_APPLIANCE if 'guestfs' in arguments else '127.0.0.1'}:{port}"
    done = subprocess.run(
        [sys.executable, "-m", "dib_py", "--base", centos7 / "image.qcow2", "--trust-base", *arguments],
        cwd=directory,
        env={
            **os.environ,
            "DIB_DISTRIBUTION_MIRROR": mirror,
            "DIB_EPEL_MIRROR": f"{mirror}/epel",
            "DIB_IMAGE_CACHE": str(directory / "cache"),
            "XDG_STATE_HOME": str(directory / "state"),
            **environ,
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        timeout=1500,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-6000:]
    return done.stdout
