"""Commands by which a person starts Windows Setup in a virtual machine, with the media that it needs.

Under UEFI Microsoft's media wait some seconds for a key, and without one the firmware goes on to the empty disk.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

_MEMORY = 4096  # MiB: Windows 11's Setup asks for that much
_PROCESSORS = 2


@dataclass(frozen=True)
class VirtualMachine:
    """One to install in: ``size`` is that of its new disk in GiB, ``drivers`` whether Setup gets those for virtio."""

    name: str
    config: Path
    media: str
    disk: str
    size: int
    os_variant: str
    uefi: bool
    drivers: bool

    def virt_install(self) -> str:
        """For libvirt, which finds the firmware itself."""
        disk = f"path={self.disk},size={self.size},format=qcow2,bus={'virtio' if self.drivers else 'sata'}"
        words = [
            *("virt-install", "--name", self.name, "--osinfo", self.os_variant),
            *("--memory", str(_MEMORY), "--vcpus", str(_PROCESSORS)),
            *(["--boot", "uefi"] if self.uefi else []),
            *("--disk", disk),
            *("--cdrom", self.media, "--disk", f"path={self.config.absolute()},device=cdrom"),
            *("--network", f"default,model={'virtio' if self.drivers else 'e1000e'}"),
            *("--graphics", "vnc", "--channel", "unix,target.type=virtio,name=org.qemu.guest_agent.0"),
            *("--wait", "-1", "--noautoconsole"),
        ]
        return _lines(words)

    def qemu(self) -> str:
        """For qemu alone: the disk is made first, and the firmware's memory copied."""
        firmware, before = [], [f"qemu-img create -f qcow2 {shlex.quote(self.disk)} {self.size}G"]
        if self.uefi:
            memory = f"{self.name}-vars.fd"
            before.append(f"cp /usr/share/OVMF/OVMF_VARS_4M.fd {shlex.quote(memory)}")
            code = "if=pflash,format=raw,readonly=on,file=/usr/share/OVMF/OVMF_CODE_4M.fd"
            firmware = ["-drive", code, "-drive", f"if=pflash,format=raw,file={_escaped(memory)}"]
        disk = f"file={_escaped(self.disk)},format=qcow2,if={'virtio' if self.drivers else 'ide'}"
        words = [
            *("qemu-system-x86_64", "-accel", "kvm", "-machine", "q35", "-cpu", "host"),
            *("-smp", str(_PROCESSORS), "-m", str(_MEMORY)),
            *firmware,
            *("-drive", disk),
            *("-drive", f"file={_escaped(self.media)},media=cdrom"),
            *("-drive", f"file={_escaped(str(self.config.absolute()))},media=cdrom"),
            *("-nic", f"user,model={'virtio-net-pci' if self.drivers else 'e1000e'}"),
            *("-vnc", "127.0.0.1:0", "-monitor", "stdio"),
        ]
        return "\n".join([*before, _lines(words)])

    def press_key(self) -> str:
        """For libvirt, in another terminal: a key a second, as nobody knows when it is waited for."""
        send = f"virsh send-key {shlex.quote(self.name)} KEY_ENTER"
        return f"for second in 1 2 3 4 5 6 7 8 9 10; do {send}; sleep 1; done"


def _escaped(text: str) -> str:
    """Text as a value in one of qemu's lists of options."""
    return text.replace(",", ",,")


def _lines(words: list[str]) -> str:
    """One command over several lines, an option on each."""
    lines: list[list[str]] = [[]]
    for word in words:
        if word.startswith("-") and not word[1:].isdigit():
            lines.append([])
        lines[-1].append(shlex.quote(word))
    return " \\\n    ".join(" ".join(line) for line in lines)
