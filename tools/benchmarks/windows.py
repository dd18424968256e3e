"""Builds of a Windows image, by the same work with nothing around it."""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil

from benchmarks.runs import PYTHON, ROOT, Bench, Run, output

WINDOWS_ELEMENTS = ("windows", "virtio", "ems", "rdp", "icmp", "power", "execution-policy", "clock-utc")
# A phony Windows with hives as large as real ones, and a phony medium with its drivers
PHONY = """
import sys
from pathlib import Path
from tests.windows import phony_disk, virtio_media
from tests.windows.phony import Guest, Value
work = Path(sys.argv[1])
def padding(mebibytes):
    numbers = range(mebibytes * 65)
    return {f"Padding{number // 1000}\\\\{number}": [Value.binary("x", b"\\xa5" * 16000)] for number in numbers}
guest = Guest("2022", extra={"SYSTEM": padding(12), "SOFTWARE": padding(48)})
phony_disk.make({work / "windows.qcow2": guest}, work / "phony")
virtio_media.write_directory(virtio_media.media(["2k22"]), work / "virtio-win")
"""
# The same work with nothing around it: launch, mount, hives down, edits, hives and files up, unmount
BARE = """
import sys
from pathlib import Path
import guestfs, hivex
disk, scratch, hives, files, kvm = sys.argv[1], Path(sys.argv[2]), sys.argv[3].split(), sys.argv[4], sys.argv[5]
handle = guestfs.GuestFS(python_return_dict=True)
handle.set_backend("direct")
if kvm == "no":
    handle.set_backend_setting("force_tcg", "1")
handle.set_memsize(2048)
handle.set_smp(int(sys.argv[6]))
handle.add_drive_opts(disk, format="qcow2", cachemode="unsafe", discard="besteffort")
handle.launch()
handle.mount_options("permissions,windows_names,big_writes", "/dev/sda3", "/")
for name in hives:
    place = f"/Windows/System32/config/{name}"
    handle.download(place, str(scratch / name))
    hive = hivex.Hivex(str(scratch / name), write=True)
    for number in range(20):
        node = hive.node_add_child(hive.root(), f"Bare{number}")
        hive.node_set_values(node, [{"key": "x", "t": 4, "value": bytes(4)}])
    hive.commit(None)
    handle.upload(str(scratch / name), place)
for path in sorted(path for path in Path(files).rglob("*") if path.is_file()):
    handle.mkdir_p("/bare" + str(path.parent))
    handle.upload(str(path), "/bare" + str(path))
handle.umount_all()
handle.shutdown()
"""

PROBE = "import os; from dib_py.target.probe import kvm_works; print('yes' if kvm_works(os.environ).works else 'no')"


def windows(bench: Bench, _options: argparse.Namespace) -> None:
    """eight elements for a Windows image, against what launch, mount, the uploads and the hive edits take alone"""
    bench.run("phony windows", [str(PYTHON), "-c", PHONY, str(bench.work)], "phony", PYTHONPATH=str(ROOT))
    base, media = bench.work / "windows.qcow2", bench.work / "virtio-win"

    def ours(name: str, *more: str, **environ: str) -> Run:
        image = ["-o", str(bench.work / name.replace(" ", "-")), "--log-format", "json", "--base", str(base), *more]
        return bench.dib_py(name, *image, *WINDOWS_ELEMENTS, DIB_VIRTIO_WIN=str(media), **environ)

    cold = ours("windows cold")
    events = [
        json.loads(line) for line in (bench.work / "windows-cold.log").read_text().splitlines() if line[:1] == "{"
    ]
    told = [event["text"] for event in events if event["event"] == "Message" and event["text"].endswith(" written")]
    launches = sum("base image:" in event.get("text", "") for event in events)
    hives = dict.fromkeys(re.findall(r"HKLM.([A-Z]+)", " ".join(told)))
    placed = shutil.copytree(media, bench.work / "placed")
    overlay = bench.work / "bare.qcow2"
    output(["qemu-img", "create", "-q", "-f", "qcow2", "-b", str(base), "-F", "qcow2", str(overlay)])
    scratch = bench.work / "bare"
    scratch.mkdir()
    kvm = output([str(PYTHON), "-c", PROBE]).strip()
    arguments = [str(overlay), str(scratch), " ".join(hives), str(placed), kvm, str(len(os.sched_getaffinity(0)))]
    bare = bench.run("windows bare", [str(PYTHON), "-c", BARE, *arguments], "bare")
    changed = ours("windows changed", DIB_RDP_PORT="3390")
    again = ours("windows changed", DIB_RDP_PORT="3390")
    verdicts = bench.report.verdicts
    verdicts["launches of the appliance in a build; goal 1"] = launches
    verdicts["eight elements, by what launch, mount, uploads and hive edits take alone; goal 1.3"] = (
        cold.wall / bare.wall
    )
    verdicts["a changed variable of a registry file, by the same"] = changed.wall / bare.wall
    verdicts["nothing changed, s"] = again.wall
