"""The files of a guest as a stream of entries, in one order for all guests, so that two streams can be compared.

``find`` and ``sort`` do it in the appliance: links are not followed, and nothing is kept in memory here but what is
being compared.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from dib_py.errors import TargetError
from dib_py.target.guestfs_runner import Runner, Script

_LIMIT = 1800.0  # seconds; a Windows has 300,000 files
_CHUNK = 1024**2
_CLOSED = "unsupported reparse tag"
_FIELDS = 6  # before a link's target
# A path never has "//" in it, so that records sort as their paths do, and end where the next begins.
_LIST = r"""
cd "/sysroot$1"
find . -mindepth 1 -printf '%P//%y %m %U %G %s %T@ %l\0' 2>/run/dib/unseen | sort -z
"""
_UNSEEN = "wc -l </run/dib/unseen"
_DIGEST = r"""
cd "/sysroot$1"
xargs -0 -r sha256sum -z -- 2>/dev/null || [ $? = 123 ] # some can't be read
"""


@dataclass(frozen=True)
class Entry:
    """One file: ``path`` from its volume's root, ``kind`` as find has it (f, d, l ...), ``mode`` in octal digits."""

    path: str
    kind: str
    mode: str
    owner: str  # uid:gid
    size: int
    changed: str  # when its content was, in seconds since 1970
    link: str = ""

    @property
    def is_closed(self) -> bool:
        """Whether it is a file that ntfs-3g can't read, as CompactOS compresses them: it shows a link that says so."""
        return self.kind == "l" and self.link.startswith(_CLOSED)

    @property
    def place(self) -> bytes:
        """By which entries are in order."""
        return os.fsencode(self.path) + b"//"


@dataclass(frozen=True)
class Listing:
    """Entries in a ``file`` of this machine; ``unseen`` is how many a damaged filesystem did not show."""

    file: Path
    unseen: int = 0


def listed(runner: Runner, point: str, scratch: Path) -> Listing:
    """List what is mounted at ``point`` to a new file of ``scratch``."""
    destination = scratch / f"files-{point.strip('/') or 'root'}"
    with destination.open("wb") as file:

        def write(chunk: bytes) -> None:
            file.write(chunk)

        code = runner.run(Script(_LIST, [point]), write, _LIMIT)
    if code:
        raise TargetError(f"the files of the image can't be listed: find ended with exit code {code}")
    return Listing(destination, int(runner.check(_UNSEEN)))


def read(listing: Listing) -> Iterator[Entry]:
    """The entries of a listing, in order; TargetError for what is none."""
    with listing.file.open("rb") as file:
        rest = b""
        while chunk := file.read(_CHUNK):
            *records, rest = (rest + chunk).split(b"\0")
            yield from map(_entry, records)
    if rest:
        raise TargetError(f"the list of the image's files is cut off: {rest[:200]!r}")


def digests(runner: Runner, point: str, paths: Iterable[str]) -> dict[str, str]:
    """The SHA-256 of files of what is mounted at ``point``, by path; without those that can't be read there."""
    wanted = b"".join(b"./" + os.fsencode(path) + b"\0" for path in paths)
    printed = bytearray()
    if not wanted:
        return {}
    code = runner.run(Script(_DIGEST, [point], wanted), printed.extend, _LIMIT)
    found = {}
    for line in bytes(printed).split(b"\0"):
        digest, _, path = line.partition(b"  ./")
        if path:
            found[os.fsdecode(path)] = digest.decode("ascii", "replace")
    if code:
        raise TargetError(f"files of the image can't be read: xargs ended with exit code {code}")
    return found


def _entry(record: bytes) -> Entry:
    path, _, rest = record.partition(b"//")
    fields = os.fsdecode(rest).split(" ", _FIELDS)
    if len(fields) != _FIELDS + 1:
        raise TargetError(f"the list of the image's files can't be read: {record[:200]!r}")
    kind, mode, user, group, size, changed, link = fields
    return Entry(os.fsdecode(path), kind, mode, f"{user}:{group}", int(size), changed, link)
