"""An image opened to be looked at: in an appliance without a network, below an overlay that is thrown away.

So a journal can be replayed there, and the image stays as it is. Whatever ends this, nothing is left behind: the
appliance and the storage daemon end with this process, and its directory is removed by the next run if not by this one.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import NoReturn

from dib_py import sweep
from dib_py.base.image_format import examine
from dib_py.disk import Disk
from dib_py.disk.storage_daemon import serving
from dib_py.errors import BaseError, DibError
from dib_py.settings import Settings
from dib_py.state import build_root
from dib_py.target.guestfs_appliance import Appliance, Machine
from dib_py.target.probe import kvm_works

_ENDING = (signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True)
class OpenImage:
    """An image in a running appliance; ``format`` is qemu's name, ``size`` the disk's in bytes, ``scratch`` our own."""

    path: Path
    format: str
    size: int
    appliance: Appliance
    scratch: Path


def check(path: Path) -> tuple[str, int]:
    """Format and virtual size (bytes) of an image, which takes no appliance; BaseError for what is none."""
    if not path.is_file():
        what = "is no file" if path.exists() else "does not exist"
        raise BaseError(f"the image {what}", where=str(path))
    return examine(path)


@contextmanager
def opened(path: Path, settings: Settings) -> Iterator[OpenImage]:
    """Open the image; BaseError for what is none, with its path in front of whatever is wrong with what is inside."""
    image_format, size = check(path)
    machine = Machine(settings.memory, settings.vcpus, kvm_works(settings.environ).works, network=False)
    with (
        _directory(settings) as directory,
        serving(directory) as daemon,
        Disk.create(daemon, directory, base=path, base_format=image_format) as disk,
    ):
        appliance = Appliance(disk.nbd(), directory, machine)
        try:
            appliance.launch()
            with _named(path):
                yield OpenImage(path, image_format, size, appliance, directory)
        finally:
            appliance.close()


@contextmanager
def ending_in_order() -> Iterator[None]:
    """While open, SIGTERM and SIGHUP end this process as an error would, so that all it opened is closed."""
    before: dict[signal.Signals, Callable[..., object] | int | None] = {}

    def end(number: int, frame: FrameType | None) -> NoReturn:
        raise SystemExit(128 + number)

    for number in _ENDING:
        before[number] = signal.signal(number, end)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _directory(settings: Settings) -> Iterator[Path]:
    sweep.sweep()
    record = sweep.Record.create()
    try:
        yield sweep.make_build_directory(record, build_root(settings))
    finally:
        record.remove_all()


@contextmanager
def _named(path: Path) -> Iterator[None]:
    try:
        yield
    except DibError as error:
        error.where = error.where or str(path)
        raise
