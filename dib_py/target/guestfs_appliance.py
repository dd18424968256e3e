"""The libguestfs appliance: started once for each build on the disk's NBD export, with the ports of two runners.

One runner is for the guest's programs and one for the engine's own, so that the engine can look after the disk while a
hook runs. The disk's real name inside may differ from the one that libguestfs's calls use (``/dev/sda``).
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import signal
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from dib_py import build_directory
from dib_py.errors import TargetError
from dib_py.target.guestfs_runner import ENVIRONMENT, SCRIPT, Runner
from dib_py.target.supermin import forget_unfinished, temporary_files_in

LAUNCH_TIMEOUT = 600.0  # seconds; what libguestfs's own self-test allows
DISK_LABEL = "image"  # letters only; gives /dev/disk/guestfs/image
SOURCE_LABEL = "source"
_KEPT_CONSOLE = 64 * 1024  # bytes
_SHOWN_LINES = 15

CALLED = "/dev/sda"  # what libguestfs calls its first disk, whatever the appliance's kernel does
# what libguestfs calls a disk's partition, or the disk, or a subvolume of btrfs on it
_NAME = re.compile(r"/dev/sd[a-z]+([0-9]*)|btrfsvol:/dev/sd[a-z]+([0-9]*)/(.*)", re.DOTALL)

T = TypeVar("T")


@dataclass(frozen=True)
class Machine:
    """What the appliance is given; ``memory`` in MiB, ``vcpus`` 0 for all of this machine's."""

    memory: int = 2048
    vcpus: int = 0
    kvm: bool = False
    launch_timeout: float = LAUNCH_TIMEOUT
    network: bool = True


def stable_name(device: str) -> str:
    """A device's name as every appliance knows it: there is one disk, so each /dev/sdX is that."""
    return re.sub(r"^((?:btrfsvol:)?)/dev/sd[a-z]+", rf"\g<1>{CALLED}", device)


def real_name(device: str, disk: str) -> tuple[str, str]:
    """The appliance's own name for what libguestfs calls ``device``, if that is on ``disk``, and the option with which
    it is mounted: empty unless it is a subvolume of btrfs."""
    found = _NAME.fullmatch(device)
    if found is None:
        return device, ""
    partition, btrfs, subvolume = found.groups()
    return (f"{disk}{partition}", "") if subvolume is None else (f"{disk}{btrfs}", f"subvol={subvolume}")


def load_bindings() -> Any:
    """The ``guestfs`` module; TargetError with the way to get it where it is missing."""
    try:
        import guestfs
    except ImportError as error:
        raise TargetError(
            "the guestfs target needs the libguestfs Python bindings, which this interpreter does not have",
            hint="install python3-guestfs (Debian, Ubuntu) or python3-libguestfs (Fedora, EL) and use the system's "
            "python3 (a virtual environment with --system-site-packages), or take --target host",
        ) from error
    return guestfs


