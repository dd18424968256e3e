"""What is left of a build on this machine: its processes, mounts, loop devices and nodes."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

from dib_py import sweep
from dib_py.isolation import MARKER
from dib_py.target import loop


def descendants(pid: int) -> dict[int, str]:
    """The processes below ``pid``, each with the time of its start, by which a reused number is told apart."""
    found: dict[int, str] = {}
    for directory in Path("/proc").glob("[0-9]*"):
        fields = _stat(int(directory.name))
        if fields:
            found[int(directory.name)] = fields[1]
    below = {pid}
    while True:
        more = {one for one, parent in found.items() if int(parent) in below} | {pid}
        if more <= below:
            return {one: started for one in below - {pid} if (started := _started(one))}
        below |= more


def remaining(noted: dict[int, str], build: str) -> list[str]:
    """Processes that are still there, in whatever state: those ``noted``, and all that carry the build's mark."""
    found = [f"{pid} {_stat(pid)}" for pid, started in noted.items() if _started(pid) == started]
    for directory in Path("/proc").glob("[0-9]*"):
        try:
            environment = (directory / "environ").read_bytes()
        except OSError:
            continue
        if f"{MARKER}={build}".encode() in environment.split(b"\0"):
            found.append(f"{directory.name} {_stat(int(directory.name))}")
    return found


def _stat(pid: int) -> list[str]:
    """State, parent and what follows in /proc/PID/stat; empty if there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def _started(pid: int) -> str:
    fields = _stat(pid)
    return fields[19] if fields else ""


def mounts(directory: Path) -> list[str]:
    """Lines of the host's mount table that belong to builds in ``directory``."""
    places = (str(directory), str(sweep.state_directory()))
    return [line for line in Path("/proc/1/mountinfo").read_text().splitlines() if any(p in line for p in places)]


def loops_of_builds() -> set[str]:
    """Attached loop devices whose file is, or was, the export of a build of this user that is dead."""
    alive = sweep.connections_of_living_builds()
    found = set()
    for device in Path("/sys/block").glob("loop*"):
        number = _connection_behind(device)
        if number is not None and number not in alive:
            found.add(device.name)
    return found


def _connection_behind(device: Path) -> int | None:
    """The FUSE connection of the export behind a loop device; None if there is none."""
    try:
        if str(sweep.state_directory()) not in (device / "loop/backing_file").read_text():
            return None
        with Path("/dev", device.name).open("rb") as file:
            backing: int = loop.status(file.fileno()).device
    except OSError:  # detached meanwhile
        return None
    return os.minor(backing)


def stale_nodes() -> set[str]:
    """Partition nodes of loop devices that have no file behind them."""
    return {
        node.name
        for device in Path("/sys/block").glob("loop*")
        if not (device / "loop").exists()
        for node in device.glob(f"{device.name}p*")
    }


def sync_returns(seconds: float = 60) -> bool:
    """Whether sync of the whole machine comes back: with a stuck filesystem it never does."""
    try:
        subprocess.run(["sync"], timeout=seconds, check=True)
    except subprocess.TimeoutExpired:
        return False
    return True


def settled(noted: dict[int, str], build: str, directory: Path, seconds: float = 15) -> list[str]:
    """What is still there of a build after at most ``seconds``; empty as soon as nothing is."""
    deadline = time.monotonic() + seconds
    while True:
        left = [*remaining(noted, build), *mounts(directory), *sorted(loops_of_builds())]
        if not left or time.monotonic() > deadline:
            return left
        time.sleep(0.02)
