"""Where Debian's packages come from: what this machine's apt says, what was asked for, and Debian's own mirrors."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ELEMENTS = Path(__file__).resolve().parents[2] / "elements"
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
DEFAULTS = {"DISTRO_NAME": "debian", "DIB_RELEASE": "bookworm", "DIB_DEBIAN_COMPONENTS_WS": "main"}


def apt(tmp_path: Path, **files: str) -> Path:
    """A directory like /etc/apt: ``list`` is sources.list, other names are files of sources.list.d."""
    directory = tmp_path / "apt"
    (directory / "sources.list.d").mkdir(parents=True)
    for name, text in files.items():
        path = directory / ("sources.list" if name == "list" else f"sources.list.d/{name.replace('_', '.')}")
        path.write_text(text)
    return directory


def host_sources(directory: Path, release: str = "bookworm") -> list[str]:
    command = [ELEMENTS / "debootstrap/bootstrap/host-sources", release, directory]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()


def sources(directory: Path, **variables: str) -> list[str]:
    environment = {"PATH": "/usr/bin:/bin", **DEFAULTS, **variables}
    merged = directory / "bootstrap"
    for element in ("debootstrap", "debian-minimal", "ubuntu-minimal"):
        shutil.copytree(ELEMENTS / element / "bootstrap", merged, dirs_exist_ok=True)
    command = [merged / "sources", directory]
    return subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout.splitlines()


DEB822 = f"""\
# a snapshot
Types: deb deb-src
# http://snapshot.example/archive/debian/20250520T000000Z
URIs: http://mirror.example/debian/
Suites: bookworm bookworm-updates
Components: main
 contrib
Signed-By: {KEYRING}

Types: deb
URIs: http://mirror.example/debian-security
Suites: bookworm-security
Components: main
Signed-By: {KEYRING}

Enabled: no
Types: deb
URIs: http://off.example/debian
Suites: bookworm
Components: main

