"""The element sbom: package databases of all families in, documents that the formats' own tools accept out."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL
from spdx_tools.spdx.parser.jsonlikedict.json_like_dict_parser import JsonLikeDictParser
from spdx_tools.spdx.validation.document_validator import validate_full_spdx_document

from tests.elements_lib.host_side import ELEMENTS, Build

if TYPE_CHECKING:
    from .conftest import Guest

GUEST_HOOK, HOST_HOOK = "finalise.d/98-sbom", "cleanup.d/00-sbom"

OS_RELEASES = {
    "debian": 'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nNAME="Debian GNU/Linux"\nVERSION_ID="12"\nID=debian\n',
    "centos": 'NAME="CentOS Linux"\nID="centos"\nVERSION_ID="7"\n',
    "rhel": 'NAME="Red Hat Enterprise Linux"\nID="rhel"\nVERSION_ID="9.4"\n',
    "opensuse": 'NAME="openSUSE Leap"\nID="opensuse-leap"\nVERSION_ID="15.6"\n',
    "alpine": 'NAME="Alpine Linux"\nID=alpine\nVERSION_ID=3.20.3\n',
    "arch": 'NAME="Arch Linux"\nID=arch\n',
}

DPKG_STATUS = """\
Package: acl
Status: install ok installed
Maintainer: Guillem Jover <guillem@debian.org>
Architecture: amd64
Version: 2.3.1-3
Description: access control list - utilities
 This package contains: colons
Homepage: https://savannah.nongnu.org/projects/acl/

Package: gone
Status: deinstall ok config-files
Architecture: amd64
Version: 1

Package: libstdc++6
Status: install ok installed
Maintainer: Debian GCC Maintainers <debian-gcc@lists.debian.org>
Architecture: amd64
Multi-Arch: same
Source: gcc-12 (12.2.0-14)
Version: 12.2.0-14+deb12u1

Package: bind9-host
Status: hold ok installed
Architecture: amd64
Version: 1:9.18.28-1~deb12u2
"""

APK_INSTALLED = """\
C:Q1p78yvTLG094tHE1+dToJGbmYzQE=
P:libcurl
V:8.9.1-r1
A:x86_64
T:The multiprotocol file transfer library
U:https://curl.se/
L:curl
o:curl
m:Natanael Copa <ncopa@alpinelinux.org>
F:usr/lib
R:libcurl.so.4

