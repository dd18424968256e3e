"""Bad luck: images that don't boot, each in its own way. Each ends in time, with a verdict that says how far it came.

All checks that need a guest are there, and none of them may pass.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from dib_py.verify.checks import Limits
from dib_py.verify.result import Outcome, Stage, Verdict
from tests.verify import bad_images
from tests.verify.verifying import checks, verdict_of, with_outcome

pytestmark = [pytest.mark.slow, pytest.mark.root, pytest.mark.appliance]

LIMITS = Limits(login=900, cloud_init=30, door=30, command=60, shutdown=60, offline=200, silence=60, total=1200)
DEAD_ROOT = "root=UUID=00000000-dead-4bad-8bad-000000000000 ro"
ENDED_WITHIN = 60.0  # seconds until nothing of a killed command is left

Maker = Callable[[Path], Path]


def _wrong_root(path: Path) -> Path:
    return bad_images.with_kernel(path, f"{bad_images.CONSOLE} {DEAD_ROOT}")


def _wrong_root_of_debian(path: Path) -> Path:
    command_line = f"{bad_images.CONSOLE} {DEAD_ROOT} rootdelay=1"
    return bad_images.with_kernel(path, command_line, bad_images.initramfs_of_debian())


def _panic(path: Path) -> Path:
    return bad_images.with_init(path, "exit 7")


def _reboots(path: Path) -> Path:
    return bad_images.with_init(path, "echo once more; /bin/busybox reboot -f")


def _hangs(path: Path) -> Path:
    return bad_images.with_init(path, "echo waiting for something; while :; do /bin/busybox sleep 1000; done")


def _floods(path: Path) -> Path:
    return bad_images.with_init(path, "exec /bin/busybox yes 'far too much to read, line after line after line'")


def _cut_off(path: Path) -> Path:
    """A raw disk of which the second half is missing, and with it most of the kernel."""
    whole = bad_images.with_kernel(path, bad_images.CONSOLE, size=40 * bad_images.MIB)
    return bad_images.cut_off(whole, 0.2)


@pytest.mark.parametrize(
    ("make", "stage", "reason", "last"),
    [
        (bad_images.blank, Stage.FIRMWARE, "the firmware finds nothing to boot", ""),
        (bad_images.without_bootloader, Stage.FIRMWARE, "there is no bootloader", ""),
        (_cut_off, Stage.BOOTLOADER, "it came to: bootloader", "Loading /linux"),  # whether that hangs or restarts
        (_wrong_root, Stage.KERNEL, "kernel panic: VFS: Unable to mount root fs", "Unable to mount root fs"),
        (_wrong_root_of_debian, Stage.INITRAMFS, "the initramfs gave up", "dead-4bad"),
        (
            _panic,
            Stage.INITRAMFS,
            "kernel panic: Attempted to kill init! exitcode=0x00000700",
            "Attempted to kill init",
        ),
        (_reboots, Stage.INITRAMFS, "it restarts again and again: 3 times", "once more"),
        (_hangs, Stage.INITRAMFS, "it hangs: nothing on the console for 60 s", "waiting for something"),
        (_floods, Stage.INITRAMFS, "the console is flooded", "far too much to read"),
    ],
)
def test_an_image_that_does_not_come_up(tmp_path: Path, make: Maker, stage: Stage, reason: str, last: str) -> None:
    image = make(tmp_path / "bad.raw")
    before = image.read_bytes()
    verdict = verdict_of(image, tmp_path, checks("no-leftovers"), LIMITS)
    assert (verdict.outcome, verdict.stage) == (Outcome.FAILED, stage)
    assert reason in verdict.reason
    assert with_outcome(verdict, Outcome.FAILED) == {"boots"}
    assert with_outcome(verdict, Outcome.PASSED) == set()
    assert last in _shown(verdict)
    assert image.read_bytes() == before


def _shown(verdict: Verdict) -> str:
    """The console's last lines, as the check shows them."""
    boots = next(result for result in verdict.results if result.check == "boots")
    return next(one.text for one in boots.evidence if one.title == "the console's last lines")


def _text(path: Path) -> Path:
    path.write_text("this is no image\n")
    return path


def _empty(path: Path) -> Path:
    path.touch()
    return path


def _cut_off_qcow2(path: Path) -> Path:
    raw = bad_images.with_init(path.with_suffix(".whole"), "exit 1")
    return bad_images.cut_off(bad_images.qcow2(raw, path), 0.5)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (_text, "is no disk image"),
        (_empty, "it is empty"),
        (_cut_off_qcow2, "is no whole qcow2 image"),
    ],
)
def test_a_file_that_no_machine_could_boot(tmp_path: Path, make: Maker, reason: str) -> None:
    image = make(tmp_path / "bad.img")
    done = subprocess.run([*_verify(image), "--json"], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1, done.stderr
    verdict = json.loads(done.stdout)
    assert (verdict["outcome"], verdict["stage"], verdict["boots"]) == ("failed", "nothing", [])
    assert reason in verdict["reason"]
    assert {check["outcome"] for check in verdict["checks"]} == {"not run"}


def test_the_command_ends_when_its_time_is_up(tmp_path: Path) -> None:
    image = _hangs(tmp_path / "hangs.raw")
    argv = [*_verify(image), "--check", "boots", "--timeout", "60", "--json"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 1
    verdict = json.loads(done.stdout)
    assert "the verification's limit of 60 s has passed" in verdict["reason"]
    assert verdict["stage"] == "initramfs"


# -- nothing outlives the command
@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_nothing_outlives_the_command(tmp_path: Path, end: signal.Signals) -> None:
    image = _hangs(tmp_path / "hangs.raw")
    with _running(image) as command:
        started = _await(lambda: {pid for pid, name in _below(command.pid).items() if name.startswith("qemu-system")})
        family = _below(command.pid)
        assert started
        os.kill(command.pid, end)
        command.wait(60)
        deadline = time.monotonic() + ENDED_WITHIN
        while left := {name for pid, name in family.items() if _name(pid) == name}:
            assert time.monotonic() < deadline, f"still there {ENDED_WITHIN:g} s after {end.name}: {left}"
            time.sleep(0.2)


@contextmanager
def _running(image: Path) -> Iterator[subprocess.Popen[bytes]]:
    quiet = subprocess.DEVNULL
    with subprocess.Popen(_verify(image), stdin=quiet, stdout=quiet, stderr=quiet, start_new_session=True) as command:
        try:
            yield command
        finally:
            command.kill()


def _verify(image: Path) -> list[str]:
    return [sys.executable, "-m", "dib_py", "verify", str(image)]


def _await(find: Callable[[], set[int]]) -> set[int]:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if found := find():
            return found
        time.sleep(0.1)
    return set()


def _below(pid: int) -> dict[int, str]:
    """The names of all processes that this one has started, and those of them, that have not ended."""
    parents: dict[int, list[int]] = {}
    for directory in Path("/proc").iterdir():
        if directory.name.isdigit():
            try:
                status = (directory / "stat").read_text()
            except OSError:
                continue
            parents.setdefault(int(status.rpartition(")")[2].split()[1]), []).append(int(directory.name))
    found: dict[int, str] = {}
    waiting = [pid]
    while waiting:
        for child in parents.get(waiting.pop(), []):
            found[child] = _name(child)
            waiting.append(child)
    return {child: name for child, name in found.items() if name}


def _name(pid: int) -> str:
    """What a process runs; empty once it has ended."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""
    name, _, rest = status.partition("(")[2].rpartition(")")
    return "" if rest.split()[0] == "Z" else name
