"""The packages of package managers' own data."""

from __future__ import annotations

from pathlib import Path

import pytest

from dib_py.inside.difference import PackageChange, compare_packages
from dib_py.inside.packages import Packages, installed, joined, parse_apk, parse_pacman
from tests.inside.here import DirectoryFiles

DPKG = """\
Package: bash
Status: install ok installed
Architecture: amd64
Version: 5.2.15-2+b7

Package: gone
Status: deinstall ok config-files
Architecture: amd64
Version: 1.0
"""
APK = "C:Q1abc=\nP:musl\nV:1.2.5-r0\nA:x86_64\n\nC:Q1def=\nP:busybox\nV:1.36.1-r29\nA:x86_64\nD:so:libc\n"


def unasked() -> dict[str, str]:
    raise AssertionError("there is no rpm database")


def test_dpkg(tmp_path: Path) -> None:
    files = DirectoryFiles.of(tmp_path, {"var/lib/dpkg/status": DPKG})
    assert installed(files, unasked) == Packages("dpkg", {"bash:amd64": "5.2.15-2+b7"})


@pytest.mark.parametrize("place", ["lib/apk/db/installed", "usr/lib/apk/db/installed"])
def test_apk(tmp_path: Path, place: str) -> None:
    files = DirectoryFiles.of(tmp_path, {place: APK})
    assert installed(files, unasked) == Packages("apk", {"musl": "1.2.5-r0", "busybox": "1.36.1-r29"})


def test_pacman(tmp_path: Path) -> None:
    local = "var/lib/pacman/local"
    files = DirectoryFiles.of(tmp_path, {f"{local}/ALPM_DB_VERSION": "9", f"{local}/gcc-libs-14.1.1+r58-1/desc": ""})
    assert installed(files, unasked) == Packages("pacman", {"gcc-libs": "14.1.1+r58-1"})


@pytest.mark.parametrize("place", ["var/lib/rpm/Packages", "usr/lib/sysimage/rpm/rpmdb.sqlite"])
def test_rpm(tmp_path: Path, place: str) -> None:
    files = DirectoryFiles.of(tmp_path, {place: ""})
    assert installed(files, lambda: {"bash.x86_64": "5.1-1"}) == Packages("rpm", {"bash.x86_64": "5.1-1"})


def test_an_rpm_database_that_cannot_be_read(tmp_path: Path) -> None:
    files = DirectoryFiles.of(tmp_path, {"var/lib/rpm/Packages": ""})
    assert installed(files, lambda: None) == Packages("rpm", {}, is_read=False)


def test_none(tmp_path: Path) -> None:
    assert installed(DirectoryFiles.of(tmp_path, {"etc/motd": ""}), unasked) == Packages("", {})


@pytest.mark.parametrize("text", ["", "\n\n\n", "P", "V:1\n", "not an apk database\nat all"])
def test_odd_databases_are_empty(text: str) -> None:
    assert parse_apk(text) == {}


def test_odd_directories_are_no_packages() -> None:
    assert parse_pacman(["ALPM_DB_VERSION", "one-dash", "-1-2", "a-1-2"]) == {"a": "1-2"}


def test_several_versions_of_one_name_are_all_told() -> None:
    found = joined([("kernel-core.x86_64", "5.15-1"), ("bash.x86_64", "5.1-1"), ("kernel-core.x86_64", "5.14-1")])
    assert found == {"kernel-core.x86_64": "5.14-1, 5.15-1", "bash.x86_64": "5.1-1"}
    assert Packages("rpm", found).count == 3


def test_differences() -> None:
    before = Packages("dpkg", {"same": "1", "gone": "1", "newer": "1"})
    after = Packages("dpkg", {"same": "1", "newer": "2", "came": "1"})
    assert list(compare_packages(before, after)) == [
        PackageChange("came", "", "1"),
        PackageChange("gone", "1", ""),
        PackageChange("newer", "1", "2"),
    ]
