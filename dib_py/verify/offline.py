"""Reads the files of an image without running anything of it and without trusting it: in a libguestfs appliance.

Parsers of partition tables and filesystems meet what somebody made to break them, so none of them runs on this
machine. The appliance has no network; its disks are throw-away overlays, so that a journal can be replayed there and
the image stays as it is. It is launched once: the machine's disk, which exists only after its end, is plugged into the
appliance that has read the image before, which takes a second where another launch takes ten.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import stat
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from qemu.qmp import QMPClient, QMPError

from dib_py.disk.image import refuse_references
from dib_py.disk.storage_daemon import socket_path
from dib_py.errors import DibError
from dib_py.process import run
from dib_py.target.guestfs_appliance import CALLED, load_bindings
from dib_py.verify import filesystem, systems
from dib_py.verify.checks import File, Filesystem, Unreachable
from dib_py.windows.hive import SZ, Value

MEMORY = 640  # MiB: the kernel, libguestfs' root and the page cache of what is read

_QMP = "qmp.sock"
_PLUGGED = 30.0  # seconds for the appliance's kernel to see a new disk
_POLL = 0.1
_READ = 1024 * 1024  # bytes at once; a message to libguestfs' daemon has 4 MiB at most
_LARGEST = 8 * 1024 * 1024  # bytes of a file that is read whole
_MOST_FILES = 20_000  # in one listing of a tree

T = TypeVar("T")


class Offline:
    """An appliance with ``image`` in it, opened as ``image_format``; it is gone when this ends.

    ``directory`` is the verification's own, ``limit`` how many seconds the launch and each opening of a disk may take.
    Unreachable where libguestfs is missing, won't start, or can't read what is on the disk. Methods may be called from
    any thread.
    """

    def __init__(self, image: Path, image_format: str, directory: Path, *, kvm: bool, limit: float) -> None:
        self._image = image.absolute()
        self._format = image_format
        self._directory = directory / "offline"
        self._kvm = kvm
        self._limit = limit
        self._handle: Any = None
        self._lock = threading.RLock()
        # libguestfs writes the errors of all threads but the one that made the handle to standard error
        self._voice = ThreadPoolExecutor(1, "offline")
        self._overran = ""
        self._socket = self._directory / _QMP

    def __enter__(self) -> Offline:
        self._directory.mkdir(exist_ok=True)
        socket_path(self._directory, _QMP)  # says what is wrong with a path that is too long
        refuse_references(self._image, self._format)
        try:
            bindings = load_bindings()
        except DibError as error:
            raise Unreachable(error.message, hint=error.hint) from error
        self._handle = self._voice.submit(bindings.GuestFS, python_return_dict=True).result()
        try:
            self._work("the appliance's start", self._launch)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop the appliance at once, whatever it does; may be called again, and from another thread."""
        self._kill()
        with self._lock:
            handle, self._handle = self._handle, None
            if handle is not None:
                self._voice.submit(handle.close).result()
            self._voice.shutdown()

    def image(self) -> GuestReader:
        """The image as it is delivered."""
        return self._work("opening the image", lambda: GuestReader.open(self, CALLED))

    def attach(self, disk: Path) -> GuestReader:
        """A machine's disk, a qcow2 overlay that nothing writes any more; it is read in place of the image from now."""
        return self._work("opening the machine's disk", lambda: GuestReader.open(self, self._plug(disk.absolute())))

    # -- what readers use
    def call(self, work: Callable[[Any], T]) -> T:
        """Do something with the handle, one caller at a time; what libguestfs refuses is Unreachable."""
        with self._lock:
            if self._handle is None:
                raise Unreachable("the libguestfs appliance is not running")
            try:
                return self._voice.submit(work, self._handle).result()
            except RuntimeError as error:
                raise Unreachable(self._overran or f"libguestfs: {error}") from error

    # -- how
    def _work(self, what: str, work: Callable[[], T]) -> T:
        """Do something that the limit is for: a made-up filesystem can keep the appliance's kernel busy for ever."""
        done = threading.Event()
        watch = threading.Thread(target=self._watch, args=(what, done), name="offline-limit", daemon=True)
        with self._lock:
            watch.start()
            try:
                return work()
            finally:
                done.set()
                watch.join()

    def _watch(self, what: str, done: threading.Event) -> None:
        wait = self._limit
        while not done.wait(wait):
            self._overran = f"{what} took longer than {self._limit:g} s"
            self._kill()
            wait = 1.0  # a launch may have come only as far as to what it does before it starts qemu

    def _launch(self) -> None:
        def launch(handle: Any) -> None:
            handle.set_tmpdir(str(self._directory))
            handle.set_backend("direct")
            if not self._kvm:
                handle.set_backend_setting("force_tcg", "1")
            handle.set_memsize(MEMORY)
            handle.set_smp(1)  # the machine that boots meanwhile has more use for the others
            handle.add_drive_opts(str(self._image), format=self._format, readonly=True)
            handle.config("-qmp", f"unix:{_escaped(self._socket)},server=on,wait=off")
            handle.launch()

        self.call(launch)

    def _plug(self, disk: Path) -> str:
        """Give the appliance this disk below a throw-away overlay; returns its name there."""
        overlay = self._directory / f"{disk.name}.overlay"
        run(["qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", disk, overlay], timeout=60)
        before = set(self.call(lambda g: g.list_devices()))
        try:
            asyncio.run(asyncio.wait_for(self._plug_in(overlay), _PLUGGED))
        except (TimeoutError, asyncio.TimeoutError) as error:  # first: it is an OSError that says nothing
            raise Unreachable(f"the appliance's qemu did not take the machine's disk within {_PLUGGED:g} s") from error
        except (QMPError, OSError) as error:
            raise Unreachable(f"the machine's disk can't be given to the appliance: {error}") from error
        for _ in range(int(_PLUGGED / _POLL)):
            new = sorted(set(self.call(lambda g: g.list_devices())) - before)
            if new:
                return str(new[0])
            threading.Event().wait(_POLL)
        raise Unreachable(f"the appliance did not see the machine's disk within {_PLUGGED:g} s")

    async def _plug_in(self, overlay: Path) -> None:
        client = QMPClient("dib-py")
        await client.connect(str(self._socket))
        try:
            file = {"driver": "file", "filename": str(overlay)}
            await client.execute("blockdev-add", {"driver": "qcow2", "node-name": "disk", "file": file})
            await client.execute("device_add", {"driver": "scsi-hd", "bus": "scsi.0", "drive": "disk", "id": "disk"})
        finally:
            await client.disconnect()

    def _kill(self) -> None:
        """Kill this appliance's own qemu, found among our children by the path of our socket."""
        mark = os.fsencode(_escaped(self._socket))
        for task in Path("/proc/self/task").iterdir():
            with contextlib.suppress(OSError):
                for child in (task / "children").read_text().split():
                    if mark in Path(f"/proc/{child}/cmdline").read_bytes():
                        os.kill(int(child), signal.SIGKILL)


