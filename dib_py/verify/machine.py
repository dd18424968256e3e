"""The virtual machine that an image is booted in: qemu on a throw-away overlay, with a socket for each way to it.

The sockets are made before qemu is, so nothing is waited for and nothing has a name on this machine. The image's
software is trusted with nothing: qemu runs in its own sandbox, may start no program, and reaches only what the network
namespace of the thread that opens the machine reaches.
"""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
import subprocess
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from socket import AF_UNIX, SOCK_STREAM, socket, socketpair
from types import TracebackType
from typing import Any

from dib_py.errors import HostError
from dib_py.process import run
from dib_py.target.probe import QEMU
from dib_py.verify.firmware import Firmware, ovmf
from dib_py.verify.qmp import Qmp

SSH_PORT = 2222  # in the network namespace, on 127.0.0.1
AGENT_PORT = "agent"  # the id of the agent's port in events

_END_WITHIN = 10.0  # seconds for a qemu that was killed
_LAST_EVENT_WITHIN = 5.0  # seconds after its end: it is on the socket by then
_LARGEST_PICTURE = 2 * 1024**2  # bytes of a PNG: a text console has 10 KiB, a desktop of photographs less than this
_FIRMWARE_LOG = 0x402  # the port at which SeaBIOS says what it does
_FIRMWARE_SAYS = 64 * 1024  # bytes of that which are looked at; the guest's software can write there too


@dataclass(frozen=True)
class Hardware:
    """What the machine is: ``memory`` in MiB, ``kvm`` for whether KVM runs it."""

    kvm: bool
    firmware: Firmware
    memory: int = 1024
    processors: int = 2


def program() -> str:
    """qemu for this machine's architecture; HostError where images can't be booted."""
    name = QEMU.get(platform.machine())
    if name is None:
        raise HostError(f"images can't be booted on {platform.machine()}", hint="an x86_64 machine can")
    if shutil.which(name) is None:
        raise HostError(f"{name} is not installed", hint="install the package qemu-system-x86")
    return name


def qemu_version() -> str:
    """As qemu says it, in one line."""
    return run([program(), "--version"], timeout=30).splitlines()[0].removeprefix("QEMU emulator version ")


def make_overlay(overlay: Path, below: Path, below_format: str, size: int | None = None) -> None:
    """A qcow2 of ``size`` bytes (default: as large as what it lies on) that takes all that is written."""
    argv: list[str | Path] = ["qemu-img", "create", "-q", "-f", "qcow2", "-b", below.resolve(), "-F", below_format]
    run([*argv, overlay, *([str(size)] if size else [])], timeout=60)


