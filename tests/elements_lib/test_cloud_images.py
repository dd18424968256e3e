"""Where operating systems' elements start from: addresses, checksum files and keys, by release and architecture."""

from __future__ import annotations

import itertools
import subprocess
from pathlib import Path

import pytest

from dib_py.base import BaseSpec
from dib_py.element import Catalog
from dib_py.errors import BaseError, DibError
from dib_py.plan import make_plan
from dib_py.settings import Settings

ELEMENTS = Path(__file__).resolve().parents[2] / "elements"
KEYS = {
    "centos7/RPM-GPG-KEY-CentOS-7": "6341AB2753D78A78A7C27BB124C6A8A7F4A80EB5",
    "fedora/RPM-GPG-KEY-fedora-43": "C6E7F081CF80E13146676E88829B606631645531",
    "fedora/RPM-GPG-KEY-fedora-44": "36F612DCF27F7D1A48A835E4DBFCF71C6D9F90A6",
    # the first one is that of 2021 to 2023
    "almalinux/RPM-GPG-KEY-AlmaLinux-8": (
        "5E9B8F5617B5066CE92057C3488FCF7C3ABB34F8 BC5EDDCADF502C077F1582882AE81E8ACED7258B"
    ),
    "almalinux/RPM-GPG-KEY-AlmaLinux-9": "BF18AC2876178908D6E71267D36CB86CB86B3716",
    "almalinux/RPM-GPG-KEY-AlmaLinux-10": "EE6DB7B98F5BF5EDD9DA0DE5DEE5C11CC2A1E572",
    "opensuse/RPM-GPG-KEY-openSUSE": "AD485664E901B867051AB15F35A2F86E29B700A4",
}


def base(element: str, arch: str = "amd64", **environ: str) -> BaseSpec:
    settings = Settings(elements=(element,), arch=arch, environ={"PATH": "/usr/bin:/bin", "HOME": "/root", **environ})
    found = make_plan(settings, Catalog.load([], builtin=ELEMENTS)).base
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("element", "environ", "location", "checksum"),
    [
        (
            "centos7",
            {},
            "https://cloud.centos.org/centos/7/images/CentOS-7-x86_64-GenericCloud.qcow2",
            "https://cloud.centos.org/centos/7/images/sha256sum.txt.asc",
        ),
        (
            "centos",
            {},
            "https://cloud.centos.org/centos/10-stream/x86_64/images/CentOS-Stream-GenericCloud-10-latest.x86_64.qcow2",
            "<url>.SHA256SUM",
        ),
        (
            "centos",
            {"DIB_RELEASE": "9"},
            "https://cloud.centos.org/centos/9-stream/x86_64/images/CentOS-Stream-GenericCloud-9-latest.x86_64.qcow2",
            "<url>.SHA256SUM",
        ),
        (
            "rocky",
            {},
            "https://dl.rockylinux.org/pub/rocky/10/images/x86_64/Rocky-10-GenericCloud-Base.latest.x86_64.qcow2",
            "https://dl.rockylinux.org/pub/rocky/10/images/x86_64/CHECKSUM",
        ),
        (
            "almalinux",
            {"DIB_RELEASE": "9.6"},
            "https://repo.almalinux.org/almalinux/9.6/cloud/x86_64/images/AlmaLinux-9-GenericCloud-latest.x86_64.qcow2",
            "https://repo.almalinux.org/almalinux/9.6/cloud/x86_64/images/CHECKSUM",
        ),
        (
            "fedora",
            {"DIB_RELEASE": "45", "DIB_FEDORA_COMPOSE": "1.2", "DIB_CLOUD_IMAGES": "https://x"},
            "https://x/Fedora-Cloud-Base-Generic-45-1.2.x86_64.qcow2",
            "https://x/Fedora-Cloud-45-1.2-x86_64-CHECKSUM",
        ),
        (
            "debian",
            {"DIB_DEBIAN_CLOUD_IMAGE": "1"},
            "https://cloud.debian.org/images/cloud/trixie/latest/debian-13-generic-amd64.qcow2",
            "https://cloud.debian.org/images/cloud/trixie/latest/SHA512SUMS",
        ),
        (
            "debian",
            {"DIB_DEBIAN_CLOUD_IMAGE": "1", "DIB_RELEASE": "oldstable", "DIB_FLAVOR": "genericcloud"},
            "https://cloud.debian.org/images/cloud/bookworm/latest/debian-12-genericcloud-amd64.qcow2",
            "https://cloud.debian.org/images/cloud/bookworm/latest/SHA512SUMS",
        ),
        (
            "debian",
            {"DIB_RELEASE": "forky", "DIB_CLOUD_IMAGES": "https://x"},
            "https://x/debian-forky-generic-amd64.qcow2",
            "https://x/SHA512SUMS",
        ),
        (
            "opensuse",
            {},
            "https://download.opensuse.org/distribution/leap/16.0/appliances/Leap-16.0-Minimal-VM.x86_64-Cloud.qcow2",
            "<url>.sha256",
        ),
        (
            "opensuse",
            {"DIB_RELEASE": "tumbleweed"},
            "https://download.opensuse.org/tumbleweed/appliances/openSUSE-Tumbleweed-Minimal-VM.x86_64-Cloud.qcow2",
            "<url>.sha256",
        ),
    ],
)
def test_where_images_are(element: str, environ: dict[str, str], location: str, checksum: str) -> None:
    found = base(element, **environ)
    assert found.location == location
    assert found.checksum == checksum.replace("<url>", location)