class GuestReader:
    """See :class:`dib_py.verify.checks.Reader`; its filesystems are mounted read-only in the appliance."""

    def __init__(self, offline: Offline, system: systems.System, filesystems: Sequence[Filesystem]) -> None:
        self._offline = offline
        self._system = system
        self._filesystems = tuple(filesystems)

    @classmethod
    def open(cls, offline: Offline, disk: str) -> GuestReader:
        """Look at the filesystems of ``disk`` one by one, then mount those of its operating system."""
        offline.call(lambda g: g.umount_all())
        found = offline.call(lambda g: _filesystems(g, disk))
        states = {one.device: one.state for one in found}
        system = offline.call(lambda g: systems.find(g, {one.device: one.fstype for one in found}))
        places = {mount.device: mount.path for mount in reversed(system.mounts)}
        named = [
            Filesystem(one.device, one.fstype, one.label, places.get(one.device, ""), states[one.device])
            for one in found
        ]
        return cls(offline, system, named)

    @property
    def system(self) -> str:
        return self._system.family

    @property
    def arch(self) -> str:
        return self._system.arch

    @property
    def problem(self) -> str:
        return self._system.problem

    @property
    def filesystems(self) -> Sequence[Filesystem]:
        return self._filesystems

    def exists(self, path: str) -> bool:
        return self._offline.call(lambda g: bool(g.exists(self._place(g, path))))

    def link(self, path: str) -> str:
        def look(handle: Any) -> str:
            place = self._place(handle, path)
            return str(handle.readlink(place)) if handle.is_symlink(place) else ""

        return self._offline.call(look)

    def read(self, path: str) -> bytes:
        def look(handle: Any) -> bytes:
            place = self._place(handle, path)
            if not handle.is_file(place, followsymlinks=True):  # opening a pipe would wait for its other end
                raise FileNotFoundError(path)
            size = handle.filesize(place)
            if size > _LARGEST:
                raise Unreachable(f"{path} of the image has {size} bytes: more than {_LARGEST} are not read")
            return b"".join(handle.pread(place, _READ, offset) for offset in range(0, size, _READ))

        return self._offline.call(look)

    def listing(self, path: str) -> list[str]:
        def look(handle: Any) -> list[str]:
            place = self._place(handle, path)
            if not handle.is_dir(place, followsymlinks=True):
                raise FileNotFoundError(path)
            return sorted(handle.ls(place))

        return self._offline.call(look)

    def files(self, path: str) -> list[File]:
        def look(handle: Any) -> list[File]:
            place = self._place(handle, path)
            if not handle.is_dir(place, followsymlinks=True):
                raise FileNotFoundError(path)
            return sorted(_walk(handle, handle.realpath(place), path.rstrip("/")), key=lambda file: file.path)

        return self._offline.call(look)

    def registry_text(self, hive: str, key: str, name: str) -> str:
        def look(handle: Any) -> str:
            place = self._place(handle, hive)
            if not handle.is_file(place, followsymlinks=True):
                raise FileNotFoundError(hive)
            handle.hivex_open(place)
            try:
                return _registry_text(handle, key, name)
            finally:
                handle.hivex_close()

        return self._offline.call(look)

    def _place(self, handle: Any, path: str) -> str:
        """``path`` as it is spelled in the image: names on Windows are found whatever their case."""
        if self._system.family != "windows":
            return path
        try:
            return str(handle.case_sensitive_path(path))
        except RuntimeError:  # a directory on the way is not there
            return path


