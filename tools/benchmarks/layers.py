"""Rebuilds from layers."""

from __future__ import annotations

import argparse
import json
import shutil
from dataclasses import dataclass
from pathlib import Path

from benchmarks.runs import Bench, Run, allocated, content


@dataclass(frozen=True)
class Told:
    """A build of the layers' measurement, by its events: ``own`` is what neither steps nor the conversion took."""

    wall: float
    conversion: float
    steps: list[str]  # those that ran
    own: float
    checkpoints: float


@dataclass(frozen=True)
class Rebuilds:
    """The Debian image of the README with a store of its own, and elements that only this knows."""

    bench: Bench

    ELEMENTS = ("debian", "vm", "cloud-init", "growroot", "qga", "bench-last")

    @property
    def store(self) -> Path:
        return self.bench.work / "layers" / "cache" / "layers"

    def prepare(self) -> None:
        """Empty caches; elements with a last finalise hook, with one behind that, and with a package."""
        shutil.rmtree(self.bench.work / "layers", ignore_errors=True)
        for element, file, text in (
            ("bench-last", "finalise.d/99-y-last", "#!/bin/sh\ndate > /etc/last\n"),
            ("bench-late", "finalise.d/99-z-late", "#!/bin/sh\ndate > /etc/late\n"),
            ("bench-package", "package-installs.yaml", "tree:\n"),
        ):
            path = self.elements / element / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            path.chmod(0o755)
            (self.elements / element / "README.rst").write_text(f"{element}\n{'=' * len(element)}\n")

    @property
    def elements(self) -> Path:
        return self.bench.work / "layers-elements"

    def build(self, name: str, *more: str, image: str = "layers") -> Told:
        events = self.bench.work / "layers-events.json"  # of one name, for some steps see the command line
        events.unlink(missing_ok=True)
        run = self.bench.dib_py(
            f"layers {name}",
            *("--target", "host", "-o", str(self.bench.work / image), "--log-format", "json", "--logfile", str(events)),
            *(*self.ELEMENTS, *more),
            tool="layers",
            ELEMENTS_PATH=str(self.elements),
        )
        seen = [json.loads(line) for line in events.read_text().splitlines()]
        written = [event["at"] for event in seen if event["event"] == "OutputWritten"]
        begun = [event["at"] for event in seen if event["event"] == "Progress" and event["task"].startswith("write ")]
        conversion = written[0] - begun[0] if written else 0.0
        ran = [event for event in seen if event["event"] == "StepFinished"]
        checkpoints = sum(event["seconds"] for event in seen if event["event"] == "CheckpointsTaken")
        own = run.wall - conversion - sum(event["seconds"] for event in ran)
        steps = [f"{event['phase']}/{event['name']}" for event in ran]
        print(f"   ran {', '.join(steps) or 'nothing'}", flush=True)
        return Told(run.wall, conversion, steps, own, checkpoints)


def layers(bench: Bench, options: argparse.Namespace) -> None:
    """What a rebuild of the README's Debian image costs: nothing changed, and one thing at a time; beside it dib."""
    rebuilds, verdicts, image = Rebuilds(bench), bench.report.verdicts, bench.work / "layers.qcow2"
    rebuilds.prepare()
    cold = rebuilds.build("cold")
    verdicts["all checkpoints / wall of a cold build (goal: under 0.04)"] = cold.checkpoints / cold.wall
    verdicts["store's allocated size / image's (goal: under 1.6)"] = allocated(rebuilds.store) / content(image)
    before = image.stat()
    again = min((rebuilds.build(f"again {number}") for number in range(3)), key=lambda told: told.wall)
    verdicts["nothing changed, seconds (goal: under 1.2)"] = again.wall
    after = image.stat()
    same = (before.st_ino, before.st_size, before.st_mtime_ns) == (after.st_ino, after.st_size, after.st_mtime_ns)
    verdicts["nothing changed, output left as it is (goal: 1)"] = float(same)
    other = rebuilds.build("other name", image="layers-other")
    verdicts["other output name, seconds besides the conversion (goal: 1)"] = other.own

    hook = rebuilds.elements / "bench-last/finalise.d/99-y-last"
    hook.write_text(f"{hook.read_text()}# changed\n")
    for what, name, more in (
        ("last finalise hook changed", "hook", ()),
        ("element with a finalise hook", "late", ("bench-late",)),
        ("element with a package", "package", ("bench-package",)),  # has no goal but to leave the system's alone
    ):
        told = rebuilds.build(name, *more, image=f"layers-{name}")
        goal = "" if name == "package" else " (goal: 3)"
        verdicts[f"{what}, seconds besides steps and conversion{goal}"] = told.own
        verdicts[f"{what}, seconds in all"] = told.wall
        verdicts[f"{what}, the operating system's packages installed again (goal: 0)"] = float(
            "install/01-package-installs" in told.steps
        )

    def theirs(name: str, **environ: str) -> Run:
        arguments = ["-o", str(bench.work / "layers-dib"), *([] if options.tmpfs else ["--no-tmpfs"])]
        # no vm: its partitions need the device mapper, which not every kernel has; it does less so
        elements = ["debian", "cloud-init", "growroot"]
        return bench.dib(f"dib {name}", *arguments, "-p", "qemu-guest-agent", *elements, **environ)

    # its tarball of the bootstrap is a cache too, which it writes and reads only if told to
    first = theirs("layers cold", DIB_DEBOOTSTRAP_CACHE="1")
    second = theirs("layers again", DIB_DEBIAN_USE_DEBOOTSTRAP_CACHE="1")
    verdicts["cold, dib-py / dib"] = cold.wall / first.wall
    verdicts["nothing changed, dib-py / dib"] = again.wall / second.wall
