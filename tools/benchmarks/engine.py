"""The engine: plans, builds beside diskimage-builder's, what it costs itself, in time and in room."""

from __future__ import annotations

import argparse
import json

from benchmarks.runs import DIB_PY, PYTHON, Bench, Run, content, output

HOOKS = 50
TURNS = 5  # of what ends within seconds; the fastest counts
CATALOG = 2000  # elements
# Diskimage-builder's elements: with what they depend on there are fifty.
FIFTY = """\
debian vm apt-conf apt-preferences apt-sources autoupdates baremetal base block-device-efi bootloader cache-url
cleanup-kernel-initrd cloud-init cloud-init-datasources cloud-init-disable-resizefs cloud-init-growpart
cloud-init-nocloud debian-minimal debian-systemd debian-upstart debootstrap deploy-baremetal deploy-targetcli
deploy-tgtadm devuser dhcp-all-interfaces dib-init-system dib-python dib-run-parts disable-nouveau disable-selinux
dkms dpkg dracut-network dracut-ramdisk dracut-regenerate dynamic-login element-manifest elrepo
"""


def build(bench: Bench, options: argparse.Namespace) -> None:
    """An unpartitioned debian-minimal as qcow2: diskimage-builder and the host target, cold, then warm."""
    image = str(bench.work / "debian")

    def ours(name: str) -> Run:
        return bench.dib_py(f"dib-py {name}", "--target", "host", "-o", image, "-t", "qcow2", "debian-minimal")

    def theirs(name: str, **environ: str) -> Run:
        arguments = ["-o", image, "-t", "qcow2", *([] if options.tmpfs else ["--no-tmpfs"]), "debian-minimal"]
        return bench.dib(f"dib {name}", *arguments, **environ)

    cold = ours("cold").wall / theirs("cold").wall
    # its tarball of the bootstrap is a cache too, which it writes and reads only if told to
    theirs("filling caches", DIB_DEBOOTSTRAP_CACHE="1")
    warm = ours("warm").wall / theirs("warm", DIB_DEBIAN_USE_DEBOOTSTRAP_CACHE="1").wall
    bench.report.verdicts["cold, dib-py / dib (goal: at most 0.6)"] = cold
    bench.report.verdicts["warm, dib-py / dib (goal: at most 0.7)"] = warm


def plan(bench: Bench, _options: argparse.Namespace) -> None:
    """A plan of fifty elements by diskimage-builder's resolver, which prints their names only; and a large catalog."""
    package = output([str(PYTHON), "-c", "import diskimage_builder; print(*diskimage_builder.__path__)"]).strip()
    info = [str(PYTHON), "-c", "from diskimage_builder.element_dependencies import main; main()"]
    catalog = bench.work / "catalog"
    for number in range(CATALOG):
        path = catalog / f"e{number}"
        path.mkdir(parents=True, exist_ok=True)
        (path / "element-deps").write_text(f"e{number // 2}\ne{number // 3}\n" if number else "")
    (catalog / "e0" / "element-provides").write_text("operating-system\n")
    (catalog / "e0" / "environment.d").mkdir(exist_ok=True)
    (catalog / "e0" / "environment.d" / "10-init").write_text("export DIB_INIT_SYSTEM=systemd\n")
    half = [f"e{number}" for number in range(CATALOG // 2, CATALOG)]

    def fastest(name: str, argv: list[str], tool: str, path: str) -> float:
        return min(bench.run(f"{name} {turn}", argv, tool, ELEMENTS_PATH=path).wall for turn in range(TURNS))

    ours = fastest("plan", [*DIB_PY, "plan", *FIFTY.split()], "dib-py", f"{package}/elements")
    theirs = fastest("element-info", [*info, *FIFTY.split()], "dib", f"{package}/elements")
    large = fastest("large catalog", [*DIB_PY, "plan", *half], "dib-py", str(catalog))
    verdicts = bench.report.verdicts
    verdicts["plan of fifty elements, seconds (goal: under 1)"] = ours
    verdicts["the same / element-info of diskimage-builder, which reads dependencies only"] = ours / theirs
    verdicts[f"plan of {len(half)} of {CATALOG} elements, seconds (goal: under 3)"] = large


def overhead(bench: Bench, _options: argparse.Namespace) -> None:
    """A build of 50 hooks that do nothing: from opening the disk to closing it."""
    elements = bench.work / "elements"
    hooks = elements / "idle" / "install.d"
    hooks.mkdir(parents=True, exist_ok=True)
    (elements / "idle" / "element-provides").write_text("operating-system\n")
    (elements / "idle" / "README.rst").write_text("idle\n====\n\nDoes nothing, many times.\n")
    for number in range(HOOKS):
        hook = hooks / f"{number:02}-idle"
        hook.write_text("#!/bin/sh\n")
        hook.chmod(0o755)
    base, events = bench.base(), bench.work / "events.json"
    events.unlink(missing_ok=True)
    arguments = ["--target", "host", "--base", str(base), "--trust-base", "-n", "-u", "-o", str(bench.work / "idle")]
    bench.dib_py(
        "overhead",
        *arguments,
        *("--log-format", "json", "--logfile", str(events), "idle"),
        ELEMENTS_PATH=str(elements),
    )
    seen = [json.loads(line) for line in events.read_text().splitlines()]
    opened = next(event["at"] for event in seen if event["event"] == "BuildStarted")
    closed = next(event["at"] for event in seen if event["event"] == "Progress" and event["task"].startswith("write "))
    bench.report.verdicts[f"{HOOKS} idle hooks, seconds, disk opened to closed (goal: under 3)"] = closed - opened


def space(bench: Bench, _options: argparse.Namespace) -> None:
    """The most disk that a build takes besides its output, by what the image has allocated."""
    image = bench.work / "space.qcow2"
    run = bench.dib_py("space", "--target", "host", "-o", str(image), "debian-minimal", tool="space")
    bench.report.verdicts["peak disk / image's allocated size (goal: under 1.2)"] = run.peak / content(image)