P:busybox
V:1.36.1-r29
A:x86_64
L:GPL-2.0-only
o:busybox
"""

PACMAN = {
    "pacman-6.1.0-3": "%NAME%\npacman\n\n%VERSION%\n6.1.0-3\n\n%BASE%\npacman\n\n%ARCH%\nx86_64\n\n%URL%\n"
    "https://www.archlinux.org/pacman/\n\n%PACKAGER%\nMorgan <foutrelis@archlinux.org>\n\n%LICENSE%\n"
    "GPL-2.0-or-later\nMIT OR Apache-2.0\n\n%DEPENDS%\nbash\n",
    "vim-1:9.1-1": "%NAME%\nvim\n\n%VERSION%\n1:9.1-1\n\n%ARCH%\nx86_64\n\n%LICENSE%\ncustom:vim\n",
}


def rows(guest: Guest) -> list[list[str]]:
    guest.hook(GUEST_HOOK)
    return sorted(line.split("\t") for line in guest.read("/tmp/dib-sbom/packages").splitlines())


@pytest.fixture
def sbom(guest: Guest) -> Guest:
    guest.merge("sbom")
    return guest


# -- in the guest


def test_dpkg(sbom: Guest) -> None:
    sbom.write("/var/lib/dpkg/status", DPKG_STATUS)
    sbom.write("/etc/os-release", OS_RELEASES["debian"])
    jover, gcc = "Guillem Jover <guillem@debian.org>", "Debian GCC Maintainers <debian-gcc@lists.debian.org>"
    version, home = "12.2.0-14+deb12u1", "https://savannah.nongnu.org/projects/acl/"
    assert rows(sbom) == [
        ["deb", "acl", "2.3.1-3", "amd64", "acl", "2.3.1-3", "", jover, home],
        ["deb", "bind9-host", "1:9.18.28-1~deb12u2", "amd64", "bind9-host", "1:9.18.28-1~deb12u2", "", "", ""],
        ["deb", "libstdc++6", version, "amd64", "gcc-12", "12.2.0-14", "", gcc, ""],
    ]
    assert sbom.read("/tmp/dib-sbom/os-release") == OS_RELEASES["debian"]


def test_this_machine_has_the_packages_that_dpkg_itself_lists(sbom: Guest) -> None:
    shutil.copy("/var/lib/dpkg/status", sbom.path("/var/lib/dpkg/status"))
    query = [
        "dpkg-query",
        "-W",
        "-f",
        r"${db:Status-Status}\t${Package}\t${Version}\t${Architecture}\t${source:Package}\n",
    ]
    listed = subprocess.run(query, capture_output=True, text=True, check=True).stdout.splitlines()
    expected = [line.split("\t")[1:] for line in listed if line.startswith("installed\t")]
    assert sorted(row[1:5] for row in rows(sbom)) == sorted(expected)


def test_apk(sbom: Guest) -> None:
    sbom.write("/lib/apk/db/installed", APK_INSTALLED)
    copa = "Natanael Copa <ncopa@alpinelinux.org>"
    assert rows(sbom) == [
        ["apk", "busybox", "1.36.1-r29", "x86_64", "busybox", "1.36.1-r29", "GPL-2.0-only", "", ""],
        ["apk", "libcurl", "8.9.1-r1", "x86_64", "curl", "8.9.1-r1", "curl", copa, "https://curl.se/"],
    ]


def test_pacman(sbom: Guest) -> None:
    for name, text in PACMAN.items():
        sbom.write(f"/var/lib/pacman/local/{name}/desc", text)
    sbom.write("/var/lib/pacman/local/ALPM_DB_VERSION", "9\n")
    pacman, vim = rows(sbom)
    assert pacman[:7] == [
        *("alpm", "pacman", "6.1.0-3", "x86_64", "pacman", "6.1.0-3"),
        "GPL-2.0-or-later AND (MIT OR Apache-2.0)",
    ]
    assert vim == ["alpm", "vim", "1:9.1-1", "x86_64", "", "1:9.1-1", "custom:vim", "", ""]


SPEC = """\
Name: {name}
Version: 1.2
Release: 3
{more}
License: {licence}
Summary: x
Vendor: CentOS
URL: https://example.org/
BuildArch: noarch
%description
x
%files
"""


@pytest.fixture(scope="session")
def rpms(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    if shutil.which("rpmbuild") is None:
        pytest.skip("needs rpmbuild")
    directory = tmp_path_factory.mktemp("rpms")
    for name, licence, more in (("bash", "GPLv3+", "Epoch: 2"), ("curl", "MIT", ""), ("gpg-pubkey", "pubkey", "")):
        spec = directory / f"{name}.spec"
        spec.write_text(SPEC.format(name=name, licence=licence, more=more))
        command = ["rpmbuild", "-bb", "--quiet", "--define", f"_topdir {directory}", spec]
        subprocess.run(command, check=True, capture_output=True)
    return sorted(directory.glob("RPMS/*/*.rpm"))


@pytest.mark.skipif(os.geteuid() != 0, reason="rpm --root needs root")
def test_rpm(sbom: Guest, rpms: list[Path]) -> None:
    install = ["rpm", "--root", sbom.root, "--install", "--justdb", "--nodeps", "--nosignature", *rpms]
    subprocess.run(install, check=True, capture_output=True)
    end = ["CentOS", "https://example.org/"]
    assert rows(sbom) == [
        ["rpm", "bash", "2:1.2-3", "noarch", "bash-1.2-3.src.rpm", "", "GPLv3+", *end],
        ["rpm", "curl", "1.2-3", "noarch", "curl-1.2-3.src.rpm", "", "MIT", *end],
    ]


def test_a_program_rpm_alone_is_no_database(sbom: Guest) -> None:
    sbom.fake("rpm", "echo /var/lib/rpm")
    sbom.write("/var/lib/dpkg/status", DPKG_STATUS)
    assert len(rows(sbom)) == 3
    assert sbom.calls == ["rpm --eval %{_dbpath}"]


def test_an_image_without_a_database_is_an_error(sbom: Guest) -> None:
    result = sbom.hook(GUEST_HOOK, check=False)
    assert result.returncode == 1
    assert "no package database" in result.stderr


def test_no_process_for_each_package(sbom: Guest) -> None:
    for number in range(300):
        sbom.write(f"/var/lib/pacman/local/p{number}/desc", f"%NAME%\np{number}\n\n%VERSION%\n1-1\n")
    sbom.fake("awk", 'exec /usr/bin/awk "$@"')
    assert len(rows(sbom)) == 300
    assert len([call for call in sbom.calls if call.startswith("awk")]) == 1


# -- beside the image

MIXED = "mit and GPL-2.0-or-later with Classpath-exception-2.0"
TABLES = {
    "debian": [
        "deb\tlibstdc++6\t12.2.0-14+deb12u1\tamd64\tgcc-12\t12.2.0-14\t\tDebian GCC Maintainers <g@lists.debian.org>\t",
        "deb\tbind9-host\t1:9.18-1~deb12u2\tamd64\tbind9\t1:9.18-1\t\tOndrej <o@debian.org>\tnot an address",
    ],
    "centos": [
        "rpm\tbash\t4.2.46-34.el7\tx86_64\tbash-4.2.46-34.el7.src.rpm\t\tGPLv3+\tCentOS\thttp://www.gnu.org/software/bash",
        "rpm\tbind-utils\t32:9.11.4-26.P2.el7\tx86_64\tbind-9.11.4-26.P2.el7.src.rpm\t\tMPLv2.0\tCentOS\t",
        "rpm\tkernel\t3.10.0-1160.el7\tx86_64\t\t\tGPLv2\t\t",
        "rpm\tkernel\t3.10.0-957.el7\tx86_64\t\t\tGPLv2\t\t",
    ],
    "rhel": [
        f"rpm\tcurl\t7.76.1-29.el9\tx86_64\tcurl-7.76.1-29.el9.src.rpm\t\t{MIXED}\tRed Hat, Inc.\thttps://curl.se/"
    ],
    "opensuse": ["rpm\tzypper\t1.14.73-1\tx86_64\tzypper-1.14.73-1.src.rpm\t\tGPL-2.0-or-later\tSUSE LLC\t"],
    "alpine": ["apk\tlibcurl\t8.9.1-r1\tx86_64\tcurl\t8.9.1-r1\tcurl\tN <n@a.org>\thttps://curl.se/"],
    "arch": ["alpm\tvim\t1:9.1-1\tx86_64\tvim\t1:9.1-1\tcustom:vim AND MIT\tX <x@archlinux.org>\t"],
}
PURLS = {
    "debian": [
        "pkg:deb/debian/bind9-host@1:9.18-1~deb12u2?arch=amd64&distro=debian-12",
        "pkg:deb/debian/libstdc%2B%2B6@12.2.0-14%2Bdeb12u1?arch=amd64&distro=debian-12",
    ],
    "centos": [
        "pkg:rpm/centos/bash@4.2.46-34.el7?arch=x86_64&distro=centos-7",
        "pkg:rpm/centos/bind-utils@9.11.4-26.P2.el7?arch=x86_64&distro=centos-7&epoch=32",
        "pkg:rpm/centos/kernel@3.10.0-1160.el7?arch=x86_64&distro=centos-7",
        "pkg:rpm/centos/kernel@3.10.0-957.el7?arch=x86_64&distro=centos-7",
    ],
    "rhel": ["pkg:rpm/redhat/curl@7.76.1-29.el9?arch=x86_64&distro=rhel-9.4"],
    "opensuse": ["pkg:rpm/opensuse/zypper@1.14.73-1?arch=x86_64&distro=opensuse-leap-15.6"],
    "alpine": ["pkg:apk/alpine/libcurl@8.9.1-r1?arch=x86_64&distro=alpine-3.20.3"],
    "arch": ["pkg:alpm/arch/vim@1:9.1-1?arch=x86_64&distro=arch"],
}
LICENCES = {
    "debian": ["NOASSERTION", "NOASSERTION"],
    "centos": ["LicenseRef-GPLv3-", "LicenseRef-MPLv2.0-", "LicenseRef-GPLv2-", "LicenseRef-GPLv2-"],
    "rhel": ["MIT AND GPL-2.0-or-later WITH Classpath-exception-2.0"],
    "opensuse": ["GPL-2.0-or-later"],
    "alpine": ["curl"],
    "arch": ["LicenseRef-custom-vim-AND-MIT-"],
}


@pytest.fixture
def build(tmp_path: Path) -> Build:
    build = Build(tmp_path / "build")
    build.variables = {"DIB_PYTHON_EXEC": sys.executable, "SOURCE_DATE_EPOCH": "1700000000"}
    (build.directory / "out").mkdir()
    return build.merge("sbom")


def documents(build: Build, table: list[str], os_release: str = "", **variables: str) -> tuple[Any, Any]:
    """The SPDX and the CycloneDX document of a table, after both formats' tools have accepted them."""
    directory = build.tree / "tmp/dib-sbom"
    directory.mkdir()
    (directory / "packages").write_text("".join(f"{line}\n" for line in table))
    if os_release:
        (directory / "os-release").write_text(os_release)
    build.hook(HOST_HOOK, **variables)
    assert not directory.exists()
    spdx, cyclonedx = ((build.directory / f"out/img.{name}.json").read_text() for name in ("spdx", "cdx"))
    assert JsonStrictValidator(SchemaVersion.V1_5).validate_str(cyclonedx) is None
    parsed = JsonLikeDictParser().parse(json.loads(spdx))
    assert [message.validation_message for message in validate_full_spdx_document(parsed)] == []
    return json.loads(spdx), json.loads(cyclonedx)


