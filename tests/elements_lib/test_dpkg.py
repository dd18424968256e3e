"""The dpkg element in a guest: installing, what holds for the time of the build, and what the image keeps."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .conftest import Guest

APT = (
    "apt-get --option Dpkg::Options::=--force-confold --option Dpkg::Options::=--force-confdef"
    " --option DPkg::Lock::Timeout=120 --assume-yes"
)


@pytest.fixture
def dpkg(guest: Guest) -> Guest:
    guest.merge("dpkg", "pkg-map", "manifests")
    guest.variables["IMAGE_NAME"] = "/somewhere/img"
    guest.fake("apt-get")
    return guest


@pytest.mark.parametrize(
    ("arguments", "call"),
    [
        (["a", "b"], "install a b"),
        (["-e", "a"], "remove a"),
        (["a", "-e"], "remove a"),
        (["-u"], "dist-upgrade"),
        (["-m", "web", "server", "tools"], "install apache2 one two"),
        (["-mweb", "server"], "install apache2"),
        (["-e", "-m", "web", "server"], "remove apache2"),
    ],
)
def test_install_packages(dpkg: Guest, arguments: list[str], call: str) -> None:
    dpkg.write("/usr/share/pkg-map/web", json.dumps({"default": {"server": "apache2", "tools": "one two", "none": ""}}))
    dpkg.run("install-packages", *arguments)
    assert dpkg.calls == [f"{APT} {call}"]


def test_nothing_to_install_is_no_error(dpkg: Guest) -> None:
    dpkg.write("/usr/share/pkg-map/web", json.dumps({"default": {"none": ""}}))
    for arguments in (["-m", "web", "none"], [], ["-e"]):
        assert "nothing to" in dpkg.run("install-packages", *arguments).stdout
    assert dpkg.calls == []


@pytest.mark.parametrize("arguments", [["--upgrade"], ["-x", "a"], ["-m"], ["-m", "web", "unknown"]])
def test_what_install_packages_refuses(dpkg: Guest, arguments: list[str]) -> None:
    dpkg.write("/usr/share/pkg-map/web", json.dumps({"default": {}}))
    assert dpkg.run("install-packages", *arguments, check=False).returncode == 1
    assert dpkg.calls == []


def test_a_failed_install_is_told(dpkg: Guest) -> None:
    dpkg.fake("apt-get", "exit 100")
    assert dpkg.run("install-packages", "a", check=False).returncode == 100


def test_a_package_that_takes_the_resolver_gets_it_in_the_image_only(dpkg: Guest) -> None:
    dpkg.write("/etc/resolv.conf", "nameserver 192.0.2.1\nsearch example\n")
    dpkg.fake("apt-get", "ln -sf ../run/systemd/resolve/stub-resolv.conf /etc/resolv.conf; exit 3")
    assert dpkg.run("install-packages", "systemd-resolved", check=False).returncode == 3
    assert dpkg.read("/etc/resolv.conf") == "nameserver 192.0.2.1\nsearch example\n"
    assert str((dpkg.root / "etc/resolv.conf.ORIG").readlink()) == "../run/systemd/resolve/stub-resolv.conf"


def test_services_do_not_start_until_the_end(dpkg: Guest) -> None:
    dpkg.write("/etc/apt/apt.conf.d/01keep", "")
    dpkg.write("/etc/dpkg/dpkg.cfg.d/keep", "")
    dpkg.hook("pre-install.d/00-dpkg-build-settings")
    assert dpkg.run("/usr/sbin/policy-rc.d", check=False).returncode == 101
    dpkg.hook("finalise.d/99-dpkg-remove-build-settings")
    assert not dpkg.exists("/usr/sbin/policy-rc.d")
    assert [path.name for path in (dpkg.root / "etc/apt/apt.conf.d").iterdir()] == ["01keep"]
    assert [path.name for path in (dpkg.root / "etc/dpkg/dpkg.cfg.d").iterdir()] == ["keep"]


def test_the_image_keeps_that_nothing_is_only_recommended(dpkg: Guest) -> None:
    dpkg.write("/etc/apt/apt.conf.d/01keep", "")
    dpkg.hook("pre-install.d/00-disable-apt-recommends")
    assert 'Install-Recommends "0"' in dpkg.read("/etc/apt/apt.conf.d/95disable-recommends")


def test_lists_are_fetched_early_only_where_there_are_none(dpkg: Guest) -> None:
    dpkg.hook("pre-install.d/02-apt-get-update")
    assert dpkg.calls == ["apt-get --yes --option APT::Update::Error-Mode=any update"]
    dpkg.write("/var/lib/apt/lists/mirror_dists_bookworm_main_binary-amd64_Packages.lz4", "")
    dpkg.hook("pre-install.d/02-apt-get-update")
    assert len(dpkg.calls) == 1


def test_lists_are_fetched_again_only_for_new_sources(dpkg: Guest) -> None:
    dpkg.hook("pre-install.d/02-apt-get-update")
    dpkg.hook("pre-install.d/99-apt-get-update")
    assert len(dpkg.calls) == 1
    time.sleep(0.02)
    dpkg.write("/etc/apt/sources.list.d/new.list", "")
    dpkg.hook("pre-install.d/99-apt-get-update")
    assert len(dpkg.calls) == 2


REAL = '#!/bin/sh\necho "$*" >> /opt/initramfs\n'


class TestInitramfs:
    def test_it_is_made_once_for_all_packages(self, dpkg: Guest) -> None:
        dpkg.write("/usr/sbin/update-initramfs", REAL, 0o755)
        for version in ("6.1.0-1", "6.1.0-2", "5.10-removed"):
            (dpkg.usr / "lib/modules" / version).mkdir(parents=True)
        for name in ("vmlinuz-6.1.0-1", "vmlinuz-6.1.0-2", "initrd.img-6.1.0-1"):
            dpkg.write(f"/boot/{name}", "")
        dpkg.hook("pre-install.d/01-hold-initramfs")
        for _ in range(3):
            dpkg.run("update-initramfs", "-u", DPKG_MAINTSCRIPT_PACKAGE="linux-image")
        dpkg.run("update-initramfs", "-u", DPKG_MAINTSCRIPT_PACKAGE="", DPKG_RUNNING_VERSION="1.22")  # its own trigger
        assert not (dpkg.root / "opt/initramfs").exists()
        dpkg.hook("install.d/98-make-initramfs")
        assert dpkg.read("/opt/initramfs").splitlines() == ["-u -k 6.1.0-1", "-c -k 6.1.0-2"]
        assert dpkg.read("/usr/sbin/update-initramfs") == REAL
        assert dpkg.read("/var/lib/dpkg/diversions") == ""
        assert not (dpkg.root / "var/lib/dib-initramfs-held").exists()

    def test_a_hook_that_asks_itself_gets_it_at_once(self, dpkg: Guest) -> None:
        dpkg.write("/usr/sbin/update-initramfs", REAL, 0o755)
        dpkg.hook("pre-install.d/01-hold-initramfs")
        dpkg.run("update-initramfs", "-u")
        assert dpkg.read("/opt/initramfs") == "-u\n"
        dpkg.hook("install.d/98-make-initramfs")
        assert dpkg.read("/opt/initramfs") == "-u\n"

    def test_an_image_without_it_gets_none(self, dpkg: Guest) -> None:
        dpkg.path("/usr/sbin").mkdir(exist_ok=True)
        dpkg.run("rm", "-f", "/usr/sbin/update-initramfs")
        dpkg.hook("pre-install.d/01-hold-initramfs")
        dpkg.run("update-initramfs", "-u", DPKG_MAINTSCRIPT_PACKAGE="x")
        dpkg.hook("install.d/98-make-initramfs")
        assert not dpkg.exists("/usr/sbin/update-initramfs")


def test_the_manifest_is_json(dpkg: Guest) -> None:
    status = "".join(
        f"Package: {name}\nStatus: install ok installed\nArchitecture: amd64\nVersion: {version}\n"
        f"Maintainer: x\nDescription: x\n\n"
        for name, version in (("apt", "2.6.1"), ("bash", "5.2.15-2+b2"))
    )
    dpkg.write("/var/lib/dpkg/status", status)
    dpkg.hook("finalise.d/99-write-dpkg-manifest")
    listed = json.loads(dpkg.read("/etc/dib-manifests/dib-manifest-dpkg-img"))["packages"]
    assert [(entry["package"], entry["version"]) for entry in listed] == [("apt", "2.6.1"), ("bash", "5.2.15-2+b2")]
    assert listed[0]["arch"] == "amd64"
    assert listed[0]["status"].strip() == "ii"


def test_what_was_downloaded_goes(dpkg: Guest) -> None:
    dpkg.write("/var/lib/apt/lists/x_Packages", "")
    dpkg.hook("finalise.d/99-clean-up-cache", DIB_DISABLE_APT_CLEANUP="1")
    assert dpkg.calls == []
    dpkg.hook("finalise.d/99-clean-up-cache")
    assert dpkg.calls == ["apt-get clean"]
    assert [path.name for path in (dpkg.root / "var/lib/apt/lists").iterdir()] == ["partial"]