Types: deb-src
URIs: http://src.example/debian
Suites: bookworm
Components: main
"""


def test_deb822_format(tmp_path: Path) -> None:
    assert host_sources(apt(tmp_path, debian_sources=DEB822)) == [
        f"default:deb [signed-by={KEYRING}] http://mirror.example/debian bookworm main contrib",
        f"updates:deb [signed-by={KEYRING}] http://mirror.example/debian bookworm-updates main contrib",
        f"security:deb [signed-by={KEYRING}] http://mirror.example/debian-security bookworm-security main",
    ]


def test_one_line_format(tmp_path: Path) -> None:
    directory = apt(
        tmp_path,
        list="# deb http://commented.example/debian bookworm main\n"
        f"deb [arch=amd64 signed-by={KEYRING}] http://mirror.example/debian bookworm main  contrib # why\n"
        "deb-src http://mirror.example/debian bookworm main\n",
        security_list="\tdeb\thttp://mirror.example/debian-security/ bookworm-security main",
    )
    assert host_sources(directory) == [
        f"default:deb [signed-by={KEYRING}] http://mirror.example/debian bookworm main contrib",
        "security:deb http://mirror.example/debian-security bookworm-security main",
    ]


@pytest.mark.parametrize(
    "line",
    [
        "deb http://mirror.example/debian trixie main",
        "deb http://mirror.example/debian bookworm-backports main",
        "deb https://vendor.example/linux/debian bookworm stable",
        "deb [signed-by=/etc/apt/keyrings/vendor.gpg] https://vendor.example/debian bookworm main",
        "deb https://vendor.example/apt bookworm main",
    ],
)
def test_what_is_not_debians_own_or_another_release_does_not_count(tmp_path: Path, line: str) -> None:
    assert host_sources(apt(tmp_path, list=line + "\n")) == []


def test_the_same_source_twice_counts_once(tmp_path: Path) -> None:
    line = "deb http://mirror.example/debian bookworm main\n"
    assert len(host_sources(apt(tmp_path, list=line, more_list=line))) == 1


def test_without_any_configuration(tmp_path: Path) -> None:
    assert host_sources(tmp_path / "nowhere") == []


# -- what the image gets


def test_this_machines_sources_with_the_components_asked_for(tmp_path: Path) -> None:
    directory = apt(tmp_path, debian_sources=DEB822)
    components = "main non-free-firmware"
    assert sources(directory, DIB_DEBIAN_COMPONENTS_WS=components) == [
        f"default:deb [signed-by={KEYRING}] http://mirror.example/debian bookworm {components}",
        f"updates:deb [signed-by={KEYRING}] http://mirror.example/debian bookworm-updates {components}",
        f"security:deb [signed-by={KEYRING}] http://mirror.example/debian-security bookworm-security {components}",
    ]


def test_the_same_mirror_where_this_machine_has_another_release(tmp_path: Path) -> None:
    (tmp_path / "os-release").write_text("ID=debian\nVERSION_CODENAME=bookworm\n")
    assert sources(apt(tmp_path, debian_sources=DEB822), DIB_RELEASE="trixie") == [
        f"default:deb [signed-by={KEYRING}] http://mirror.example/debian trixie main",
        f"updates:deb [signed-by={KEYRING}] http://mirror.example/debian trixie-updates main",
        f"security:deb [signed-by={KEYRING}] http://mirror.example/debian-security trixie-security main",
    ]


def test_the_bootstrappers_default_where_this_machine_is_no_debian(tmp_path: Path) -> None:
    assert sources(apt(tmp_path, debian_sources=DEB822), DIB_RELEASE="trixie") == []
    (tmp_path / "os-release").write_text("ID=ubuntu\nVERSION_CODENAME=noble\n")
    assert sources(tmp_path / "apt", DIB_RELEASE="trixie") == []


def test_debians_own_security_source_where_no_other_is_known(tmp_path: Path) -> None:
    asked = {"DIB_RELEASE": "trixie", "DIB_DISTRIBUTION_MIRROR": "http://asked.example/debian"}
    expected = [
        "default:deb http://asked.example/debian trixie main",
        "updates:deb http://asked.example/debian trixie-updates main",
    ]
    directory = apt(tmp_path, debian_sources=DEB822)
    security = "security:deb http://security.debian.org/debian-security trixie-security main"
    assert sources(directory, **asked) == [*expected, security]
    shutil.rmtree(directory / "bootstrap")
    assert sources(directory, **asked, DIB_DEBIAN_SECURITY_MIRROR="none") == expected


def test_a_mirror_that_was_asked_for(tmp_path: Path) -> None:
    directory = apt(tmp_path, debian_sources=DEB822)
    found = sources(directory, DIB_DISTRIBUTION_MIRROR="http://asked.example/debian")
    assert found == [
        "default:deb http://asked.example/debian bookworm main",
        "updates:deb http://asked.example/debian bookworm-updates main",
        f"security:deb [signed-by={KEYRING}] http://mirror.example/debian-security bookworm-security main",
    ]
    security = {"DIB_DEBIAN_SECURITY_MIRROR": "http://asked.example/s", "DIB_DEBIAN_SECURITY_SUBPATH": "/updates"}
    assert sources(directory, **security)[-1] == "security:deb http://asked.example/s bookworm-security/updates main"


@pytest.mark.parametrize("release", ["testing", "unstable", "sid"])
def test_releases_without_updates(tmp_path: Path, release: str) -> None:
    asked = {"DIB_RELEASE": release, "DIB_DISTRIBUTION_MIRROR": "http://asked.example/debian"}
    assert len(sources(apt(tmp_path), **asked)) == 1


def test_a_complete_configuration_is_taken_as_it_is(tmp_path: Path) -> None:
    configuration = "\n  one:deb http://a.example/ x main\ntwo:deb http://b.example/ y main\n\n"
    assert sources(apt(tmp_path, debian_sources=DEB822), DIB_APT_SOURCES_CONF=configuration) == [
        "one:deb http://a.example/ x main",
        "two:deb http://b.example/ y main",
    ]


UBUNTU = {
    "DISTRO_NAME": "ubuntu",
    "DIB_RELEASE": "resolute",
    "DIB_DEBIAN_COMPONENTS_WS": "main universe",
    "DIB_DISTRIBUTION_MIRROR": "http://mirror.example/ubuntu",
    "DIB_UBUNTU_MIRROR_DISTS": "updates,security",
    "DIB_UBUNTU_ARCHIVE_KEYRING": "",
}


def test_ubuntu_has_its_pockets_in_one_place(tmp_path: Path) -> None:
    assert sources(apt(tmp_path, debian_sources=DEB822), **UBUNTU) == [
        "default:deb http://mirror.example/ubuntu resolute main universe",
        "updates:deb http://mirror.example/ubuntu resolute-updates main universe",
        "security:deb http://mirror.example/ubuntu resolute-security main universe",
    ]


def test_ubuntu_by_its_keyring(tmp_path: Path) -> None:
    asked = {**UBUNTU, "DIB_UBUNTU_MIRROR_DISTS": "", "DIB_UBUNTU_ARCHIVE_KEYRING": "/usr/share/keyrings/u.gpg"}
    assert sources(apt(tmp_path), **asked) == [
        "default:deb [signed-by=/usr/share/keyrings/u.gpg] http://mirror.example/ubuntu resolute main universe"
    ]


def test_a_distribution_that_nothing_is_known_of(tmp_path: Path) -> None:
    asked = {"DISTRO_NAME": "devuan", "DIB_RELEASE": "daedalus"}
    assert sources(apt(tmp_path), **asked, DIB_DISTRIBUTION_MIRROR="http://mirror.example/devuan") == [
        "default:deb http://mirror.example/devuan daedalus main"
    ]
    with pytest.raises(subprocess.CalledProcessError) as raised:
        sources(tmp_path / "apt", **asked)
    assert "no mirror of devuan is known" in raised.value.stderr