def _escaped(path: Path) -> str:
    """``path`` as a value in one of qemu's option lists."""
    return str(path).replace(",", ",,")


def _registry_text(handle: Any, key: str, name: str) -> str:
    """Of the hive that is open; hivex says 0 for a key and for a value that is not there."""
    node = handle.hivex_root()
    for part in key.split("\\"):
        node = handle.hivex_node_get_child(node, part)
        if not node:
            return ""
    value = handle.hivex_node_get_value(node, name)
    return Value(name, SZ, bytes(handle.hivex_value_value(value))).text if value else ""


def _walk(handle: Any, place: str, shown: str) -> list[File]:
    waiting = [(place, shown)]
    found: list[File] = []
    while waiting:
        directory, name = waiting.pop()
        names = list(handle.ls(directory))
        for entry, status in zip(names, handle.lstatnslist(directory, names), strict=True):
            if stat.S_ISDIR(status["st_mode"]):
                waiting.append((f"{directory}/{entry}", f"{name}/{entry}"))
            elif stat.S_ISREG(status["st_mode"]):
                found.append(File(f"{name}/{entry}", status["st_size"]))
        if len(found) + len(waiting) > _MOST_FILES:
            raise Unreachable(f"{shown} of the image holds more than {_MOST_FILES} files")
    return found


def _filesystems(handle: Any, disk: str) -> list[Filesystem]:
    """The filesystems of this disk, of its volume groups too; of other disks none."""
    others = tuple(device for device in handle.list_devices() if device != disk)
    found = []
    for device, fstype in handle.list_filesystems().items():
        real = device.split(":", 1)[1].split("/", 3) if device.startswith("btrfsvol:") else device.split("/")
        if fstype in ("unknown", "swap") or "/".join(real[:3]).startswith(others):
            continue
        found.append(Filesystem(device, fstype, _label(handle, device), "", _state(handle, device, fstype)))
    return found


def _label(handle: Any, device: str) -> str:
    if device.startswith("btrfsvol:"):
        return ""
    return str(handle.vfs_label(device))


def _state(handle: Any, device: str, fstype: str) -> filesystem.State:
    if device.startswith("btrfsvol:"):
        device = "/".join(device.split(":", 1)[1].split("/")[:3])
    if fstype == "xfs":
        try:
            return filesystem.xfs_state(handle.debug("sh", [f"xfs_logprint -t {device} 2>&1 | head -n 20"]))
        except RuntimeError as error:
            return filesystem.State(False, f"its log can't be read: {error}")
    return filesystem.state(fstype, handle.pread_device(device, filesystem.HEAD, 0))
