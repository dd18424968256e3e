"""How the content of a base image gets to the filesystems of another layout: what each of them takes of the tree.

A filesystem takes its part as one archive, so that hard links stay links as far as they can, and whatever an archive
keeps: owners, modes, times, ACLs, extended attributes (labels and capabilities among them), holes.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from dib_py.disk.layout import Layout
from dib_py.disk.size import shown
from dib_py.errors import DiskError
from dib_py.units import MIB

# vfat has neither owners nor attributes; what it can't hold, like symbolic links, is an error
_WITHOUT_OWNERS = ("vfat", "msdos")
_SLACK = 4 * MIB  # what directories and journals may take beside the files
_WILDCARD = re.compile(r"([*?\[\]\\])")
_PACK = ("tar", "--create", "--file=-", "--format=posix", "--sparse", "--numeric-owner", "--anchored")
_UNPACK = ("tar", "--extract", "--numeric-owner")
# xfs shows ACLs as attributes of its own, too
_ATTRIBUTES = ("--acls", "--xattrs", "--xattrs-include=*", "--xattrs-exclude=trusted.SGI_*")


@dataclass(frozen=True)
class Share:
    """What the filesystem called ``name`` gets: the tree below ``path``, without what is at ``others`` further down.

    ``hidden`` are names in it that belong to a filesystem and not to the tree.
    """

    name: str
    path: str
    others: tuple[str, ...]
    hidden: tuple[str, ...]
    owners: bool = True

    def pack(self, root: str) -> list[str]:
        """argv that writes the share to standard output; the base image's tree is at ``root``."""
        attributes = _ATTRIBUTES if self.owners else ()
        left_out = [f"--exclude=./{_literal(other)}/*" for other in self.others]
        left_out += [f"--exclude=./{_literal(name)}" for name in self.hidden]
        return [*_PACK, *attributes, *left_out, f"--directory={_below(root, self.path)}", "."]

    def unpack(self, root: str, archive: str = "-") -> list[str]:
        """argv that puts it into the new tree at ``root``, by default from standard input."""
        attributes = ("--same-owner", "--preserve-permissions", *_ATTRIBUTES) if self.owners else ("--no-same-owner",)
        return [*_UNPACK, f"--file={archive}", *attributes, f"--directory={_below(root, self.path)}"]

    def measure(self, root: str) -> list[str]:
        """argv of du, whose first word of output is how many bytes the share takes."""
        top = _below(root, self.path)
        left_out = [f"--exclude={_literal(_below(top, name))}" for name in (*self.others, *self.hidden)]
        return ["du", "--summarize", "--block-size=1", *left_out, top]

    def check_room(self, needed: int, free: int, layout: Layout) -> None:
        """Raise DiskError unless ``needed`` bytes fit into the ``free`` ones of the new filesystem."""
        if needed + _SLACK > free:
            raise DiskError(
                f"what the base image has at {self.path} takes {shown(needed)}, and the filesystem {self.name} for it "
                f"has room for {shown(free)}",
                hint="ask for a larger disk with --image-size, or for a larger partition in the layout",
                where=layout.source,
            )


def shares(layout: Layout, mount_points: Sequence[str]) -> tuple[Share, ...]:
    """What each filesystem of ``layout`` gets from a tree that had filesystems at ``mount_points``, parents first."""
    paths = {str(fs.mount_point): fs for fs in layout.mounted}
    return tuple(
        Share(
            fs.name,
            path,
            tuple(_inside(path, other) for other in paths if _is_below(other, path)),
            tuple(
                f"{_inside(path, point)}/lost+found".lstrip("/")
                for point in mount_points
                if point == path or _is_below(point, path)
            ),
            owners=fs.type not in _WITHOUT_OWNERS,
        )
        for path, fs in paths.items()
    )


def mount_options(fstype: str, options: str) -> str:
    """The options with which a filesystem of the base image is mounted while it is copied: beside the new one, which
    may have been given the same UUID."""
    return ",".join(filter(None, ("ro", "nouuid" if fstype == "xfs" else "", options)))


def _is_below(path: str, parent: str) -> bool:
    return PurePosixPath(parent) in PurePosixPath(path).parents


def _inside(parent: str, path: str) -> str:
    """``path`` as seen from ``parent``, without a slash before it; empty for itself."""
    inside = str(PurePosixPath(path).relative_to(parent))
    return "" if inside == "." else inside


def _below(root: str, path: str) -> str:
    return f"{root.rstrip('/')}/{path.lstrip('/')}".rstrip("/") or "/"


def _literal(path: str) -> str:
    """A pattern that only ``path`` matches."""
    return _WILDCARD.sub(r"\\\1", path)
