"""Commands that are timed, each with caches of its own, and what came of them."""

from __future__ import annotations

import json
import os
import resource
import shlex
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PYTHON = ROOT / ".venv" / "bin" / "python"
DIB_PY = [str(PYTHON), "-m", "dib_py"]
# diskimage-builder's command, whose script has the same name as one of ours
DIB = [
    str(PYTHON),
    "-c",
    "import sys; sys.argv[0] = 'disk-image-create'; from diskimage_builder.disk_image_create import main; main()",
]
TIMEOUT = 3600.0  # seconds for one build


@dataclass(frozen=True)
class Run:
    """One command, timed: seconds of wall clock and processors, the most disk that its directory held, in bytes."""

    name: str
    wall: float
    cpu: float
    peak: int


@dataclass
class Report:
    runs: list[Run] = field(default_factory=list)
    verdicts: dict[str, float] = field(default_factory=dict)  # name to figure; the name says the unit and the goal

    def show(self) -> None:
        print(f"\n{'run':<34} {'wall s':>8} {'cpu s':>8} {'disk MB':>8}")
        for run in self.runs:
            print(f"{run.name:<34} {run.wall:8.1f} {run.cpu:8.1f} {run.peak / 1e6:8.0f}")
        print()
        for name, figure in self.verdicts.items():
            print(f"{name:<92} {figure:8.2f}")


@dataclass(frozen=True)
class Bench:
    """Where it works and what it gets packages from."""

    work: Path
    release: str
    mirror: str
    security: str
    report: Report

    def run(self, name: str, argv: list[str], tool: str, **environ: str) -> Run:
        """Run and time a command with the private directories of ``tool``; its output goes to a log beside them."""
        home, tmp = self.work / tool / "home", self.work / tool / "tmp"
        for directory in (home, tmp):
            directory.mkdir(parents=True, exist_ok=True)
        log = self.work / f"{name.replace(' ', '-')}.log"
        print(f"== {name}: {shlex.join(argv)}", flush=True)
        peak = Peak(tmp)
        before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
        with log.open("wb") as output, peak:
            done = subprocess.run(
                argv,
                cwd=self.work,
                env={**self.environment(), "HOME": str(home), "TMPDIR": str(tmp), **environ},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                timeout=TIMEOUT,
            )
        wall, after = time.monotonic() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
        if done.returncode != 0:
            sys.stdout.buffer.write(b"\n".join(log.read_bytes().splitlines()[-25:]) + b"\n")
            raise SystemExit(f"{name} failed with exit code {done.returncode}; its log is {log}")
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        run = Run(name, wall, cpu, peak.bytes)
        self.report.runs.append(run)
        return run

    def environment(self) -> dict[str, str]:
        """This process's, without what would steer the builds differently."""
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("DIB_", "XDG_")) and name not in ("ELEMENTS_PATH", "TMP_DIR", "VIRTUAL_ENV")
        }
        return {
            **kept,
            "DIB_RELEASE": self.release,
            "DIB_DISTRIBUTION_MIRROR": self.mirror,
            "DIB_DEBIAN_SECURITY_MIRROR": self.security,
        }

    def dib_py(self, name: str, *arguments: str, tool: str = "dib-py", **environ: str) -> Run:
        return self.run(name, [*DIB_PY, "--image-cache", str(self.work / tool / "cache"), *arguments], tool, **environ)

    def dib(self, name: str, *arguments: str, **environ: str) -> Run:
        return self.run(name, [*DIB, "--image-cache", str(self.work / "dib" / "cache"), *arguments], "dib", **environ)

    def base(self) -> Path:
        """A minimal Debian to start from, built once."""
        image = self.work / "base.qcow2"
        if not image.exists():
            self.dib_py("base", "--target", "host", "-u", "-o", str(image), "debian-minimal", tool="base")
        return image


class Peak:
    """The most bytes that the files below a directory had allocated, looked at every half second."""

    def __init__(self, directory: Path) -> None:
        self.bytes = 0
        self._directory = directory
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def _watch(self) -> None:
        while not self._end.wait(0.5):
            self.bytes = max(self.bytes, allocated(self._directory))

    def __enter__(self) -> Peak:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()


def allocated(directory: Path) -> int:
    """Bytes of the files below a directory, not crossing into other filesystems; what vanishes meanwhile counts not."""
    total, device = 0, directory.stat().st_dev
    for path, directories, files in os.walk(directory):
        place = Path(path)
        try:
            if place.stat().st_dev != device:
                directories.clear()
                continue
            total += sum((place / name).lstat().st_blocks * 512 for name in files)
        except FileNotFoundError:
            continue
    return total


def content(image: Path) -> int:
    """Bytes of an image's disk that are neither zero nor empty."""
    spans = json.loads(output(["qemu-img", "map", "--output=json", "-f", "qcow2", str(image)]))
    return sum(span["length"] for span in spans if span["data"] and not span["zero"])


def output(argv: list[str]) -> str:
    return subprocess.run(argv, check=True, stdout=subprocess.PIPE, text=True).stdout
