"""The yum element, mirrors and EPEL in a guest whose package manager is a fake program."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .conftest import Guest

# what CentOS 7, Rocky Linux, AlmaLinux, Fedora and CentOS Stream publish
CENTOS7 = """\
[base]
name=CentOS-$releasever - Base
mirrorlist=http://mirrorlist.centos.org/?release=$releasever&arch=$basearch&repo=os&infra=$infra
#baseurl=http://mirror.centos.org/centos/$releasever/os/$basearch/
gpgcheck=1
gpgkey=file:///etc/pki/rpm-gpg/RPM-GPG-KEY-CentOS-7
"""
OTHERS = "[mine]\nname=mine\nmirrorlist=http://mirror.example.com/list\n#baseurl=http://mirror.example.com/mine/\n"
ROCKY = """\
[baseos]
name=Rocky Linux $releasever - BaseOS
mirrorlist=https://mirrors.rockylinux.org/mirrorlist?arch=$basearch&repo=BaseOS-$releasever$rltype
#baseurl=http://dl.rockylinux.org/$contentdir/$releasever/BaseOS/$basearch/os/
enabled=1
"""
ALMALINUX = """\
[baseos]
name=AlmaLinux $releasever - BaseOS
mirrorlist=https://mirrors.almalinux.org/mirrorlist/$releasever/baseos
# baseurl=https://repo.almalinux.org/almalinux/$releasever/BaseOS/$basearch/os/
enabled=1
"""
FEDORA = """\
[fedora]
name=Fedora $releasever - $basearch
#baseurl=http://download.example/pub/fedora/linux/releases/$releasever/Everything/$basearch/os/
metalink=https://mirrors.fedoraproject.org/metalink?repo=fedora-$releasever&arch=$basearch
enabled=1
"""
STREAM = """\
[baseos]
name=CentOS Stream $releasever - BaseOS
metalink=https://mirrors.centos.org/metalink?repo=centos-baseos-$stream&arch=$basearch&protocol=https,http
enabled=1
"""
EXTRAS = """\
[extras-common]
name=CentOS Stream $releasever - Extras packages
metalink=https://mirrors.centos.org/metalink?repo=centos-extras-sig-extras-common-$stream&arch=$basearch
enabled=1
"""
EPEL = """\
[epel]
name=Extra Packages for Enterprise Linux 7 - $basearch
#baseurl=http://download.fedoraproject.org/pub/epel/7/$basearch
metalink=https://mirrors.fedoraproject.org/metalink?repo=epel-7&arch=$basearch
enabled=1
"""


@pytest.fixture
def yum(guest: Guest) -> Guest:
    guest.merge("yum", "pkg-map")
    guest.variables |= {"DISTRO_NAME": "centos", "DIB_RELEASE": "7", "ARCH": "amd64", "YUM": "yum"}
    guest.fake("yum")
    guest.fake("dnf")
    guest.fake("rpm", 'case "$*" in *" old"*) exit 0;; esac; exit 1')
    guest.run("mkdir", "-p", "/etc/yum.repos.d")
    return guest


INSTALL = "yum -y --setopt=skip_missing_names_on_install=0 install"


@pytest.mark.parametrize(
    ("arguments", "call"),
    [
        (["a", "b"], f"{INSTALL} a b"),
        (["-e", "a"], "yum -y remove a"),
        (["a", "-e"], "yum -y remove a"),
        (["-u"], "yum -y upgrade"),
        (["-m", "web", "server", "tools"], f"{INSTALL} httpd one two"),
        (["-mweb", "server"], f"{INSTALL} httpd"),
    ],
)
def test_install_packages(yum: Guest, arguments: list[str], call: str) -> None:
    packages = {"family": {"redhat": {"server": "httpd"}}, "default": {"server": "apache2", "tools": "one two"}}
    yum.write("/usr/share/pkg-map/web", json.dumps(packages))
    yum.run("install-packages", *arguments)
    assert [one for one in yum.calls if one.startswith("yum")] == [call]


def test_old_names_are_translated(yum: Guest) -> None:
    yum.write("/usr/local/bin/map-packages", yum.hooks.joinpath("pkg-map-commands/map-packages").read_text(), 0o755)
    yum.run("install-packages", "libssl-dev", "vlan")
    assert yum.calls[-1] == f"{INSTALL} openssl-devel vconfig"


def test_what_is_asked_for_stays_with_dnf(yum: Guest) -> None:
    yum.run("install-packages", "old", "new", YUM="dnf")
    assert [one for one in yum.calls if one.startswith("dnf")] == ["dnf -y install old new", "dnf -y mark install old"]
    yum.write("/opt/fake/dnf5", yum.read("/opt/fake/dnf"), 0o755)
    (yum.root / "opt/fake/dnf").unlink()
    (yum.root / "opt/fake/dnf").symlink_to("dnf5")
    yum.run("install-packages", "old", YUM="dnf")
    assert yum.calls[-1] == "dnf -y mark user old"


def test_what_is_not_to_be_had_is_left_out(yum: Guest) -> None:
    yum.write("/tmp/yum-blacklist", "dkms other\ngcc-c++\n")
    result = yum.run("install-packages", "dkms", "dkms-tools", "gcc-c++", "gcc-c")
    assert "dkms is not available for centos" in result.stderr
    assert yum.calls[-1] == f"{INSTALL} dkms-tools gcc-c"


def test_downloads(yum: Guest) -> None:
    yum.run("install-packages", "-d", "/root/down", "a", YUM="dnf")
    assert yum.calls == ["dnf -y download --destdir=/root/down a"]
    yum.fake("yumdownloader")
    yum.run("install-packages", "-d", "/root/down", "a")
    assert yum.calls[1:] == ["yumdownloader --destdir=/root/down a"]


def test_offline_only_the_cache_counts(yum: Guest) -> None:
    yum.fake("yum", "exit 1")
    result = yum.run("install-packages", "a", check=False, DIB_OFFLINE="1")
    assert result.returncode == 1
    assert yum.calls[-1] == "yum -y -C --setopt=skip_missing_names_on_install=0 install a"
    assert "build once without --offline" in result.stderr


@pytest.mark.parametrize("arguments", [["--upgrade"], ["-x", "a"], ["-m"], ["-d"]])
def test_what_install_packages_refuses(yum: Guest, arguments: list[str]) -> None:
    assert yum.run("install-packages", *arguments, check=False).returncode == 1
    assert yum.calls == []


def test_nothing_to_install_is_no_error(yum: Guest) -> None:
    for arguments in ([], ["-e"]):
        assert "nothing to" in yum.run("install-packages", *arguments).stdout
    assert yum.calls == []


def test_a_package_that_takes_the_resolver_gets_it_in_the_image_only(yum: Guest) -> None:
    yum.write("/etc/resolv.conf", "nameserver 192.0.2.1\n")
    yum.fake("yum", "ln -sf ../run/systemd/resolve/stub-resolv.conf /etc/resolv.conf; exit 3")
    assert yum.run("install-packages", "systemd-resolved", check=False).returncode == 3
    assert yum.read("/etc/resolv.conf") == "nameserver 192.0.2.1\n"
    assert str((yum.root / "etc/resolv.conf.ORIG").readlink()) == "../run/systemd/resolve/stub-resolv.conf"


SETTINGS = "pre-install.d/00-01-yum-build-settings"
UNDO = "finalise.d/99-yum-remove-build-settings"
YUM_CONF = "[main]\ncachedir=/var/cache/yum/$basearch/$releasever\nkeepcache=0\nobsoletes=1\n"


@pytest.mark.parametrize(
    ("manager", "file", "text"),
    [
        ("yum", "/etc/yum.conf", YUM_CONF),
        ("dnf", "/etc/dnf/dnf.conf", "[main]\ngpgcheck=1\n"),
        ("dnf", "/etc/dnf/dnf.conf", "# x\n[main]\nkeepcache = False\ncachedir=/elsewhere\n[other]\nkeepcache=0\n"),
    ],
)
def test_settings_of_the_build_go_again(yum: Guest, manager: str, file: str, text: str) -> None:
    yum.write(file, text)
    for _ in range(2):
        yum.hook(SETTINGS, YUM=manager)
        during = yum.read(file)
        assert during.count("\nkeepcache=1\n") == 1
        assert ("\ncachedir=/var/cache/dnf\n" in during) == (manager == "dnf")
        assert "\nkeepcache=0" not in during.partition("[other]")[0]
    yum.hook(UNDO, YUM=manager)
    assert yum.read(file) == text


def test_an_image_without_a_configuration_gets_none(yum: Guest) -> None:
    yum.hook(SETTINGS, YUM="dnf")
    assert "keepcache=1" in yum.read("/etc/dnf/dnf.conf")
    yum.hook(UNDO, YUM="dnf")
    assert not yum.exists("/etc/dnf/dnf.conf")


def test_caches_are_empty_at_the_end(yum: Guest) -> None:
    yum.write("/var/cache/yum/x86_64/7/base/packages/a.rpm", "")
    yum.write("/var/cache/dnf/base-1/repodata/repomd.xml", "")
    yum.write("/var/lib/rpm/__db.001", "")
    yum.hook(UNDO)
    assert not list((yum.root / "var/cache/yum").iterdir())
    assert not yum.exists("/var/cache/dnf")
    assert not yum.exists("/var/lib/rpm/__db.001")


def test_repositories_of_the_build_go_again(yum: Guest) -> None:
    (yum.hooks / "yum-repo-conf").mkdir()
    (yum.hooks / "yum-repo-conf/ours.repo").write_text("[ours]\n")
    yum.write("/etc/yum.repos.d/theirs.repo", "[theirs]\n")
    yum.hook("pre-install.d/00-yum-repo-conf")
    assert yum.read("/etc/yum.repos.d/ours.repo") == "[ours]\n"
    yum.hook(UNDO, DIB_YUM_REPO_CONF="/some/where/ours.repo")
    assert [path.name for path in (yum.root / "etc/yum.repos.d").iterdir()] == ["theirs.repo"]


def test_packages_with_repositories_and_module_streams(yum: Guest) -> None:
    yum.hook("pre-install.d/00-yum-repo-package", DIB_YUM_REPO_PACKAGE="one https://x/two.rpm")
    yum.hook("pre-install.d/01-dnf-module-streams", DIB_DNF_MODULE_STREAMS="virt:8 a:b")
    yum.hook("pre-install.d/01-dnf-module-streams", DIB_DNF_MODULE_STREAMS="virt:8 a:b", YUM="dnf")
    assert yum.calls == [
        "yum -y install one https://x/two.rpm",
        *(f"dnf -y module {what}" for what in ("reset virt", "enable virt:8", "reset a", "enable a:b")),
    ]


def test_metadata_is_asked_for_again_but_not_offline(yum: Guest) -> None:
    yum.hook("pre-install.d/02-yum-expire-metadata")
    yum.write("/var/cache/yum/x86_64/7/base/repomd.xml", "x")
    yum.hook("pre-install.d/02-yum-expire-metadata", DIB_OFFLINE="1")
    assert yum.calls == []
    yum.hook("pre-install.d/02-yum-expire-metadata")
    assert yum.calls == ["yum -q clean expire-cache"]


# -- mirrors


@pytest.mark.parametrize(
    ("element", "text", "base"),
    [
        ("rocky", ROCKY, "https://m.example/d/$releasever/BaseOS/$basearch/os/"),
        ("almalinux", ALMALINUX, "https://m.example/d/$releasever/BaseOS/$basearch/os/"),
        ("fedora", FEDORA, "https://m.example/d/releases/$releasever/Everything/$basearch/os/"),
        ("centos", STREAM, "https://m.example/d/10-stream/BaseOS/$basearch/os/"),
    ],
)
def test_a_mirror(yum: Guest, element: str, text: str, base: str) -> None:
    yum.merge(element)
    yum.write(f"/etc/yum.repos.d/{element}.repo", text)
    yum.write("/etc/yum.repos.d/mine.repo", OTHERS)
    hook = f"pre-install.d/00-02-set-{element}-mirror"
    variables = {"DIB_RPM_ARCH": "x86_64", "DIB_RELEASE": "10-stream" if element == "centos" else "10"}
    yum.hook(hook, **variables)
    assert yum.read(f"/etc/yum.repos.d/{element}.repo") == text
    for _ in range(2):
        yum.hook(hook, DIB_DISTRIBUTION_MIRROR="https://m.example/d/", **variables)
        found = yum.read(f"/etc/yum.repos.d/{element}.repo")
        assert f"\nbaseurl={base}\n" in found
        assert "mirrorlist" not in found
        assert "metalink" not in found
        assert yum.read("/etc/yum.repos.d/mine.repo") == OTHERS


def test_a_mirror_of_centos_extras(yum: Guest) -> None:
    yum.merge("centos")
    yum.write("/etc/yum.repos.d/centos-addons.repo", EXTRAS)
    yum.hook(
        "pre-install.d/00-02-set-centos-mirror",
        DIB_RPM_ARCH="x86_64",
        DIB_RELEASE="10-stream",
        DIB_DISTRIBUTION_MIRROR="https://m.example/d",
    )
    found = yum.read("/etc/yum.repos.d/centos-addons.repo")
    assert "\nbaseurl=https://m.example/d/SIGs/10-stream/extras/$basearch/extras-common/\n" in found


def test_centos7_says_that_it_is_past_its_end(yum: Guest) -> None:
    yum.merge("rpm-distro", "centos7")
    yum.write("/etc/yum.repos.d/CentOS-Base.repo", CENTOS7 + OTHERS)
    yum.write("/etc/yum/pluginconf.d/fastestmirror.conf", "[main]\nenabled=1\n")
    result = yum.hook("pre-install.d/00-02-set-centos7-mirror")
    assert "past its end of life" in result.stdout
    found = yum.read("/etc/yum.repos.d/CentOS-Base.repo")
    assert "\nbaseurl=https://vault.centos.org/centos/$releasever/os/$basearch/\n" in found
    assert "mirrorlist.centos.org" not in found
    assert found.endswith(OTHERS)
    assert yum.read("/etc/yum/pluginconf.d/fastestmirror.conf") == "[main]\nenabled=0\n"


# -- EPEL


def epel(yum: Guest, **variables: str) -> str:
    yum.merge("epel")
    yum.write("/opt/epel.repo", EPEL)
    yum.fake("yum", "cp /opt/epel.repo /etc/yum.repos.d/")
    yum.fake("dnf", "cp /opt/epel.repo /etc/yum.repos.d/")
    yum.hook("pre-install.d/05-epel-release", **variables)
    return yum.read("/etc/yum.repos.d/epel.repo")


def test_epel_of_release_7_comes_from_the_archive(yum: Guest) -> None:
    found = epel(yum)
    assert yum.calls[-1] == f"{INSTALL} epel-release"
    assert "\nbaseurl=https://archives.fedoraproject.org/pub/archive/epel/7/$basearch\n" in found
    assert "metalink" not in found


def test_epel_with_and_without_a_mirror(yum: Guest) -> None:
    assert epel(yum, DIB_RELEASE="9-stream", YUM="dnf") == EPEL
    found = epel(yum, DIB_RELEASE="9-stream", YUM="dnf", DIB_EPEL_MIRROR="https://m.example/epel")
    assert "\nbaseurl=https://m.example/epel/7/$basearch\n" in found


def test_epel_that_is_there_and_not_used(yum: Guest) -> None:
    assert "enabled=0" in epel(yum, DIB_EPEL_DISABLED="1")


def test_epel_for_rhel_is_what_epel_publishes(yum: Guest) -> None:
    epel(yum, DISTRO_NAME="rhel", DIB_RELEASE="9.4", YUM="dnf")
    package = "https://dl.fedoraproject.org/pub/epel/epel-release-latest-9.noarch.rpm"
    assert yum.calls[-1] == f"dnf -y install {package}"


def test_no_epel_for_fedora(yum: Guest) -> None:
    yum.merge("epel")
    assert "no EPEL for fedora" in yum.hook("pre-install.d/05-epel-release", DISTRO_NAME="fedora").stdout
    assert yum.calls == []
