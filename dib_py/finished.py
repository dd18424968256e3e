"""The finished disk, opened once more to read the guest's files; whatever that changes is thrown away."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from dib_py.base import BaseImage, image_cache
from dib_py.disk import Disk
from dib_py.disk.chain import Chain
from dib_py.disk.storage_daemon import StorageDaemon
from dib_py.isolation import Worker
from dib_py.plan import Plan
from dib_py.target import Mount, Target
from dib_py.target.choose import open_target

OVERLAY = "finished.qcow2"  # below the build's own directory


@contextmanager
def opened(image: Chain, plan: Plan, base: BaseImage | None, target: str, worker: Worker) -> Iterator[Target]:
    """The target of this name on the disk ``image``, with all of its filesystems mounted.

    An overlay takes what mounting writes, so that the disk stays as it is, and can be read by others meanwhile.
    """
    *layers, lowest = image.files
    directory = worker.daemon_directory
    with (
        StorageDaemon.connect(directory) as daemon,
        Disk.create(
            daemon,
            directory,
            base=lowest.path,
            base_format=lowest.format,
            layers=[layer.path for layer in reversed(layers)],
            overlay=directory / OVERLAY,
            sector_size=plan.layout.sector_size if plan.layout else 512,
        ) as disk,
        open_target(target, disk, worker.build_dir, plan.settings, worker.events) as guest,
    ):
        guest.mount([mount for mount in _mounts(guest, plan, base) if mount.path.startswith("/")])
        yield guest


def _mounts(guest: Target, plan: Plan, base: BaseImage | None) -> Sequence[Mount]:
    if plan.layout is not None:
        return guest.layout_mounts(plan.layout)
    assert base is not None  # a plan has a base or a layout
    name = f"{guest.name}-{base.digest.replace(':', '-')}.json"
    return guest.inspect(image_cache(plan.settings) / "inspected" / name).mounts
