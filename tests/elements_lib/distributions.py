"""The distributions as far as elements can tell them apart: what names them, their init system, where things are."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .conftest import Guest

# units of cloud-init, before version 24.3 and from then on
OLD_CLOUD_INIT = ("cloud-init-local", "cloud-init", "cloud-config", "cloud-final")
NEW_CLOUD_INIT = ("cloud-init-local", "cloud-init-main", "cloud-init-network", "cloud-config", "cloud-final")


@dataclass(frozen=True)
class Distribution:
    """``family`` groups those that keep things in the same places; ``services`` are the ones of cloud-init."""

    id: str
    name: str
    release: str
    family: str
    files: Mapping[str, str] = field(default_factory=dict)
    init: str = "systemd"
    services: tuple[str, ...] = OLD_CLOUD_INIT

    @property
    def variables(self) -> dict[str, str]:
        """What its operating-system element exports."""
        return {"DISTRO_NAME": self.name, "DIB_RELEASE": self.release, "DIB_INIT_SYSTEM": self.init}

    def lay(self, guest: Guest) -> Guest:
        """Make the guest look like it."""
        guest.variables |= self.variables
        for path, text in self.files.items():
            guest.write(path, text)
        for service in self.services:
            place = f"/usr/lib/systemd/system/{service}.service" if self.init == "systemd" else f"/etc/init.d/{service}"
            guest.write(place, "")
        return guest


def _rpm(name: str, version: str, kin: str = "fedora") -> dict[str, str]:
    number = version.partition("-")[0]
    return {
        "/etc/os-release": f'ID="{name}"\nID_LIKE="{kin}"\nVERSION_ID="{number}"\n',
        "/etc/redhat-release": f"{name} release {number}.3\n",
        "/etc/sysconfig/network": "# Created by anaconda\n",
        "/etc/selinux/config": "# modes: enforcing, permissive, disabled\nSELINUX=enforcing\nSELINUXTYPE=targeted\n",
    }


CENTOS7 = Distribution(
    *("centos7", "centos", "7", "redhat"),
    {
        **_rpm("centos", "7", "rhel fedora"),
        "/etc/redhat-release": "CentOS Linux release 7.9.2009 (Core)\n",
        "/etc/sysconfig/network": "NETWORKING=yes\nNOZEROCONF=no\n",
    },
)
DEBIAN = Distribution("debian", "debian", "bookworm", "debian", {"/etc/os-release": "ID=debian\nVERSION_ID=12\n"})
UBUNTU = Distribution(
    *("ubuntu", "ubuntu", "plucky", "debian"),
    {
        "/etc/os-release": 'ID=ubuntu\nID_LIKE=debian\nVERSION_ID="25.04"\n',
        "/etc/default/grub": (
            "GRUB_DEFAULT=0\nGRUB_TIMEOUT_STYLE=hidden\nGRUB_TIMEOUT=0\n"
            'GRUB_CMDLINE_LINUX_DEFAULT="quiet splash"\nGRUB_CMDLINE_LINUX=""\n'
        ),
        "/etc/default/grub.d/50-cloudimg-settings.cfg": (
            "# of the cloud image\n\nGRUB_RECORDFAIL_TIMEOUT=0\n\nGRUB_TIMEOUT=0\n\n"
            'GRUB_CMDLINE_LINUX_DEFAULT="console=tty1 console=ttyS0"\n\nGRUB_TERMINAL=console\n'
        ),
    },
    services=NEW_CLOUD_INIT,
)
STREAM = Distribution("stream", "centos", "9-stream", "redhat", _rpm("centos", "9-stream"))
ROCKY = Distribution("rocky", "rocky", "9", "redhat", _rpm("rocky", "9"))
ALMALINUX = Distribution("almalinux", "almalinux", "9", "redhat", _rpm("almalinux", "9"))
RHEL = Distribution("rhel", "rhel", "9", "redhat", _rpm("rhel", "9"))
FEDORA = Distribution("fedora", "fedora", "42", "redhat", _rpm("fedora", "42"), services=NEW_CLOUD_INIT)
OPENSUSE = Distribution(
    *("opensuse", "opensuse", "16.0", "suse"),
    {
        "/etc/os-release": 'ID="opensuse-leap"\nID_LIKE="suse opensuse"\nVERSION_ID="16.0"\n',
        "/etc/sysconfig/network/config": 'NETCONFIG_DNS_POLICY="auto"\n',
        "/etc/sysconfig/network/ifcfg-eth0": "BOOTPROTO='dhcp'\nSTARTMODE='auto'\n",
    },
)
ALPINE = Distribution(
    *("alpine", "alpine", "3.22", "alpine"),
    {"/etc/os-release": "ID=alpine\nVERSION_ID=3.22.1\n", "/etc/alpine-release": "3.22.1\n"},
    init="openrc",
    services=("cloud-init-ds-identify", "cloud-init-hotplugd", *OLD_CLOUD_INIT),
)
ARCH = Distribution("arch", "arch", "latest", "arch", {"/etc/os-release": "ID=arch\n"}, services=NEW_CLOUD_INIT)

ALL = (DEBIAN, UBUNTU, CENTOS7, STREAM, ROCKY, ALMALINUX, RHEL, FEDORA, OPENSUSE, ALPINE, ARCH)


def on_each(*distributions: Distribution) -> pytest.MarkDecorator:
    """Parametrize a test with ``distribution``: those given, or all."""
    chosen = distributions or ALL
    return pytest.mark.parametrize("distribution", chosen, ids=[distribution.id for distribution in chosen])


def grub_settings(root: Path) -> dict[str, str]:
    """What settings of the GRUB in a tree end up as, from the files that Ubuntu's grub-mkconfig reads, in its order."""
    read = 'set -ea; . ./etc/default/grub; for f in ./etc/default/grub.d/*.cfg; do [ ! -e "$f" ] || . "$f"; done; env'
    environ = {"PATH": "/usr/bin:/bin"}
    result = subprocess.run(["sh", "-c", read], cwd=root, env=environ, check=True, capture_output=True, text=True)
    return dict(line.split("=", 1) for line in result.stdout.splitlines() if line.startswith("GRUB_"))


def everything(guest: Guest) -> dict[str, tuple[int, str]]:
    """Mode and content of all that was written to a guest, but for the record of what its fake programs were called."""
    found = {}
    not_the_guests = {guest.root / "opt/calls", guest.root / "tmp/in_target.d"}
    for top in (guest.root, guest.usr):
        for path in sorted(top.rglob("*")):
            if path in not_the_guests:
                continue
            if path.is_symlink():
                found[str(path)] = (0, str(path.readlink()))
            elif path.is_file():
                found[str(path)] = (path.stat().st_mode, path.read_bytes().decode(errors="replace"))
            elif path.is_dir():
                found[str(path)] = (path.stat().st_mode, "")
    return found


def twice(guest: Guest, *hooks: str, **variables: str) -> str:
    """Run hooks, and all of them again, which must change nothing; what they printed at first."""
    output = "".join(guest.hook(hook, **variables).stdout for hook in hooks)
    before, calls = everything(guest), guest.calls
    for hook in hooks:
        guest.hook(hook, **variables)
    assert everything(guest) == before
    (guest.root / "opt/calls").write_text("".join(f"{call}\n" for call in calls))
    return output
