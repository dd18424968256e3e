"""Ubuntu's elements: mirrors of the cloud image's sources, and what a bootstrap says before it starts."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.elements_lib.conftest import ELEMENTS, Guest

MIRROR = "http://mirror.example/ubuntu"
SOURCES = """\
deb http://archive.ubuntu.com/ubuntu/ focal main restricted
deb http://de.archive.ubuntu.com/ubuntu focal universe
deb [signed-by=/usr/share/keyrings/x.gpg] https://security.ubuntu.com/ubuntu focal-security main
deb http://ppa.launchpad.net/x/ubuntu focal main
"""
DEB822 = """\
Types: deb
URIs: http://archive.ubuntu.com/ubuntu/
Suites: resolute resolute-updates
Components: main universe
Signed-By: /usr/share/keyrings/ubuntu-archive-keyring.gpg

Types: deb
URIs: http://security.ubuntu.com/ubuntu
Suites: resolute-security
"""


@pytest.fixture
def cloud_image(guest: Guest) -> Guest:
    guest.variables.update(DISTRO_NAME="ubuntu", DIB_RELEASE="resolute")
    guest.merge("ubuntu-common", "ubuntu")
    guest.write("/etc/apt/sources.list", SOURCES)
    guest.write("/etc/apt/sources.list.d/ubuntu.sources", DEB822)
    guest.path("/etc/apt/apt.conf.d").mkdir()
    return guest


HOOK = "pre-install.d/01-set-ubuntu-mirror"


def test_another_mirror_is_put_into_both_kinds_of_sources(cloud_image: Guest) -> None:
    cloud_image.hook(HOOK, DIB_DISTRIBUTION_MIRROR=f"{MIRROR}/")
    assert cloud_image.read("/etc/apt/sources.list").splitlines() == [
        f"deb {MIRROR} focal main restricted",
        f"deb {MIRROR} focal universe",
        f"deb [signed-by=/usr/share/keyrings/x.gpg] {MIRROR} focal-security main",
        "deb http://ppa.launchpad.net/x/ubuntu focal main",
    ]
    text = cloud_image.read("/etc/apt/sources.list.d/ubuntu.sources")
    assert text.count(f"URIs: {MIRROR}\n") == 2
    assert not cloud_image.exists("/etc/apt/apt.conf.d/95dib-mirror")
    assert sorted(path.name for path in cloud_image.path("/etc/apt/sources.list.d").iterdir()) == ["ubuntu.sources"]


def test_lines_that_are_to_be_ignored_keep_their_mirror(cloud_image: Guest) -> None:
    cloud_image.hook(
        HOOK, DIB_DISTRIBUTION_MIRROR=MIRROR, DIB_DISTRIBUTION_MIRROR_UBUNTU_IGNORE="(universe|multiverse)"
    )
    lines = cloud_image.read("/etc/apt/sources.list").splitlines()
    assert lines[0].startswith(f"deb {MIRROR} ")
    assert lines[1] == "deb http://de.archive.ubuntu.com/ubuntu focal universe"


def test_the_mirror_that_nobody_chose_changes_nothing(cloud_image: Guest) -> None:
    cloud_image.hook(HOOK)
    assert cloud_image.read("/etc/apt/sources.list") == SOURCES
    assert cloud_image.read("/etc/apt/sources.list.d/ubuntu.sources") == DEB822


def test_what_apt_is_told_to_trust(cloud_image: Guest) -> None:
    cloud_image.hook(HOOK, DIB_DISTRIBUTION_MIRROR_UBUNTU_INSECURE="1", DIB_DISTRIBUTION_MIRROR_VERIFY_HTTPS="0")
    settings = cloud_image.read("/etc/apt/apt.conf.d/95dib-mirror")
    assert settings.count('"true";') == 2
    assert 'Verify-Peer "false";' in settings


def needs(**variables: str) -> subprocess.CompletedProcess[str]:
    environment = {
        "PATH": os.environ["PATH"],
        "DIB_UBUNTU_ARCHIVE_KEYRING": "",
        **variables,
    }
    hook = ELEMENTS / "ubuntu-minimal/root.d/07-ubuntu-needs"
    return subprocess.run([hook], env=environment, capture_output=True, text=True, check=False)


def test_a_machine_without_ubuntus_keys() -> None:
    refused = needs()
    assert refused.returncode == 1
    assert "ubuntu-keyring" in refused.stderr
    for given in ("DIB_UBUNTU_ARCHIVE_KEYRING", "DIB_APT_KEYRING", "DIB_APT_SOURCES_CONF", "DIB_BASE_IMAGE"):
        assert needs(**{given: "x"}).returncode == 0, given
    assert needs(DIB_DEBOOTSTRAP_EXTRA_ARGS="--no-check-gpg").returncode == 0


@pytest.mark.parametrize(
    ("arch", "mirror"),
    [("amd64", "http://archive.ubuntu.com/ubuntu"), ("arm64", "http://ports.ubuntu.com/ubuntu-ports")],
)
def test_mirrors_of_architectures(arch: str, mirror: str) -> None:
    file = ELEMENTS / "ubuntu-common/environment.d/10-ubuntu-common.bash"
    script = f'. {file}; echo "$DIB_DISTRIBUTION_MIRROR $DIB_RELEASE $DISTRO_NAME $DIB_INIT_SYSTEM $EFI_BOOT_DIR"'
    done = subprocess.run(["bash", "-euc", script], env={"ARCH": arch}, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [mirror, "resolute", "ubuntu", "systemd", "EFI/ubuntu"]


def test_the_keyring_of_this_machine(tmp_path: Path) -> None:
    file = ELEMENTS / "ubuntu/environment.d/11-ubuntu.bash"
    script = f'. {file}; echo "$DIB_CLOUD_IMAGES/$BASE_IMAGE_FILE $DIB_UBUNTU_KEYRING"'
    environment = {"ARCH": "amd64", "DIB_RELEASE": "noble", "DIB_UBUNTU_KEYRING": str(tmp_path)}
    done = subprocess.run(["bash", "-euc", script], env=environment, capture_output=True, text=True, check=True)
    where = "https://cloud-images.ubuntu.com/noble/current/noble-server-cloudimg-amd64.img"
    assert done.stdout.split() == [where, str(tmp_path)]


@pytest.mark.skipif(not shutil.which("gpg"), reason="needs gpg")
@pytest.mark.parametrize(
    ("keyring", "fingerprint"),
    [
        ("ubuntu/keys/cloud-images.asc", "D2EB44626FDDC30B513D5BB71A5D6C4C7DB87C81"),
        ("arch/keys/arch-boxes.asc", "1B9A16984A4E8CB448712D2AE0B78BF4326C6F8F"),
    ],
)
def test_the_keys_that_come_with_elements(keyring: str, fingerprint: str, tmp_path: Path) -> None:
    """By the fingerprints that the publishers' own documentation has."""
    tmp_path.chmod(0o700)
    command = ["gpg", "--homedir", tmp_path, "--batch", "--with-colons", "--show-keys", ELEMENTS / keyring]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    primary = [line.split(":")[9] for line in shown.splitlines() if line.startswith("fpr:")]
    assert primary[0] == fingerprint
    assert shown.count("\npub:") + shown.startswith("pub:") == 1
