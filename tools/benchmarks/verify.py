"""Verifications, by what a boot takes alone."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from benchmarks.runs import DIB_PY, Bench, Run


def verify(bench: Bench, options: argparse.Namespace) -> None:
    """dib-py verify of the README's Debian image, against what the same machine takes to the login prompt alone"""
    image = bench.work / "verified.qcow2"
    if options.image:
        image.symlink_to(options.image.resolve())
    else:
        bench.dib_py("build", "-o", str(image), "debian", "vm", "cloud-init", "growroot", "qga")

    def verified(name: str, *arguments: str) -> Run:
        return bench.run(name, [*DIB_PY, "verify", "--again", str(image), *arguments], "dib-py")

    verified("boots only", "--check", "boots")
    verdict = Path(f"{image}.verdict.json")
    boot = json.loads(verdict.read_text())["boots"][0]
    login = next(moment["at"] for moment in boot["timeline"] if moment["stage"] == "login") - boot["started"]
    profile = verified("openstack profile")
    names = [check["name"] for check in json.loads(verdict.read_text())["checks"]]
    once = verified("without second boot", *_checks(name for name in names if name != "second-boot"))
    bench.report.verdicts["seconds from power on to the login prompt, with nothing else at work"] = login
    bench.report.verdicts["the openstack profile without the second boot, times that; goal 1.8"] = once.wall / login
    bench.report.verdicts["the openstack profile, times that; goal 3.0"] = profile.wall / login


def _checks(names: Iterable[str]) -> Iterator[str]:
    for name in names:
        yield from ("--check", name)