@pytest.mark.parametrize("distro", TABLES)
def test_documents_are_valid_and_say_what_the_database_says(build: Build, distro: str) -> None:
    spdx, cyclonedx = documents(build, TABLES[distro], OS_RELEASES[distro])
    image, *packages = spdx["packages"]
    assert image["name"] == "img"
    assert [package["externalRefs"][0]["referenceLocator"] for package in packages] == PURLS[distro]
    assert [component["purl"] for component in cyclonedx["components"]] == PURLS[distro]
    for text in PURLS[distro]:
        assert PackageURL.from_string(text).to_string() == text
    declared = [package["licenseDeclared"] for package in packages]
    assert [re.sub("(^Lic.*-)[0-9a-f]{8}$", r"\1", name) for name in declared] == LICENCES[distro]
    quoted = {entry["licenseId"] for entry in spdx.get("hasExtractedLicensingInfos", [])}
    assert quoted == {name for name in declared if name.startswith("LicenseRef-")}
    assert {entry["relationshipType"] for entry in spdx["relationships"]} == {"DESCRIBES", "CONTAINS"}
    assert len(spdx["relationships"]) == len(packages) + 1


def test_versions_suppliers_and_sources(build: Build) -> None:
    spdx, cyclonedx = documents(build, TABLES["debian"], OS_RELEASES["debian"])
    bind, stdcxx = spdx["packages"][1:]
    assert bind["versionInfo"] == "1:9.18-1~deb12u2"
    assert bind["supplier"] == "Person: Ondrej (o@debian.org)"
    assert "homepage" not in bind, "what is no address is left out"
    assert stdcxx["supplier"] == "Organization: Debian GCC Maintainers (g@lists.debian.org)"
    assert stdcxx["sourceInfo"] == "built from the source package gcc-12 12.2.0-14"
    assert cyclonedx["components"][1]["properties"] == [
        {"name": "dib-py:source:name", "value": "gcc-12"},
        {"name": "dib-py:source:version", "value": "12.2.0-14"},
    ]


