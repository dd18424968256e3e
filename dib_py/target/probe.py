"""Whether KVM works on this machine, which must be proved: on some, it accepts virtual machines, then crawls or hangs.

A boot sector that counts down and then ends the machine is raced under KVM and under TCG, qemu's own emulation, which
needs a third of a second for it. KVM works if it is not the slower one.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from platformdirs import user_cache_path

KVM = Path("/dev/kvm")
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
OVERRIDE = "DIB_PY_KVM"  # yes or no: the answer, without a probe

QEMU = {"x86_64": "qemu-system-x86_64"}  # by machine, where it boots what is for that
_HARD_LIMIT = 20.0  # seconds for the whole race
_HEAD_START = 0.5  # seconds that KVM may come in later: creating a machine costs it more
_POLL = 0.01

_EXIT_PORT = 0xF4
_EXIT_VALUE = 0x2A
_EXIT_CODE = (_EXIT_VALUE << 1) | 1  # what isa-debug-exit makes of it

_CODE = bytes(
    [
        *(0x66, 0xB9, 0x00, 0x00, 0x00, 0x04),  # mov ecx, 0x4000000
        *(0x66, 0x49),  # again: dec ecx
        *(0x75, 0xFC),  # jnz again
        *(0xB0, _EXIT_VALUE),  # mov al, 0x2a
        *(0xE6, _EXIT_PORT),  # out 0xf4, al
        *(0xEB, 0xFE),  # jmp here
    ]
)
BOOT_SECTOR = _CODE.ljust(510, b"\0") + b"\x55\xaa"


@dataclass(frozen=True)
class Verdict:
    """Whether KVM works, and why one thinks so."""

    works: bool
    reason: str


def kvm_works(environ: Mapping[str, str] = os.environ, cache: Path | None = None) -> Verdict:
    """The verdict for this machine: what ``DIB_PY_KVM`` says, else what was found since it started, else a race.

    ``cache`` is the file for the verdict (default: in the user's cache directory).
    """
    override = environ.get(OVERRIDE, "")
    if override in ("yes", "no"):
        return Verdict(override == "yes", f"{OVERRIDE}={override}")
    if not os.access(KVM, os.R_OK | os.W_OK):
        return Verdict(False, f"{KVM} is not accessible" if KVM.exists() else f"there is no {KVM}")
    path = cache or user_cache_path("dib-py") / "kvm.json"
    known = _read(path)
    if known is None:
        known = race()
        _write(path, known)
    return known


def race() -> Verdict:
    """Run the boot sector under both, for as long as it takes to know, 20 s at most."""
    program = QEMU.get(platform.machine())
    if program is None:
        return Verdict(False, f"KVM can't be proved on {platform.machine()}")
    if shutil.which(program) is None:
        return Verdict(False, f"{program} is not installed")
    with tempfile.TemporaryDirectory(prefix="dib-py-probe-") as directory:
        sector = Path(directory) / "sector"
        sector.write_bytes(BOOT_SECTOR)
        with _machine(program, "tcg", sector) as tcg, _machine(program, "kvm", sector) as kvm:
            return _judge(tcg, kvm, time.monotonic())


def _judge(tcg: subprocess.Popen[bytes], kvm: subprocess.Popen[bytes], started: float) -> Verdict:
    limit = started + _HARD_LIMIT
    tcg_took = None
    while time.monotonic() < limit:
        now = time.monotonic()
        if kvm.poll() is not None:
            if kvm.returncode == _EXIT_CODE:
                return Verdict(True, f"KVM ran the test in {now - started:.1f} s")
            return Verdict(False, "KVM could not run the test")
        if tcg_took is None and tcg.poll() is not None:
            tcg_took = now - started
            limit = min(limit, now + _HEAD_START)
        time.sleep(_POLL)
    if tcg_took is None:
        return Verdict(False, f"KVM did not run the test within {_HARD_LIMIT:g} s")
    return Verdict(False, f"KVM is slower than no KVM: over {limit - started:.1f} s, and {tcg_took:.1f} s without it")


@contextlib.contextmanager
def _machine(program: str, accelerator: str, sector: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A machine that boots the sector; killed at the end, if it still runs."""
    argv = [
        *(program, "-machine", f"pc,accel={accelerator}", "-m", "16", "-nodefaults", "-no-user-config"),
        *("-display", "none", "-boot", "c"),
        *("-drive", f"file={sector},format=raw,if=ide,snapshot=on,file.locking=off"),
        *("-device", f"isa-debug-exit,iobase={_EXIT_PORT:#x},iosize=1"),
    ]
    with subprocess.Popen(
        argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as machine:
        try:
            yield machine
        finally:
            machine.kill()


def _read(path: Path) -> Verdict | None:
    """The remembered verdict, if this machine has not been started again since."""
    try:
        values = json.loads(path.read_text())
        if values.pop("boot_id") != _boot_id():
            return None
        return Verdict(**values)
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None


def _write(path: Path, verdict: Verdict) -> None:
    """Remember a verdict; where that is not possible, the next build probes again."""
    fresh = path.with_name(f"{path.name}.{os.getpid()}")
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh.write_text(json.dumps({"boot_id": _boot_id(), **asdict(verdict)}))
        fresh.replace(path)


def _boot_id() -> str:
    return BOOT_ID.read_text().strip()
