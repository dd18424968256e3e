"""The image being built: a chain of qcow2 overlays served by one storage daemon.

What a chain stands on, a base image and layers of earlier builds, is only read. A frozen overlay does not change any
more: qemu writes its tables to the file before it puts the next one above, and has no right to write it from then on.

A disk has a size and a capacity. The capacity is how large its exports are; the size is how large the image is, and
what partition tables and filesystems are made for. An NBD client can never learn that its disk grew (qemu forbids
resizing what is exported), so a disk that is to grow is served with all its capacity from the start and is cut to its
size when it is closed. Without spare capacity, a disk exported by FUSE grows for real.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dib_py import process
from dib_py.disk import gpt
from dib_py.disk.chain import Chain, ImageFile
from dib_py.disk.image import refuse_references
from dib_py.disk.size import shown
from dib_py.disk.storage_daemon import FILE_OPTIONS, StorageDaemon, socket_path
from dib_py.errors import DiskError

TOP_NAME = "disk.qcow2"
NBD_NAME = "nbd.sock"
FUSE_NAME = "disk.raw"
GROWING_CAPACITY = 1024**4  # bytes: of a disk that grows on demand; costs nothing until used

_LOWER = "lower"  # the node of what the first overlay lies on
_SOURCE = "source-"  # before the names of what belongs to a source
_EXPORT_TIMEOUT = 30.0  # seconds for an export to let go of its clients

_TOP_OPTIONS = {**FILE_OPTIONS, "detect-zeroes": "unmap"}


@dataclass(frozen=True)
class _Overlay:
    """A file that this build writes, and the node that serves it."""

    node: str
    path: Path

    @property
    def file_node(self) -> str:
        return f"{self.node}-file"


class Disk:
    """A running chain: its top overlay takes all writes, by NBD or by FUSE (qemu allows one kind at a time).

    Methods may be called from any thread. A chain ends at a read-only base image or in nothing (a blank disk). What the
    disk's files are is still known when it is closed.
    """

    def __init__(
        self, daemon: StorageDaemon, directory: Path, *, size: int, sector_size: int, prefix: str = ""
    ) -> None:
        """:meth:`create` is the way in; ``prefix`` tells the names of two disks of one daemon apart."""
        self.daemon = daemon
        self.source: Disk | None = None  # what moves to this disk, see :meth:`open_source`
        self._prefix = prefix
        self.directory = directory
        self.size = size
        self.capacity = size
        self.sector_size = sector_size
        self._lower = Chain(())  # what the first overlay lies on
        self._overlays: list[_Overlay] = []  # top last
        self._nodes: list[str] = []  # those in the daemon, each on the one before
        self._exports: dict[str, Path] = {}
        self._lock = threading.RLock()

    @classmethod
    def create(
        cls,
        daemon: StorageDaemon,
        directory: Path,
        *,
        base: Path | None = None,
        base_format: str | None = None,
        layers: Sequence[Path] = (),
        overlay: Path | None = None,
        backing_name: str | None = None,
        size: int | None = None,
        capacity: int | None = None,
        sector_size: int = 512,
        prefix: str = "",
    ) -> Disk:
        """A new overlay on ``layers``, the nearest to ``base`` first; on ``base``; or a blank disk of ``size`` bytes.

        ``size`` may be larger than that of a base, and anything where there are layers; None is that of what is below.
        The base is opened as ``base_format`` and nothing else. ``capacity`` is how far :meth:`resize` can go while an
        NBD client is there (default: the size). ``overlay`` is the file to write (default: one in ``directory``), and
        ``backing_name`` what its header calls the file below. Raises DiskError, also for a base that names other files.
        """
        disk = cls(daemon, directory, size=0, sector_size=sector_size, prefix=prefix)
        try:
            disk._open_lower(Chain.of(layers, base, base_format), has_base=base is not None)
            disk.size = disk._wanted_size(size, resumed=bool(layers))
            disk.capacity = max(capacity or 0, disk.size)
            below = disk._nodes[-1] if disk._nodes else None
            disk._add_overlay(overlay or directory / f"{prefix}{TOP_NAME}", below, backing_name)
        except BaseException:
            with contextlib.suppress(DiskError):
                disk._release()
            raise
        return disk

    def __enter__(self) -> Disk:
        return self

    def __exit__(self, *exc: object) -> None:
        if exc[0] is None:
            self.close()
            return
        with contextlib.suppress(DiskError):  # what ended the build is worth more than what follows from it
            self._release()

    # -- what it is
    @property
    def top(self) -> Path:
        """The overlay that takes the writes."""
        return self._overlays[-1].path

    def image(self) -> Chain:
        """The disk's files, for qemu-img and its like once the disk is closed."""
        with self._lock:
            overlays = (ImageFile(overlay.path, "qcow2") for overlay in reversed(self._overlays))
            return Chain((*overlays, *self._lower.files))

    def chain(self) -> list[Path]:
        """The files from the top down to the base."""
        return [file.path for file in self.image().files]

    def allocated(self) -> int:
        """Bytes that this disk's own overlays take on the host's filesystem now."""
        return sum(overlay.path.stat().st_blocks * 512 for overlay in self._overlays)

    @property
    def nbd_name(self) -> str:
        """What the server of :meth:`nbd` calls this disk."""
        return self._prefix

    # -- what is done to it
    def open_source(self, base: Path, base_format: str) -> None:
        """Serve an image whose content is to move to this disk, as ``source``: a disk of its own with the same daemon.

        It may be written to, since a journal may have to be replayed; that goes to an overlay which is thrown away.
        """
        with self._lock:
            self.source = Disk.create(self.daemon, self.directory, base=base, base_format=base_format, prefix=_SOURCE)

    def close_source(self) -> None:
        """Let go of the source; a target must have done so."""
        with self._lock:
            source, self.source = self.source, None
            if source is not None:
                source._release()
                source.top.unlink(missing_ok=True)

    def nbd(self) -> Path:
        """The unix socket of the writable NBD export, which starts with the first call; see :attr:`nbd_name`."""
        with self._lock:
            if "nbd" not in self._exports:
                socket = socket_path(self.directory, NBD_NAME)
                if not self._prefix:  # a source is served by the same server, which is there then
                    self.daemon.execute("nbd-server-start", addr={"type": "unix", "data": {"path": str(socket)}})
                self._export("nbd", socket, name=self.nbd_name, allocation_depth=False)
            return self._exports["nbd"]

    def fuse(self) -> Path:
        """The raw, writable view of the disk as a file, which the daemon mounts with the first call."""
        with self._lock:
            if "fuse" not in self._exports:
                mountpoint = self.directory / f"{self._prefix}{FUSE_NAME}"
                mountpoint.touch()
                self._export("fuse", mountpoint, mountpoint=str(mountpoint), growable=False, allow_other="off")
            return self._exports["fuse"]

    def snapshot(self, path: Path, backing_name: str | None = None) -> None:
        """Freeze the top overlay as it is and go on in a new one at ``path``; exports notice nothing.

        The frozen file is complete and stays as it is from then on; others may read it while the disk goes on.
        ``backing_name`` is what the new overlay's header calls it.
        """
        with self._lock:
            frozen = self._overlays[-1].node
            self._add_overlay(path, None, backing_name)
            try:
                self.daemon.execute("blockdev-snapshot", node=frozen, overlay=self._overlays[-1].node)
            except DiskError:
                self._overlays.pop()
                with contextlib.suppress(DiskError):
                    self._drop_nodes(len(self._nodes) - 2)
                raise

    def resize(self, size: int) -> None:
        """Make the disk ``size`` bytes large; past its capacity only where no NBD client holds it."""
        with self._lock:
            if size % self.sector_size:
                raise DiskError(f"{size} bytes are no whole number of sectors of {self.sector_size} bytes")
            if size > self.capacity:
                if "nbd" in self._exports:
                    raise DiskError(
                        f"the disk can't grow past its capacity of {self.capacity} bytes while it is served"
                    )
                self._truncate(size)
            self.size = size

    def close(self) -> None:
        """End the exports, cut the disk to its size and let go of the files, so that qemu-img can read the chain."""
        with self._lock:
            if self._nodes and self.capacity != self.size:
                self._move_table_end()
                self._end_exports()
                self._truncate(self.size)
            self._release()

    # -- how
    def _truncate(self, size: int) -> None:
        self.daemon.execute("block_resize", node_name=self._overlays[-1].node, size=size)
        self.capacity = size

    def _move_table_end(self) -> None:
        """Move what a partition table keeps at the end of the capacity to the end of the disk's size."""
        self._unexport("fuse")
        uri = f"nbd+unix:///?socket={self.nbd().name}"  # relative, so that no character of the directory matters
        with tempfile.NamedTemporaryFile(prefix="gpt", dir=self.directory) as file:
            scratch = Path(file.name)
            blocks = ["bs=512", f"count={gpt.leading_bytes(self.sector_size) // 512}"]
            copy = ["qemu-img", "dd", "-f", "raw", "-O", "raw", *blocks, f"if={uri}", f"of={scratch.name}"]
            process.run(copy, cwd=self.directory)
            for offset, data in gpt.fitted(scratch.read_bytes(), self.size, self.sector_size).items():
                scratch.write_bytes(data)
                write = f"write -s {scratch.name} {offset} {len(data)}"
                process.run(["qemu-io", "-f", "raw", "-c", write, uri], cwd=self.directory)

    def _end_exports(self) -> None:
        for kind in list(self._exports):
            self._unexport(kind)

    def _release(self) -> None:
        self.close_source()
        self._end_exports()
        self._drop_nodes(0)

    def _drop_nodes(self, kept: int) -> None:
        """Let the daemon close all but the first ``kept`` nodes and the files of theirs."""
        while len(self._nodes) > kept:
            self.daemon.execute("blockdev-del", node_name=self._nodes[-1])
            self._nodes.pop()

    def _open_lower(self, lower: Chain, *, has_base: bool) -> None:
        if not lower.files:
            return
        base = lower.files[-1]
        if has_base:
            refuse_references(base.path, base.format)
        try:
            self._add_node(f"{self._prefix}{_LOWER}", lower.node(), read_only=True)
        except DiskError as error:
            if lower.top == base.path and has_base:
                message = f"the base image can't be opened as {base.format}: {error}"
            else:
                message = f"the layers can't be opened: {error}"
            raise DiskError(message, where=str(lower.top)) from error
        self._lower = lower

    def _wanted_size(self, size: int | None, *, resumed: bool) -> int:
        given = bool(size) and resumed  # layers may be larger than what is built on them, after a cut
        own = self._node_size(self._nodes[-1]) if self._nodes and not given else 0
        wanted = size or -(-own // self.sector_size) * self.sector_size
        if not wanted:
            raise DiskError("a blank disk needs a size")
        if wanted % self.sector_size:
            raise DiskError(f"a disk of {wanted} bytes is no whole number of {self.sector_size}-byte sectors")
        if wanted < own:
            raise DiskError(
                f"the disk can't be {shown(wanted)} large: its base image has {shown(own)}",
                hint="ask for a larger disk, or leave its size out",
            )
        return wanted

    def _add_overlay(self, path: Path, backing: str | None, backing_name: str | None) -> None:
        """Write an empty overlay on the present top and add its node, on the node ``backing`` or on none yet."""
        overlay = _Overlay(f"{self._prefix}layer{len(self._overlays)}", path)
        try:
            path.write_bytes(b"")
        except OSError as error:
            raise DiskError(f"the overlay {path} can't be made: {error.strerror}") from error
        options: dict[str, Any] = {"driver": "qcow2", "file": overlay.file_node, "size": self.capacity}
        if files := self.image().files:
            options["backing-file"] = backing_name or _backing_name(path, files[0].path)
            options["backing-fmt"] = files[0].format
        self._add_node(overlay.file_node, {"driver": "file", "filename": str(path.absolute()), **FILE_OPTIONS})
        try:
            self.daemon.run_job("blockdev-create", options=options)
            node = {"driver": "qcow2", "file": overlay.file_node, "backing": backing}
            self._add_node(overlay.node, {**node, **_TOP_OPTIONS})
        except DiskError:  # the daemon lets go of the file, so that it can be tried again
            with contextlib.suppress(DiskError):
                self._drop_nodes(len(self._nodes) - 1)
            raise
        self._overlays.append(overlay)

    def _add_node(self, name: str, node: dict[str, Any], **options: Any) -> None:
        self.daemon.execute("blockdev-add", node_name=name, **node, **options)
        self._nodes.append(name)

    def _node_size(self, node: str) -> int:
        nodes: list[dict[str, Any]] = self.daemon.execute("query-named-block-nodes", flat=True)
        return int(next(one for one in nodes if one["node-name"] == node)["image"]["virtual-size"])

    def _export(self, kind: str, path: Path, **options: Any) -> None:
        self.daemon.execute(
            "block-export-add",
            type=kind,
            id=f"{self._prefix}{kind}",
            node_name=self._overlays[-1].node,
            writable=True,
            **options,
        )
        self._exports[kind] = path

    def _unexport(self, kind: str) -> None:
        if kind not in self._exports:
            return
        export_id = f"{self._prefix}{kind}"
        self.daemon.execute("block-export-del", id=export_id, mode="hard")
        deadline = time.monotonic() + _EXPORT_TIMEOUT
        while any(export["id"] == export_id for export in self.daemon.execute("query-block-exports")):
            if time.monotonic() > deadline:
                raise DiskError(f"the {kind} export is still in use after {_EXPORT_TIMEOUT:g} s")
            time.sleep(0.005)
        if kind == "nbd" and not self._prefix:
            self.daemon.execute("nbd-server-stop")
        del self._exports[kind]


def _backing_name(overlay: Path, backing: Path) -> str:
    """What the overlay's header calls its backing file: relative beside it, so that a directory of layers can move."""
    if overlay.absolute().parent == backing.absolute().parent:
        return backing.name
    return os.fspath(backing.absolute())