def test_licences_in_cyclonedx_are_expressions_or_quoted(build: Build) -> None:
    table = [*TABLES["rhel"], *TABLES["arch"], *TABLES["debian"]]
    components = {entry["name"]: entry.get("licenses") for entry in documents(build, table)[1]["components"]}
    assert components["curl"] == [{"expression": "MIT AND GPL-2.0-or-later WITH Classpath-exception-2.0"}]
    assert components["vim"] == [{"license": {"name": "custom:vim AND MIT"}}]
    assert components["libstdc++6"] is None


def test_same_packages_same_bytes(build: Build) -> None:
    one = documents(build, TABLES["centos"])
    assert documents(build, TABLES["centos"][::-1]) == one
    assert one[0]["creationInfo"]["created"] == "2023-11-14T22:13:20Z" == one[1]["metadata"]["timestamp"]
    other = documents(build, TABLES["centos"][:1])
    assert other[0]["documentNamespace"] != one[0]["documentNamespace"]
    assert documents(build, TABLES["arch"], SOURCE_DATE_EPOCH="")[0]["creationInfo"]["created"] > "2024"


def test_this_machine(build: Build, guest: Guest) -> None:
    """A database of real size: all of its texts get through both validators."""
    guest.merge("sbom")
    shutil.copy("/var/lib/dpkg/status", guest.path("/var/lib/dpkg/status"))
    table = ["\t".join(row) for row in rows(guest)]
    assert len(table) > 100
    spdx, _ = documents(build, table, Path("/etc/os-release").read_text())
    assert len(spdx["packages"]) == len(table) + 1


