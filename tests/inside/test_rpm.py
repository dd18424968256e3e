"""An rpm database that rpm itself made, and what is none."""

from __future__ import annotations

import shutil
import sqlite3
import struct
import subprocess
from pathlib import Path

import pytest

from dib_py.inside.rpm import read_sqlite

SPEC = """\
Name: {name}
Version: 1.5
Release: 2
{epoch}
Summary: Nothing
License: MIT
BuildArch: noarch
%description
Nothing.
%files
"""
made_by_rpm = pytest.mark.skipif(shutil.which("rpmbuild") is None, reason="needs rpmbuild")


def database(directory: Path, **epochs: str) -> Path:
    """The directory of a database with these packages."""
    found = directory / "database"
    found.mkdir(parents=True)
    for name, epoch in epochs.items():
        spec = directory / f"{name}.spec"
        spec.write_text(SPEC.format(name=name, epoch=epoch))
        build = ["rpmbuild", "-bb", "--define", f"_topdir {directory / 'rpm'}", spec]
        subprocess.run(build, check=True, capture_output=True)
    install = ["rpm", "--dbpath", found, "--install", "--justdb", "--nodeps"]
    subprocess.run([*install, *(directory / "rpm").rglob("*.rpm")], check=True, capture_output=True)
    return found


@made_by_rpm
def test_packages_of_a_database_that_rpm_made(tmp_path: Path) -> None:
    found = database(tmp_path, tiny="Epoch: 3", other="")
    assert read_sqlite(found / "rpmdb.sqlite") == {"tiny.noarch": "3:1.5-2", "other.noarch": "1.5-2"}


def header(name: str, version: str, release: str) -> bytes:
    """A package as rpm keeps it, with no more than what tells which one it is."""
    index, data = b"", b""
    for tag, text in ((1000, name), (1001, version), (1002, release), (1022, "x86_64")):
        index += struct.pack(">4I", tag, 6, len(data), 1)
        data += text.encode() + b"\0"
    return struct.pack(">II", 4, len(data)) + index + data


def test_kernels_that_are_installed_beside_each_other(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "rpmdb.sqlite") as made:
        made.execute("CREATE TABLE Packages (hnum INTEGER PRIMARY KEY, blob BLOB)")
        for version in ("5.15.0", "5.14.0"):
            made.execute("INSERT INTO Packages (blob) VALUES (?)", (header("kernel-core", version, "1"),))
    made.close()
    assert read_sqlite(tmp_path / "rpmdb.sqlite") == {"kernel-core.x86_64": "5.14.0-1, 5.15.0-1"}


@pytest.mark.parametrize("blob", [b"", b"\0" * 8, b"\xff" * 40, b"\0\0\0\1\0\0\0\1" + b"\0\0\x03\xe8" + b"\xff" * 12])
def test_damaged_headers(tmp_path: Path, blob: bytes) -> None:
    with sqlite3.connect(tmp_path / "rpmdb.sqlite") as made:
        made.execute("CREATE TABLE Packages (hnum INTEGER PRIMARY KEY, blob BLOB)")
        made.execute("INSERT INTO Packages VALUES (1, ?)", (blob,))
    made.close()
    assert read_sqlite(tmp_path / "rpmdb.sqlite") is None


def test_what_is_no_database(tmp_path: Path) -> None:
    (tmp_path / "rpmdb.sqlite").write_bytes(b"not a database" * 100)
    assert read_sqlite(tmp_path / "rpmdb.sqlite") is None