class Appliance:
    """A launched appliance; everything that libguestfs refuses is a TargetError."""

    def __init__(self, nbd: Path, directory: Path, machine: Machine, sector_size: int = 512) -> None:
        self._nbd = nbd
        self._directory = directory
        self._machine = machine
        self._sector_size = sector_size
        self._console = bytearray()
        self._handle: Any = None
        self._qemu = 0
        self._overran = False
        self._lock = threading.RLock()
        self._lent = ""
        self.guest_runner = self._runner("guest")
        self.engine_runner = self._runner("engine")
        self.console = self._runner("console")  # only a port: for a shell of the user
        self.archives = self._runner("archives")  # only a port too
        self.disk = ""  # the real device inside the appliance
        self.source = ""  # what the disk's server calls a base image whose content moves to the disk, if one does
        self.scratch_disks: dict[str, Path] = {}  # raw images by label, attached behind the disk; nothing of the guest

    def _runner(self, name: str) -> Runner:
        return Runner.listen(self._directory / f"runner-{name}.sock", self.last_words)

    def _ports(self) -> tuple[Runner, ...]:
        return self.guest_runner, self.engine_runner, self.console, self.archives

    # -- life
    def launch(self) -> None:
        """Start it, wait until it is up, and start the runners in it; TargetError after the launch timeout."""
        bindings = load_bindings()
        self._handle = handle = bindings.GuestFS(python_return_dict=True)
        handle.set_event_callback(self._hear, bindings.EVENT_APPLIANCE)
        self.call(self._configure)
        forget_unfinished(Path(handle.get_cachedir()))
        watch = threading.Timer(self._machine.launch_timeout, self._give_up)
        watch.start()
        try:
            with temporary_files_in(self._directory / build_directory.APPLIANCE):
                handle.launch()
        except RuntimeError as error:
            raise self._not_launched(error) from error
        finally:
            watch.cancel()
        self._qemu = handle.get_pid()
        self._start_runners()

    def _configure(self, handle: Any) -> None:
        machine = self._machine
        scratch = self._directory / build_directory.APPLIANCE
        scratch.mkdir(exist_ok=True)
        handle.set_tmpdir(str(scratch))
        handle.set_backend("direct")
        if not machine.kvm:
            handle.set_backend_setting("force_tcg", "1")
        handle.set_memsize(machine.memory)
        handle.set_smp(machine.vcpus or len(os.sched_getaffinity(0)))
        handle.set_network(machine.network)
        handle.add_drive_opts(
            "",
            format="raw",
            protocol="nbd",
            server=[f"unix:{self._nbd}"],
            discard="besteffort",
            cachemode="unsafe",
            label=DISK_LABEL,
            blocksize=self._sector_size,
        )
        if self.source:
            server = [f"unix:{self._nbd}"]
            handle.add_drive_opts(
                self.source, format="raw", protocol="nbd", server=server, cachemode="unsafe", label=SOURCE_LABEL
            )
        for label, image in self.scratch_disks.items():
            handle.add_drive_opts(str(image), format="raw", cachemode="unsafe", label=label)
        # a disk that can't be written on for lack of room would else stop the appliance, without a word
        handle.config("-global", "scsi-hd.werror=report")
        for runner in self._ports():
            path = str(runner.path).replace(",", ",,")
            handle.config("-chardev", f"socket,id={runner.name},path={path}")
            kind = "virtconsole" if runner is self.console else "virtserialport"
            handle.config("-device", f"{kind},chardev={runner.name},name={runner.name}")

    def _give_up(self) -> None:
        self._overran = True
        self._kill_qemu()

    def _not_launched(self, error: Exception) -> TargetError:
        limit = self._machine.launch_timeout
        reason = f"did not start within {limit:g} s" if self._overran else f"did not start: {error}"
        hint = self.last_words() or "libguestfs-test-tool shows more"
        return TargetError(f"the libguestfs appliance {reason}", hint=hint)

    def _start_runners(self) -> None:
        for one in self._ports():
            one.accept()
        # who writes to the console waits until libguestfs reads it, which it does while it is asked something
        commands = ["echo 1 >/proc/sys/kernel/printk"]  # panics only
        variables = shlex.join(f"{name}={value}" for name, value in ENVIRONMENT.items())
        for runner in (self.guest_runner, self.engine_runner):
            work = f"/run/dib/{runner.name}"
            port = f"/dev/virtio-ports/{runner.name}"
            commands.append(f"mkdir -p {work}; cp /run/dib.runner {work}/runner")
            # a shell's "&" would have it, and all programs that it ever starts, ignore interrupts
            bash = f"setsid -f env -i {variables} bash {work}/runner serve"
            commands.append(f"{bash} {port} {work} </dev/null >{work}/log 2>&1")
        self.call(lambda g: g.debug_upload(str(SCRIPT), "/run/dib.runner", 0o755))
        self.call(lambda g: g.debug("sh", ["\n".join(commands)]))
        self.disk = self.device(DISK_LABEL)

    def device(self, label: str) -> str:
        """The real name in the appliance of the disk with that label."""
        return self.engine_runner.check(f"readlink -e /dev/disk/guestfs/{label}", timeout=120).strip()

    def base_disk(self) -> str:
        """The disk that the base image is on, by its real name."""
        return self.device(SOURCE_LABEL) if self.source else self.disk

    def shutdown(self) -> None:
        """Stop it in order; TargetError says what could not be written back."""
        handle = self._handle
        if handle is None:
            return
        try:
            self.call(lambda g: g.shutdown())
        finally:
            self.close()

    def close(self) -> None:
        """Stop it at once, whatever it does; what was not written back is lost."""
        self._kill_qemu()
        handle, self._handle = self._handle, None
        if handle is not None:
            handle.close()
        for port in self._ports():
            port.close()

    # -- use
    def call(self, work: Callable[[Any], T]) -> T:
        """Do something with the handle, one caller at a time."""
        with self._lock:
            if self._handle is None:
                raise TargetError("the libguestfs appliance is not running")
            if self._lent:
                raise TargetError(f"libguestfs can't be asked while {self._lent}")
            try:
                return work(self._handle)
            except RuntimeError as error:
                raise TargetError(f"libguestfs: {error}", hint=self._death()) from error

    @contextlib.contextmanager
    def lent(self, why: str) -> Iterator[Any]:
        """Give the handle to another process: until the end any other call on it is an error, not a deadlock."""
        with self._lock:
            handle = self.call(lambda g: g)
            self._lent = why
        try:
            yield handle
        finally:
            self._lent = ""

    def mount(self, device: str, path: str, options: str) -> None:
        """Mount what libguestfs calls ``device`` at ``path`` of the guest, which must be free of symbolic links.

        Subvolumes of btrfs it can name, but with the disk's real name, which no other appliance has: see
        :func:`stable_name`; so they are mounted by the appliance's own mount.
        """
        partition, subvolume = real_name(device, self.disk)
        if not subvolume:
            self.call(lambda g: g.mount_options(options, device, path))
            return
        chosen = ",".join(filter(None, [options, subvolume]))
        script = 'mount -t btrfs -o "$1" "$2" "/sysroot$3"'
        self.engine_runner.check(script, chosen, partition, path)

    # -- its end
    def last_words(self) -> str:
        """The last lines of the appliance's console, which are the kernel's where it went wrong."""
        lines = self._console.decode(errors="replace").replace("\r", "").splitlines()
        text = "\n".join(line for line in lines[-_SHOWN_LINES:] if line.strip())
        return f"the appliance's last messages:\n{text}" if text else ""

    def _death(self) -> str:
        return "" if self._qemu and Path(f"/proc/{self._qemu}").exists() else self.last_words()

    def _hear(self, event: int, event_handle: int, text: str | bytes, array: list[int]) -> None:
        self._console += text if isinstance(text, bytes) else text.encode(errors="replace")
        del self._console[:-_KEPT_CONSOLE]

    def _kill_qemu(self) -> None:
        """Kill this appliance's own qemu, found among our children by the path of our socket."""
        for pid in self._qemu_pids():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def _qemu_pids(self) -> list[int]:
        socket = os.fsencode(f"path={self.guest_runner.path}".replace(",", ",,"))
        found = []
        for task in Path("/proc/self/task").iterdir():
            with contextlib.suppress(OSError):
                for child in (task / "children").read_text().split():
                    if socket in Path(f"/proc/{child}/cmdline").read_bytes():
                        found.append(int(child))
        return found
