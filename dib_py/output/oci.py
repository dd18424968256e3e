"""docker and oci: the guest's files as a container image of one layer, in one tar archive that engines load.

Written once: the layer goes where it will stay, and its header before it when its digest is known.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import tarfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import IO, Any

from dib_py.errors import OutputError
from dib_py.events import Events
from dib_py.extensions import extension
from dib_py.host_programs import require
from dib_py.output.image_reference import image_reference
from dib_py.output.layer_archive import rewrite
from dib_py.output.sinks import Sink, fed, told, writer
from dib_py.output.tar import gzip
from dib_py.settings import Settings

_BLOCK = tarfile.BLOCKSIZE
_CHUNK = 1024 * 1024
_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_MEDIA = "application/vnd.oci.image."
# what images call a processor, by what the kernel or distributions call it
_ARCHITECTURES = {
    "aarch64": "arm64",
    "armhf": "arm",
    "armv7l": "arm",
    "i386": "386",
    "i686": "386",
    "ppc64el": "ppc64le",
    "x86_64": "amd64",
}


class Oci:
    """An image in the layout of the OCI image specification, version 1."""

    name = "oci"
    suffix = extension("oci")

    def check(self, settings: Settings) -> None:
        image_reference(settings)
        require("tar", self.name)
        if settings.compress:
            require(gzip(settings)[0], self.name)

    @contextmanager
    def receive(self, destination: Path, settings: Settings, events: Events) -> Iterator[Sink]:
        created = datetime.now(timezone.utc)
        with destination.open("r+b") as file:
            archive = _Archive(file, created)
            with _layer(file, settings, self.name) as layer:
                yield layer.sink
            with told(self.name):
                archive.close_first(_blob(layer.digest))
                self._describe(archive, layer, settings)
                archive.close()

    def _describe(self, archive: _Archive, layer: _Layer, settings: Settings) -> None:
        """Write what comes after the layer."""
        config = archive.add_blob(_config(layer, settings, archive.created))
        manifest = {
            "schemaVersion": 2,
            "mediaType": f"{_MEDIA}manifest.v1+json",
            "config": {"mediaType": f"{_MEDIA}config.v1+json", **config},
            "layers": [{"mediaType": layer.media_type, "digest": layer.digest, "size": layer.size}],
        }
        reference = image_reference(settings)
        names = {"io.containerd.image.name": reference.full, "org.opencontainers.image.ref.name": reference.tag}
        described = {"mediaType": manifest["mediaType"], **archive.add_blob(manifest), "annotations": names}
        archive.add("index.json", {"schemaVersion": 2, "mediaType": f"{_MEDIA}index.v1+json", "manifests": [described]})
        archive.add("oci-layout", {"imageLayoutVersion": "1.0.0"})


class Docker(Oci):
    """The same, and a list for engines that know only archives as ``docker save`` wrote them before version 25."""

    name = "docker"
    suffix = extension("docker")

    def _describe(self, archive: _Archive, layer: _Layer, settings: Settings) -> None:
        super()._describe(archive, layer, settings)
        config = _digest(_json(_config(layer, settings, archive.created)))
        names = [image_reference(settings).familiar]
        archive.add("manifest.json", [{"Config": _blob(config), "RepoTags": names, "Layers": [_blob(layer.digest)]}])


@dataclass
class _Layer:
    """The one layer; what is not known before all of it is written is empty until then."""

    sink: Sink
    media_type: str
    diff_id: str = ""  # digest of the archive
    digest: str = ""  # of the same as it is in the image, compressed
    size: int = 0


class _Archive:
    """The tar archive of an image: ``file`` is to hold its first member behind room for the header."""

    def __init__(self, file: IO[bytes], created: datetime) -> None:
        self._file = file
        self.created = created
        file.seek(_BLOCK)

    def close_first(self, name: str) -> None:
        """The first member ends here and has this name."""
        size = self._file.seek(0, os.SEEK_END) - _BLOCK
        self._file.write(bytes(-size % _BLOCK))
        self._file.seek(0)
        self._file.write(self._header(name, size))
        self._file.seek(0, os.SEEK_END)

    def add(self, name: str, content: object) -> None:
        data = _json(content)
        self._file.write(self._header(name, len(data)) + data + bytes(-len(data) % _BLOCK))

    def add_blob(self, content: object) -> dict[str, Any]:
        """Add it under its digest; returns what describes it."""
        data = _json(content)
        self.add(_blob(_digest(data)), content)
        return {"digest": _digest(data), "size": len(data)}

    def close(self) -> None:
        self._file.write(bytes(2 * _BLOCK))
        self._file.flush()

    def _header(self, name: str, size: int) -> bytes:
        member = tarfile.TarInfo(name)
        member.size, member.mode, member.mtime = size, 0o644, int(self.created.timestamp())
        return member.tobuf(tarfile.GNU_FORMAT)  # always one block, whatever the size


@contextmanager
def _layer(file: IO[bytes], settings: Settings, name: str) -> Iterator[_Layer]:
    """The layer that is made of the archive fed to it, written to ``file`` from where that is now."""
    start = file.tell()
    plain = hashlib.sha256()
    with _compressed(file, settings, name) as write:

        def put(chunk: bytes) -> None:
            plain.update(chunk)
            write(chunk)

        with _rewritten(put, name) as sink:
            layer = _Layer(sink, f"{_MEDIA}layer.v1.tar{'+gzip' if settings.compress else ''}")
            yield layer
    layer.diff_id = f"sha256:{plain.hexdigest()}"
    layer.digest, layer.size = _digest_from(file, start)


@contextmanager
def _compressed(file: IO[bytes], settings: Settings, name: str) -> Iterator[Sink]:
    if not settings.compress:
        yield writer(file, name)
        return
    file.flush()
    os.lseek(file.fileno(), file.tell(), os.SEEK_SET)  # where the program will begin
    with fed([*gzip(settings), "-n"], file, name) as feed:
        yield feed


@contextmanager
def _rewritten(write: Sink, name: str) -> Iterator[Sink]:
    """A sink for the archive of the guest's files, which ``write`` is given as a layer, by another thread."""
    failures: list[Exception] = []
    reader, writer = os.pipe2(os.O_CLOEXEC)

    def work() -> None:
        with os.fdopen(reader, "rb") as archive:
            try:
                rewrite(archive, write)
                while archive.read(_CHUNK):  # what fills the last block
                    pass
            except tarfile.TarError as error:
                failures.append(OutputError(f"the {name} image can't be written: {error}"))
            except Exception as error:
                failures.append(error)

    thread = threading.Thread(target=work, name="layer")
    thread.start()

    def feed(chunk: bytes) -> None:
        view = memoryview(chunk)
        try:
            while view:
                view = view[os.write(writer, view) :]
        except BrokenPipeError:
            thread.join()
            raise failures[0] from None

    try:
        yield feed
    finally:
        os.close(writer)
        thread.join()
    if failures:
        raise failures[0]


def _config(layer: _Layer, settings: Settings, created: datetime) -> dict[str, Any]:
    arch = (settings.arch or platform.machine()).lower()
    when = created.isoformat(timespec="seconds").replace("+00:00", "Z")
    return {
        "created": when,
        "architecture": _ARCHITECTURES.get(arch, arch),
        "os": "linux",
        "config": {"Env": [_PATH], "Cmd": ["/bin/sh"]},
        "rootfs": {"type": "layers", "diff_ids": [layer.diff_id]},
        "history": [{"created": when, "created_by": "dib-py"}],
    }


def _json(content: object) -> bytes:
    return json.dumps(content, separators=(",", ":")).encode()


def _digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def _digest_from(file: IO[bytes], start: int) -> tuple[str, int]:
    """Digest and size of what is in ``file`` from ``start`` on."""
    found = hashlib.sha256()
    size = 0
    file.flush()
    file.seek(start)
    while chunk := file.read(_CHUNK):
        found.update(chunk)
        size += len(chunk)
    return f"sha256:{found.hexdigest()}", size


def _blob(digest: str) -> str:
    return f"blobs/{digest.replace(':', '/')}"