class Machine:
    """There while open, its guest running from :meth:`power_on`; killed at the end, if it has not ended by itself.

    ``told`` gets qemu's events, in threads of this class; besides them ``FIRMWARE``, with each line that SeaBIOS says
    to nobody else, and ``ENDED``, with the exit code and whether it was the guest's doing, once the process has ended.
    """

    def __init__(
        self,
        hardware: Hardware,
        disk: Path,
        seed: Path,
        directory: Path,
        told: Callable[[str, dict[str, Any]], None],
    ) -> None:
        """``disk`` is a qcow2 that is written, ``seed`` an ISO; ``directory`` takes qemu's own files."""
        self._hardware = hardware
        self._disk = disk
        self._seed = seed
        self._directory = directory
        self._told = told
        self._messages = directory / "qemu.log"
        self._shut_down = threading.Event()
        self._by_guest = False  # that it was shut down
        self._qmp: Qmp | None = None

    def __enter__(self) -> Machine:
        self._directory.mkdir(parents=True, exist_ok=True)
        pairs = {name: socketpair(AF_UNIX, SOCK_STREAM) for name in ("serial", "firmware", "agent", "qmp")}
        self.serial, self._firmware_log, self.agent, control = (ours for ours, _ in pairs.values())
        theirs = {name: pair[1] for name, pair in pairs.items()}
        try:
            argv = [*_bound_to_us(), program(), *self._arguments({name: one.fileno() for name, one in theirs.items()})]
            with self._messages.open("wb") as messages:
                self.process = subprocess.Popen(
                    argv,
                    stdin=subprocess.DEVNULL,
                    stdout=messages,
                    stderr=messages,
                    pass_fds=[one.fileno() for one in theirs.values()],
                    cwd="/",
                )
        except BaseException:
            self._close(control)
            raise
        finally:
            for one in theirs.values():
                one.close()
        self._watch = threading.Thread(target=self._wait, name="qemu", daemon=True)
        self._watch.start()
        threading.Thread(target=self._read_firmware_log, name="firmware", daemon=True).start()
        try:
            self._qmp = Qmp(control, self._on_event)
        except HostError as error:
            self.kill()
            self._close(control)
            raise self._useless(error) from error
        return self

    def power_on(self) -> None:
        """Let the guest run: whoever wants to hear of all that it does listens by now. HostError if qemu can't."""
        try:
            self._control.execute("cont")
        except HostError as error:
            self.__exit__(None, None, None)
            raise self._useless(error) from error

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()
        if self._qmp is not None:
            self._qmp.close()
        self._close()

    @property
    def running(self) -> bool:
        return self.process.poll() is None

    @property
    def messages(self) -> str:
        """What qemu wrote about itself: nothing, if all is well."""
        return self._messages.read_text(errors="replace").strip()

    def press_power_button(self) -> None:
        """Tell the guest by ACPI to switch itself off."""
        self._control.execute("system_powerdown")

    def screenshot(self) -> bytes | None:
        """The VGA console as a PNG; None once the machine has ended, or where a guest has made it huge."""
        path = self._directory / "screen.png"
        with contextlib.suppress(HostError):
            self._control.execute("screendump", filename=str(path), format="png")
            if path.stat().st_size <= _LARGEST_PICTURE:
                return path.read_bytes()
        return None

    def kill(self) -> None:
        """Switch it off at once, whatever it does. May be called again, and from any thread."""
        self.process.kill()
        self._watch.join(_END_WITHIN)

    @property
    def _control(self) -> Qmp:
        assert self._qmp is not None  # there is one once the machine is open
        return self._qmp

    def _wait(self) -> None:
        code = self.process.wait()
        by_guest = code == 0 and self._shut_down.wait(_LAST_EVENT_WITHIN) and self._by_guest
        self._told("ENDED", {"code": code, "guest": by_guest})

    def _on_event(self, name: str, data: dict[str, Any]) -> None:
        if name == "SHUTDOWN":  # a signal from outside ends qemu in the same way, and with the same exit code
            self._by_guest = data.get("guest") is True
            self._shut_down.set()
        self._told(name, data)

    def _read_firmware_log(self) -> None:
        """Read it to its end, whoever wants it: the guest stands still while nobody does."""
        seen, rest = 0, b""
        with contextlib.suppress(OSError):
            while data := self._firmware_log.recv(4096):
                seen += len(data)
                if seen < _FIRMWARE_SAYS:
                    *lines, rest = (rest + data).split(b"\n")
                    for line in lines:
                        self._told("FIRMWARE", {"line": line.decode("ascii", "replace")})

    def _close(self, *others: socket) -> None:
        for one in (self.serial, self._firmware_log, self.agent, *others):
            one.close()

    def _useless(self, error: HostError) -> HostError:
        said = self.messages.splitlines()[-1:] or [str(error)]
        return HostError(f"qemu can't run the image: {said[0]}")

    def _arguments(self, sockets: dict[str, int]) -> list[str]:
        hardware = self._hardware
        accelerator = "kvm" if hardware.kvm else "tcg,thread=multi"
        chardevs = [word for name, number in sockets.items() for word in ("-chardev", f"socket,id={name},fd={number}")]
        return [
            *("-no-user-config", "-nodefaults", "-name", "dib-py-verify", "-display", "none", "-S"),
            *("-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"),
            *("-accel", accelerator, "-cpu", "host" if hardware.kvm else "max"),
            *("-smp", str(hardware.processors), "-m", str(hardware.memory)),
            *self._firmware(),
            # what a guest tells a cloud by
            *("-smbios", "type=1,manufacturer=OpenStack Foundation,product=OpenStack Nova"),
            *("-action", "reboot=reset,shutdown=poweroff,panic=pause"),
            *("-device", "pvpanic", "-device", "virtio-rng-pci", "-device", "VGA"),
            *("-drive", f"file={_escaped(self._disk)},format=qcow2,if=none,id=disk,cache=unsafe,discard=unmap"),
            *("-device", "virtio-blk-pci,drive=disk,bootindex=1"),
            *("-drive", f"file={_escaped(self._seed)},format=raw,if=none,id=seed,readonly=on"),
            *("-device", "virtio-blk-pci,drive=seed"),
            *("-netdev", f"user,id=net,hostfwd=tcp:127.0.0.1:{SSH_PORT}-:22"),
            *("-device", "virtio-net-pci,netdev=net,romfile="),
            *chardevs,
            *("-serial", "chardev:serial"),
            *("-device", f"isa-debugcon,iobase={_FIRMWARE_LOG:#x},chardev=firmware"),
            *("-device", "virtio-serial-pci"),
            *("-device", f"virtserialport,chardev=agent,id={AGENT_PORT},name=org.qemu.guest_agent.0"),
            *("-mon", "chardev=qmp,mode=control"),
        ]

    def _firmware(self) -> list[str]:
        if self._hardware.firmware is Firmware.BIOS:
            return ["-machine", "pc", "-boot", "strict=on"]
        found = ovmf()
        variables = self._directory / "variables.fd"
        shutil.copyfile(found.variables, variables)
        return [
            *("-machine", "q35"),
            *("-drive", f"if=pflash,format=raw,unit=0,readonly=on,file={found.code}"),
            *("-drive", f"if=pflash,format=raw,unit=1,file={_escaped(variables)}"),
        ]


def _bound_to_us() -> list[str]:
    """Ended by the kernel with the thread that started it, where the program that asks for this is there."""
    return ["setpriv", "--pdeathsig", "KILL", "--"] if shutil.which("setpriv") else []


def processors() -> int:
    """How many the machine gets: two, as a small flavour of a cloud has, if there are as many here."""
    return min(2, len(os.sched_getaffinity(0)))


def _escaped(path: Path) -> str:
    """``path`` as a value in one of qemu's option lists."""
    return str(path).replace(",", ",,")
