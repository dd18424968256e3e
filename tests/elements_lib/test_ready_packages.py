"""What the packages of the cloud elements are called on each distribution."""

from __future__ import annotations

from pathlib import Path

import pytest

from dib_py.element import LINUX, Catalog
from dib_py.packages import svc_map
from dib_py.packages.pkg_map import PackageMap
from dib_py.plan import make_plan
from dib_py.settings import Settings

from .distributions import ALL, ALPINE, ARCH, CENTOS7, DEBIAN, OPENSUSE, UBUNTU, Distribution

CATALOG = Catalog.load([], builtin=Path(__file__).resolve().parents[2] / "elements")

# where a name is not the one that is asked for: by distribution, or by family
NAMES: dict[tuple[str, str], dict[str, str]] = {
    ("acpid", "acpid"): {},
    ("qga", "qemu-guest-agent"): {},
    ("cloud-init", "cloud-init"): {"alpine": "cloud-init eudev udev-init-scripts"},
    ("openssh-server", "openssh-server"): {"suse": "openssh", "alpine": "openssh", "arch": "openssh"},
    ("runtime-ssh-host-keys", "openssh-client"): {
        "redhat": "openssh",
        "suse": "openssh",
        "alpine": "openssh-keygen",
        "arch": "openssh",
    },
    ("growroot", "e2fsprogs"): {"alpine": "e2fsprogs-extra"},
    ("growroot", "growpart"): {
        "debian": "cloud-guest-utils fdisk",
        "redhat": "cloud-utils-growpart",
        "alpine": "cloud-utils-growpart findmnt lsblk partx sfdisk",
        "arch": "cloud-guest-utils",
    },
    ("growroot", "gdisk-for-gpt"): {"centos7": "gdisk", **dict.fromkeys((d.id for d in ALL if d is not CENTOS7), "")},
}


@pytest.mark.parametrize("distribution", ALL, ids=lambda distribution: distribution.id)
@pytest.mark.parametrize(("element", "package"), NAMES)
def test_packages(element: str, package: str, distribution: Distribution) -> None:
    packages = PackageMap.read(CATALOG[element])
    assert packages is not None
    expected = NAMES[element, package]
    name = expected.get(distribution.id, expected.get(distribution.family, package))
    assert packages.translate(package, distribution.variables) == name.split()


SYSTEMS = tuple(element.name for element in CATALOG if element.is_operating_system and element.os_family == LINUX)
RPM_EFI = {
    "amd64": "efibootmgr grub2 grub2-efi-x64 grub2-efi-x64-modules grub2-tools shim-x64",
    "arm64": "efibootmgr grub2 grub2-efi-aa64 grub2-efi-aa64-modules grub2-tools shim-aa64",
}
DEBIAN_EFI = {"amd64": "efibootmgr grub-efi grub-pc-bin", "arm64": "efibootmgr grub-efi-arm64 grub-efi-arm64-bin"}
# GRUB for BIOS, and for EFI on each architecture, by the package manager's element
GRUBS: dict[str, tuple[str, dict[str, str]]] = {
    "dpkg": ("grub-pc", DEBIAN_EFI),
    "yum": ("grub2 grub2-tools", RPM_EFI),
    "zypper": ("grub2", {"amd64": "grub2 grub2-x86_64-efi", "arm64": "grub2 grub2-arm64-efi"}),
    "apk": (
        "blkid findmnt grub grub-bios",
        {
            "amd64": "blkid efibootmgr findmnt grub grub-bios grub-efi",
            "arm64": "blkid efibootmgr findmnt grub grub-efi",
        },
    ),
    "pacman": ("grub", dict.fromkeys(("amd64", "arm64"), "efibootmgr grub")),
}


@pytest.mark.parametrize(
    ("layout", "arch"), [("mbr", "amd64"), ("gpt", "amd64"), ("efi", "amd64"), ("efi", "arm64"), ("efi-lvm", "amd64")]
)
@pytest.mark.parametrize("system", SYSTEMS)
def test_grub_of_each_layout(system: str, layout: str, arch: str) -> None:
    """Every operating system's, on a disk of its own or one that its base image moves to."""
    environ = {"PATH": "/usr/bin:/bin", "HOME": "/root", "DIB_PACKAGES_EPOCH": "x"}
    plan = make_plan(
        Settings((system, "vm", f"block-device-{layout}"), base="/x.qcow2", arch=arch, environ=environ), CATALOG
    )
    names = {
        name
        for packages in plan.packages.slots.values()
        for name, elements in packages.items()
        if "bootloader" in elements
    }
    [(bios, efi)] = [grub for manager, grub in GRUBS.items() if manager in {element.name for element in plan.elements}]
    assert names == set((efi[arch] if layout.startswith("efi") else bios).split())


@pytest.mark.parametrize(
    ("distribution", "real"),
    [(DEBIAN, "ssh"), (UBUNTU, "ssh"), (CENTOS7, "sshd"), (OPENSUSE, "sshd"), (ALPINE, "sshd"), (ARCH, "sshd")],
    ids=lambda value: getattr(value, "id", value),
)
def test_the_ssh_server(distribution: Distribution, real: str) -> None:
    names = {service.selector: service.real for service in svc_map.merge([CATALOG["openssh-server"]])}
    assert names.get(distribution.name, names.get(distribution.family, names["default"])) == real
