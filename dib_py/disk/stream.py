"""Several layers as one file: what they hold of a disk, and nothing of what they lie on."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from dib_py.disk.chain import Chain
from dib_py.disk.image import header_size
from dib_py.disk.storage_daemon import FILE_OPTIONS, StorageDaemon
from dib_py.errors import DiskError


def stream(daemon: StorageDaemon, below: Chain, layers: Sequence[Path], path: Path, backing_name: str) -> None:
    """Write at ``path`` one qcow2 file that, on ``below``, is the same disk as ``layers`` there, the nearest first.

    Its header calls what is below ``backing_name``. The layers are only read. Raises DiskError; then ``path`` is gone.
    """
    try:
        path.write_bytes(b"")
        with ExitStack() as stack:
            _stream(daemon, below, layers, path, backing_name, stack)
    except (DiskError, OSError) as error:
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise DiskError(f"the layer {path} can't be written: {error.strerror}") from error
        raise


def _stream(
    daemon: StorageDaemon, below: Chain, layers: Sequence[Path], path: Path, backing_name: str, stack: ExitStack
) -> None:
    def add(name: str, node: dict[str, Any]) -> str:
        return stack.enter_context(_node(daemon, name, node))

    lower = add("stream-below", {**below.node(), "read-only": True}) if below.files else None
    top = lower
    for number, layer in enumerate(layers):
        file = {"driver": "file", "filename": str(layer.absolute())}
        node = {"driver": "qcow2", "file": file, "backing": top, "read-only": True}
        top = add(f"stream-layer{number}", node)
    file_node = add("stream-file", {"driver": "file", "filename": str(path.absolute()), **FILE_OPTIONS})
    options: dict[str, Any] = {"driver": "qcow2", "file": file_node, "size": header_size(layers[-1])}
    base = {}
    if lower:
        options |= {"backing-file": backing_name, "backing-fmt": below.files[0].format}
        base = {"base_node": lower, "backing_file": backing_name}
    daemon.run_job("blockdev-create", options=options)
    result = add("stream", {"driver": "qcow2", "file": file_node, "backing": top, **FILE_OPTIONS})
    daemon.run_job("block-stream", device=result, auto_dismiss=False, **base)


@contextmanager
def _node(daemon: StorageDaemon, name: str, node: dict[str, Any]) -> Iterator[str]:
    """A node of the daemon by its name, closed again: what it has not written then is written."""
    daemon.execute("blockdev-add", node_name=name, **node)
    try:
        yield name
    finally:
        daemon.execute("blockdev-del", node_name=name)
