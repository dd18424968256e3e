"""The packages of an rpm database: SQLite's, which distributions have had since 2020, or what libguestfs can read.

A package is a blob in the table ``Packages``: rpm's header without its magic (rpm's manual, "V4 package format"): the
number of index entries and the bytes of data, both big-endian; entries of tag, type, offset and count; the data.
"""

from __future__ import annotations

import sqlite3
import struct
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from dib_py.errors import TargetError
from dib_py.inside.guests import LinuxGuest, mount
from dib_py.inside.packages import joined
from dib_py.target.guestfs_appliance import Appliance

DATABASES = ("/usr/lib/sysimage/rpm/rpmdb.sqlite", "/var/lib/rpm/rpmdb.sqlite")
_LOG = "-wal"  # beside a database: what SQLite has not put into it yet
_NAME, _VERSION, _RELEASE, _EPOCH, _ARCH = 1000, 1001, 1002, 1003, 1022
_INT32 = 4
_SIGNING_KEY = "gpg-pubkey"  # a key that was imported, and no package


def packages(appliance: Appliance, guest: LinuxGuest, scratch: Path) -> dict[str, str] | None:
    """``epoch:version-release`` by ``name.architecture``, several joined; None for what can't be read here."""
    for database in DATABASES:
        if guest.files.exists(database):
            copy = scratch / "rpmdb.sqlite"
            for end in ("", _LOG):
                if guest.files.exists(database + end):
                    guest.files.fetch(database + end, copy.with_name(copy.name + end))
            return read_sqlite(copy)
    return _ask_libguestfs(appliance, guest)


def read_sqlite(database: Path) -> dict[str, str] | None:
    """What is installed by a database of this machine; None where it is damaged."""
    try:
        with closing(sqlite3.connect(database)) as opened:
            opened.execute("PRAGMA trusted_schema = OFF")  # whoever made it may have put functions into it
            opened.execute("PRAGMA cell_size_check = ON")
            found = joined(_package(blob) for (blob,) in opened.execute("SELECT blob FROM Packages"))
    except (sqlite3.Error, struct.error, ValueError, KeyError, TypeError):
        return None
    return {name: version for name, version in found.items() if not name.startswith(f"{_SIGNING_KEY}.")}


def _package(blob: bytes) -> tuple[str, str]:
    tags = dict(_tags(blob))
    version = f"{tags[_VERSION]}-{tags[_RELEASE]}"
    if _EPOCH in tags:
        version = f"{tags[_EPOCH]}:{version}"
    return f"{tags[_NAME]}.{tags.get(_ARCH, 'none')}", version


def _tags(blob: bytes) -> Iterator[tuple[int, str]]:
    """Those that make a package's name and version."""
    count, size = struct.unpack_from(">II", blob)
    data = blob[8 + 16 * count : 8 + 16 * count + size]
    for entry in range(count):
        tag, kind, offset, _ = struct.unpack_from(">4I", blob, 8 + 16 * entry)
        if tag in (_NAME, _VERSION, _RELEASE, _ARCH):
            yield tag, data[offset : data.index(b"\0", offset)].decode(errors="replace")
        elif tag == _EPOCH and kind == _INT32:
            yield tag, str(struct.unpack_from(">I", data, offset)[0])


def _ask_libguestfs(appliance: Appliance, guest: LinuxGuest) -> dict[str, str] | None:
    """By the appliance's librpm, where that can; libguestfs's inspection takes as long as its start."""

    def ask(handle: Any) -> list[dict[str, Any]]:
        handle.umount_all()  # libguestfs looks at filesystems by mounting them
        roots = handle.inspect_os()
        if len(roots) != 1:
            return []
        for path, device in sorted(handle.inspect_get_mountpoints(roots[0]).items()):
            handle.mount(device, path)  # librpm wants to write, to what is thrown away here
        found: list[dict[str, Any]] = handle.inspect_list_applications2(roots[0])
        return found

    try:
        applications = appliance.call(ask)
    except TargetError:
        applications = []
    finally:
        appliance.call(lambda g: g.umount_all())
        mount(appliance, guest.found)
    return joined((f"{one['app2_name']}.{one['app2_arch']}", _version(one)) for one in applications) or None


def _version(application: dict[str, Any]) -> str:
    version = f"{application['app2_version']}-{application['app2_release']}"
    return f"{application['app2_epoch']}:{version}" if application["app2_epoch"] else version
