"""The archive of the guest's files as an image layer is to have it.

Without holes (the OCI image specification advises against them, and programs that put layers together again, such as
tar-split, don't know them), without SELinux labels (a container gets those of the machine that runs it) and with names
that begin without ``./``.
"""

from __future__ import annotations

import tarfile
from collections.abc import Callable
from typing import IO

_CHUNK = 1024 * 1024
_LEFT_OUT = ("GNU.sparse.", "SCHILY.acl.", "SCHILY.xattr.security.selinux", "RHT.security.selinux")
_NAMES = ("path", "linkpath", "size")  # made anew from the member


def rewrite(archive: IO[bytes], write: Callable[[bytes], object]) -> None:
    """Read a tar archive from a pipe to its end, and write it as a layer; tarfile.TarError where it is none."""
    with tarfile.open(fileobj=archive, mode="r|", encoding="utf-8", errors="surrogateescape") as members:
        for member in members:
            _write_member(members, member, write)
            members.members = []  # type: ignore[attr-defined] # it would keep them all
    write(bytes(2 * tarfile.BLOCKSIZE))


def _write_member(archive: tarfile.TarFile, member: tarfile.TarInfo, write: Callable[[bytes], object]) -> None:
    content = archive.extractfile(member) if member.isreg() else None
    member.name = member.name.removeprefix("./")
    if member.islnk():
        member.linkname = member.linkname.removeprefix("./")
    if member.isreg():
        member.type = tarfile.REGTYPE  # a file with holes has a type of its own in older archives
    member.pax_headers = {
        name: value
        for name, value in member.pax_headers.items()
        if not name.startswith(_LEFT_OUT) and name not in _NAMES
    }
    write(member.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape"))
    if content is not None:
        while chunk := content.read(_CHUNK):
            write(chunk)
        write(bytes(-member.size % tarfile.BLOCKSIZE))
