"""A small build for the kill tests: it mounts, writes, syncs, snapshots and unmounts, and says where it is.

Usage: ``python synthetic.py TMPDIR [STAGE]``. Prints a line when it enters a stage. A named stage is repeated until the
kill comes, so that the kill falls inside it; without one the stages follow each other, once, in about 1.5 s.
"""

from __future__ import annotations

import itertools
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from dib_py import supervisor
from dib_py.disk import Disk
from dib_py.disk.layout import Filesystem, Layout, Partition, PartitionTable
from dib_py.disk.storage_daemon import StorageDaemon
from dib_py.events import Event, Events, Message
from dib_py.isolation import Worker
from dib_py.settings import Settings
from dib_py.target.host import HostTarget

MIB = 1024**2
STAGES = ("mount", "write", "sync", "snapshot", "expose", "hook", "unmount")
WRITTEN = 60 * MIB

LAYOUT = Layout(
    "image0",
    None,
    table=PartitionTable("gpt", MIB, (Partition("root", 1, None, "8300"),)),
    filesystems=(
        Filesystem("mkfs_root", "root", "ext4", "roots", "3d1c1d5e-6a43-4b1f-8a37-0f7e6f2b2001", mount_point="/"),
    ),
)


class SyntheticBuild:
    """The stages, each of which leaves the tree mounted but the last."""

    def __init__(self, worker: Worker, disk: Disk, target: HostTarget) -> None:
        self._worker = worker
        self._disk = disk
        self._target = target
        self._layers = itertools.count(1)
        self._mounts = target.layout_mounts(LAYOUT)
        self.mounted = False

    def mount(self) -> None:
        if self.mounted:
            self._target.unmount()
        self._target.mount(self._mounts)
        self.mounted = True

    def write(self) -> None:
        self._target.write("/large", os.urandom(WRITTEN))

    def sync(self) -> None:
        self._target.write("/unsynced", os.urandom(WRITTEN))
        self._target.sync()

    def snapshot(self) -> None:
        self._target.write("/before", os.urandom(MIB))
        self._disk.snapshot(self._worker.daemon_directory / f"layer{next(self._layers)}.qcow2")

    def expose(self) -> None:
        self._target.expose_devices(LAYOUT)
        self._target.write("/after", os.urandom(20 * MIB))

    def hook(self) -> None:
        text = f"dd if=/dev/urandom of={self._target.root}/hook bs=1M count=30 status=none & setsid sleep 60 & sleep .2"
        with self._target.tree():
            self._target.run_host(["sh", "-c", text], env=dict(os.environ), output=lambda chunk: None)

    def unmount(self) -> None:
        if not self.mounted:
            self.mount()
        self._target.write("/last", os.urandom(WRITTEN))
        self._target.unmount()
        self.mounted = False


def build(only: str | None, worker: Worker) -> None:
    partial = worker.partial(Path(os.environ["SYNTHETIC_OUTPUT"]))
    partial.write_bytes(b"half an image")
    with (
        StorageDaemon.connect(worker.daemon_directory) as daemon,
        Disk.create(daemon, worker.daemon_directory, size=1024 * MIB) as disk,
        HostTarget(disk, worker.build_dir, Settings(), Events()) as target,
    ):
        target.create(replace(LAYOUT, size=disk.size))
        work = SyntheticBuild(worker, disk, target)
        run_stages(worker, work, only)
    partial.unlink()


def run_stages(worker: Worker, work: SyntheticBuild, only: str | None) -> None:
    stages: dict[str, Callable[[], None]] = {stage: getattr(work, stage) for stage in STAGES}
    if only is None:
        for name, stage in stages.items():
            worker.events.info(name)
            stage()
        return
    work.mount()
    while True:
        worker.events.info(only)
        stages[only]()


def show(event: Event) -> None:
    if not (isinstance(event, Message) and event.level == "debug"):
        print(event.text if isinstance(event, Message) else event, flush=True)


def main() -> int:
    only = sys.argv[2] if len(sys.argv) > 2 else None
    settings = Settings(tmp_dir=Path(sys.argv[1]))
    return supervisor.run(lambda worker: build(only, worker), settings, [show])


if __name__ == "__main__":
    sys.exit(main())
