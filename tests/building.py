"""Builds of sample elements as commands of their own, for tests that look at what comes out."""

from __future__ import annotations

import fcntl
import hashlib
import os
import stat
import subprocess
import sys
import time
from pathlib import Path

from dib_py.state import state_path

ELEMENTS = Path(__file__).parent / "elements" / "build"

# What tells the targets apart (--target among the arguments), and what differs from run to run anyway: caches keyed by
# inode numbers, random seeds.
VOLATILE = {
    "/lost+found",
    "/etc/dib-manifests/dib_arguments",
    "/etc/machine-id",
    "/var/cache/ldconfig/aux-cache",
    "/var/lib/apt/extended_states",
    "/var/lib/systemd/random-seed",
}


def start(
    directory: Path,
    tree: Path,
    *arguments: str,
    command: tuple[str, ...] = (),
    within: tuple[str, ...] = (),
    **environ: str,
) -> subprocess.Popen[str]:
    """Start a build on the host target, or ``command`` in the same surroundings; ``within`` a program that runs it."""
    words = command or ("-n", "--target", "host", "-o", "out", *arguments)
    return subprocess.Popen(
        [*within, sys.executable, "-m", "dib_py", *words],
        cwd=directory,
        env={
            **os.environ,
            "DIB_TEST_TREE": str(tree),
            "ELEMENTS_PATH": f"{directory / 'elements'}:{ELEMENTS}",
            "TMPDIR": str(directory),
            "XDG_STATE_HOME": str(directory / "state"),
            "DIB_IMAGE_CACHE": str(directory / "cache"),
            **environ,
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )


def build(directory: Path, tree: Path, *arguments: str, **environ: str) -> tuple[int, str]:
    (directory / "elements").mkdir(exist_ok=True)
    process = start(directory, tree, *arguments, **environ)
    output, _ = process.communicate(timeout=300)
    return process.returncode, output


def add_hook(directory: Path, element: str, hook: str, text: str) -> None:
    path = directory / "elements" / element / hook
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/bash\nset -eu\n{text}\n")
    path.chmod(0o755)


def others_build() -> bool:
    """Whether builds of this user are at work beside the test's: whose loop devices are whose can't be told then."""
    for record in (state_path() / "builds").glob("*"):
        with record.open() as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
    return False


def left_behind(directory: Path) -> list[str]:
    """What a build that has ended must not leave: build directories, mounts, loop devices, partial outputs."""
    mounts = [
        line
        for line in Path("/proc/self/mountinfo").read_text().splitlines()
        if str(directory) in line or str(state_path()) in line
    ]
    places = (str(directory),) if others_build() else (str(directory), str(state_path()))
    ours = _loops_below(places)
    for _ in range(50):  # who looks at a device's content (udev, blkid) keeps it for a moment longer
        if not ours:
            break
        time.sleep(0.1)
        ours = _loops_below(places)
    files = [str(path) for path in directory.iterdir() if "dib_build" in path.name or "partial" in path.name]
    return [*mounts, *ours, *files]


def _loops_below(places: tuple[str, ...]) -> list[str]:
    listed = subprocess.run(["losetup", "-l", "-n", "-O", "BACK-FILE"], capture_output=True, text=True, check=True)
    return [line for line in listed.stdout.splitlines() if line.startswith(places)]


def content(image: Path) -> dict[str, tuple[object, ...]]:
    """Path to type, mode, owner, size or target or digest, and extended attributes, of all files of an image."""
    tree = image.with_suffix(".tree")
    tree.mkdir()
    subprocess.run(["mount", "-o", "loop,ro", image, tree], check=True)
    try:
        found = {}
        for directory, names, files in os.walk(tree):
            for name in [*names, *files]:
                path = Path(directory, name)
                inside = "/" + str(path.relative_to(tree))
                if inside not in VOLATILE:
                    found[inside] = describe(path)
        return found
    finally:
        subprocess.run(["umount", tree], check=True)


def describe(path: Path) -> tuple[object, ...]:
    status = path.lstat()
    attributes = {
        name: os.getxattr(path, name, follow_symlinks=False) for name in os.listxattr(path, follow_symlinks=False)
    }
    what: object = ""
    if stat.S_ISREG(status.st_mode):
        what = (status.st_nlink, hashlib.sha256(path.read_bytes()).hexdigest())
    elif stat.S_ISLNK(status.st_mode):
        what = path.readlink()
    elif not stat.S_ISDIR(status.st_mode):
        what = status.st_rdev
    return stat.filemode(status.st_mode), status.st_uid, status.st_gid, what, attributes
