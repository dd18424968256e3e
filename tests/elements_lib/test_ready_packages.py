"""What the packages of the cloud elements are called on each distribution."""

from __future__ import annotations

from pathlib import Path

import pytest

from dib_py.element import Catalog
from dib_py.packages import svc_map
from dib_py.packages.pkg_map import PackageMap

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


@pytest.mark.parametrize(
    ("distribution", "real"),
    [(DEBIAN, "ssh"), (UBUNTU, "ssh"), (CENTOS7, "sshd"), (OPENSUSE, "sshd"), (ALPINE, "sshd"), (ARCH, "sshd")],
    ids=lambda value: getattr(value, "id", value),
)
def test_the_ssh_server(distribution: Distribution, real: str) -> None:
    names = {service.selector: service.real for service in svc_map.merge([CATALOG["openssh-server"]])}
    assert names.get(distribution.name, names.get(distribution.family, names["default"])) == real
