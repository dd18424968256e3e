"""What host-side hooks wrote on this machine goes into the guest piece by piece: each time what changed since the last.

The directory that they wrote is either the whole tree of the guest, or the upper directory of an overlay above it. The
overlay's lower directory then shows what was put into the guest, as overlayfs does not expect; it does no harm as long
as all of that is hidden by the upper one. What is no directory hides; a directory that the guest did not have is made
opaque, or overlayfs would merge it, one day, with what the guest has by then.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from dib_py import overlay
from dib_py.artefacts import trees
from dib_py.target.guestfs_files import TAR_CREATE

# Run in the appliance, or wherever the guest's root is: $1 is that, $2 what the archive is read from. Input, each path
# ended by NUL: what is to be removed, an empty path, and what is to be removed if it is a directory.
RECEIVE = r"""
cd "$1"
{
    while IFS= read -r -d '' path && [ -n "$path" ]; do printf '%s\0' "$path"; done
    while IFS= read -r -d '' path; do
        if [ -d "$path" ] && [ ! -L "$path" ]; then printf '%s\0' "$path"; fi
    done
} | xargs -0 -r rm -rf --one-file-system --
exec tar --extract --file="$2" --read-full-records --same-permissions --numeric-owner --acls --xattrs \
    --xattrs-include='*' --delay-directory-restore --warning=no-timestamp
"""


@dataclass(frozen=True)
class Push:
    """What the guest lacks, as paths relative to its root: remove ``removed``, and ``no_directories`` if they are some;
    then put ``present`` in, parents first, directories without what is in them."""

    removed: tuple[str, ...]
    no_directories: tuple[str, ...]
    present: tuple[str, ...]

    def __bool__(self) -> bool:
        return bool(self.present)

    def removals(self) -> bytes:
        """The input of ``RECEIVE``."""
        return _named(self.removed) + b"\0" + _named(self.no_directories)

    def members(self) -> bytes:
        """The input of :meth:`Pushed.archive`."""
        return _named(self.present)


def _named(paths: Iterable[str]) -> bytes:
    return b"".join(b"./" + os.fsencode(path) + b"\0" for path in paths)


class Pushed:
    """What the guest has of a directory of this machine."""

    def __init__(self, source: Path, lower: Path | None = None) -> None:
        """``source``: an empty directory, all of whose content goes into an empty guest, or the upper directory of an
        overlay above ``lower``, which is what the guest has."""
        self._source = source
        self._lower = lower
        self._state: trees.State = {} if lower is None else trees.scan(source)
        self._found: trees.State = self._state

    def next(self) -> Push:
        """What is to be done now, with nobody writing until :meth:`done`."""
        found = trees.scan(self._source)
        alone = set(found) if self._lower is None else self._alone(found, self._lower)
        difference = trees.compare(self._state, found, self._lower)
        self._found = found
        changed = {*difference.present, *difference.removed}
        # tar, and what removes, change the times of the directories around
        around = {*difference.touched, *(trees.parent(path) for path in changed if path)}
        return Push(
            tuple(difference.removed),
            tuple(path for path in difference.present if not found[path].is_directory and path not in alone),
            tuple(sorted(found.keys() & {*difference.present, *around}, key=_parents_first)),
        )

    def done(self) -> None:
        """What the last :meth:`next` said is in the guest now."""
        self._state = self._found

    def archive(self) -> list[str]:
        """argv of a program that writes an archive of what its input names."""
        return [*TAR_CREATE, "--sparse", f"--directory={self._source}", "--no-recursion", "--null", "--files-from=-"]

    def _alone(self, found: dict[str, trees.Node], lower: Path) -> set[str]:
        """The paths below which the guest has nothing but what came from here; new ones of them are made so."""
        alone: set[str] = set()
        for path in sorted(found):
            node = found[path]
            if trees.parent(path) in alone or node.opaque:
                alone.add(path)
            elif node.is_directory and path not in self._state and not _is_directory(lower / path):
                overlay.make_opaque(self._source / path)
                found[path] = node._replace(opaque=True)
                alone.add(path)
        return alone


def _parents_first(path: str) -> list[str]:
    return path.split("/") if path else []


def _is_directory(path: Path) -> bool:
    try:
        return stat.S_ISDIR(path.lstat().st_mode)
    except OSError:
        return False