def test_one_format_and_a_copy_in_the_image(build: Build) -> None:
    build.merge("manifests")
    (build.tree / "etc/dib-manifests").mkdir()
    directory = build.tree / "tmp/dib-sbom"
    directory.mkdir()
    (directory / "packages").write_text(f"{TABLES['arch'][0]}\n")
    build.hook(HOST_HOOK, DIB_SBOM_FORMATS="cyclonedx", IMAGE_ELEMENT="arch manifests sbom")
    assert [path.name for path in (build.directory / "out").iterdir()] == ["img.cdx.json"]
    assert [path.name for path in (build.tree / "etc/dib-manifests").iterdir()] == ["sbom.cdx.json"]


def test_links_of_the_guest_lead_nowhere(build: Build) -> None:
    directory = build.tree / "tmp/dib-sbom"
    directory.mkdir()
    (directory / "packages").symlink_to("/etc/passwd")
    result = build.hook(HOST_HOOK, check=False)
    assert result.returncode == 1
    assert "leads out of the guest's tree" in result.stderr


@pytest.mark.parametrize("table", ["no tabs", "deb\t\t1" + "\t" * 6, "deb\tx\t" + "\t" * 6])
def test_a_table_that_is_none(build: Build, table: str) -> None:
    (build.tree / "tmp/dib-sbom").mkdir()
    (build.tree / "tmp/dib-sbom/packages").write_text(table)
    result = build.hook(HOST_HOOK, check=False)
    assert result.returncode == 1
    assert "line 1: not a package" in result.stderr
    assert list((build.directory / "out").iterdir()) == []


def test_an_unknown_format(build: Build) -> None:
    result = build.hook(HOST_HOOK, check=False, DIB_SBOM_FORMATS="swid")
    assert result.returncode == 1
    assert "'swid'; it may have spdx and cyclonedx" in result.stderr


# -- licences


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("MIT", "MIT"),
        ("mit", "MIT"),
        ("GPL-2.0+", "GPL-2.0+"),
        ("Apache-2.0+", "Apache-2.0+"),
        ("MIT and (Zlib or BSD-3-Clause)", "MIT AND (Zlib OR BSD-3-Clause)"),
        ("GPL-2.0-only WITH Linux-syscall-note AND MIT", "GPL-2.0-only WITH Linux-syscall-note AND MIT"),
        *((text, None) for text in ("GPLv2+", "MIT AND custom", "MIT MIT", "MIT AND", "AND MIT", "(MIT", "MIT)", "()")),
        *(
            (text, None)
            for text in ("MIT WITH MIT", "MIT WITH", "WITH", "Linux-syscall-note", "(MIT) WITH Linux-syscall-note")
        ),
        ("GPL-2.0-only WITH Linux-syscall-note WITH Linux-syscall-note", None),
        ("", None),
    ],
)
def test_expressions(text: str, expected: str | None) -> None:
    script = "import sys, licences; print(licences.expression(sys.argv[1]))"
    directory = ELEMENTS / "sbom/sbom"
    done = subprocess.run([sys.executable, "-B", "-c", script, text], cwd=directory, capture_output=True, text=True)
    assert done.stdout == f"{expected}\n", done.stderr


def test_the_program_is_annotated(tmp_path: Path) -> None:
    """What holds for dib_py holds for it."""
    pytest.importorskip("mypy")
    files = sorted(path.name for path in (ELEMENTS / "sbom/sbom").glob("*.py"))
    command = [sys.executable, "-m", "mypy", "--strict", "--python-version=3.10", f"--cache-dir={tmp_path}", *files]
    done = subprocess.run(command, cwd=ELEMENTS / "sbom/sbom", capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