def test_another_architecture() -> None:
    assert base("centos7", arch="arm64").location.startswith(
        "https://cloud.centos.org/altarch/7/images/CentOS-7-aarch64-"
    )
    assert "/images/aarch64/Rocky-10-GenericCloud-Base.latest.aarch64" in base("rocky", arch="arm64").location


@pytest.mark.parametrize(
    ("element", "arch", "environ", "keyring"),
    [
        ("centos7", "amd64", {}, "centos7/RPM-GPG-KEY-CentOS-7"),
        ("centos7", "arm64", {}, ""),
        ("centos7", "amd64", {"DIB_CLOUD_IMAGES": "https://mine"}, ""),
        ("fedora", "amd64", {}, "fedora/RPM-GPG-KEY-fedora-44"),
        ("fedora", "amd64", {"DIB_RELEASE": "43"}, "fedora/RPM-GPG-KEY-fedora-43"),
        ("fedora", "amd64", {"DIB_RELEASE": "42", "DIB_FEDORA_COMPOSE": "1.1"}, ""),
        ("almalinux", "amd64", {}, "almalinux/RPM-GPG-KEY-AlmaLinux-10"),
        ("almalinux", "amd64", {"DIB_RELEASE": "9.6"}, "almalinux/RPM-GPG-KEY-AlmaLinux-9"),
        ("almalinux", "amd64", {"DIB_CLOUD_IMAGES": "https://mine"}, ""),
        ("almalinux", "amd64", {"DIB_BASE_KEYRING": "/keys"}, "/keys"),
        ("opensuse", "amd64", {}, "opensuse/RPM-GPG-KEY-openSUSE"),
        ("opensuse", "amd64", {"DIB_CLOUD_IMAGES": "https://mine"}, ""),
    ],
)
def test_which_keys_count(element: str, arch: str, environ: dict[str, str], keyring: str) -> None:
    found = base(element, arch=arch, **environ)
    assert found.keyring == (str(ELEMENTS / keyring) if keyring else "")
    assert found.signature == (f"{found.checksum}.asc" if element in ("almalinux", "opensuse") else "")


@pytest.mark.parametrize("name", KEYS)
def test_keys_are_the_publishers(name: str, tmp_path: Path) -> None:
    """By the fingerprints that they publish."""
    command = ["gpg", "--homedir", tmp_path, "--show-keys", "--with-colons", ELEMENTS / name]
    listed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    records = [line.split(":") for line in listed.splitlines()]
    primary = [after[9] for record, after in itertools.pairwise(records) if record[0] == "pub"]
    assert " ".join(primary) == KEYS[name]


@pytest.mark.parametrize(
    ("element", "environ", "said"),
    [
        ("rhel", {}, "access.redhat.com"),
        ("fedora", {"DIB_RELEASE": "99"}, "DIB_FEDORA_COMPOSE"),
        ("fedora", {"DIB_RELEASE": "42"}, "DIB_FEDORA_COMPOSE"),
        ("centos", {"DIB_RELEASE": "7"}, "centos7"),
        ("debian", {"DIB_RELEASE": "sid", "DIB_DEBIAN_CLOUD_IMAGE": "1"}, "DIB_CLOUD_IMAGES"),
        ("debian", {"DIB_DEBIAN_CLOUD_IMAGE": "yes"}, "1 or 0"),
    ],
)
def test_without_an_image(element: str, environ: dict[str, str], said: str) -> None:
    with pytest.raises(DibError) as raised:
        base(element, **environ)
    assert said in f"{raised.value} {getattr(raised.value, 'tail', '')}"
    assert element in ("centos", "debian") or isinstance(raised.value, BaseError)


def test_debian_is_bootstrapped_unless_its_cloud_image_is_asked_for() -> None:
    settings = Settings(elements=("debian",), arch="amd64", environ={"PATH": "/usr/bin:/bin", "HOME": "/root"})
    plan = make_plan(settings, Catalog.load([], builtin=ELEMENTS))
    assert plan.base is None and plan.environment["DIB_RELEASE"] == "trixie"


def test_rhel_from_a_server_of_ones_own() -> None:
    found = base("rhel", DIB_CLOUD_IMAGES="https://mine", BASE_IMAGE_FILE="rhel.qcow2")
    assert found.location == "https://mine/rhel.qcow2"


def test_steps_of_a_registered_system_are_no_others() -> None:
    """The next build's identity is another one."""

    def keys(**environ: str) -> list[str]:
        environ |= {
            "PATH": "/usr/bin:/bin",
            "HOME": "/root",
            "DIB_LOCAL_IMAGE": "/none.qcow2",
            "DIB_PACKAGES_EPOCH": "x",
        }
        settings = Settings(elements=("rhel",), arch="amd64", environ=environ, base="/none.qcow2")
        return [step.key for step in make_plan(settings, Catalog.load([], builtin=ELEMENTS)).steps]

    assert keys() == keys()
    portal = {"REG_METHOD": "portal", "REG_ACTIVATION_KEY": "k", "REG_ORG": "1"}
    assert not set(keys(**portal)) & set(keys(**portal))
    same = {**portal, "DIB_RHEL_REGISTRATION": "mine"}
    assert keys(**same) == keys(**same)
