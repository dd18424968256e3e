"""What of this machine a step depends on: files that variables or host-side hooks name, and programs that bootstrap.

A hook in the guest sees only the guest; one on the host side can read anything. What its text names counts by content:
a path below the home directory, or of this machine's configuration and data. A variable inside such a path stands for
anything. Neither comments nor what says who this machine is (its name, its resolver, its users) count.
"""

from __future__ import annotations

import functools
import hashlib
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from dib_py.digest import Memory
from dib_py.events import Events
from dib_py.host_programs import find
from dib_py.mentions import without_comments

LARGEST_READ = 16 * 1024**2  # bytes; the digest of a larger file is remembered, where there is a place for that
MOST_ENTRIES = 256  # of a directory that a text names; nobody means all of a larger one

_PATH = re.compile(
    rb"""(?<![\w})\]/.$*?])(?<![\w})\]]["'])"""  # not behind an expansion, where it is a path in the tree
    rb"""(~|\$HOME|\$\{HOME\}|(?=/(?:etc|root|home|opt|srv|usr/local/etc|usr/local/share|usr/share/keyrings)/))"""
    rb"""((?:/(?:[\w.@%+,*?-]|\$\w+|\$\{\w+\})+)+)"""
)
_EXPANSION = re.compile(r"\$\w+|\$\{\w+\}")
_BOOTSTRAPPER = re.compile(rb"\b(cdebootstrap|debootstrap|dnf|mmdebstrap|pacstrap|yum|zypper)\b")
_WHO_WE_ARE = frozenset(
    f"/etc/{name}"
    for name in (
        "fstab",
        "group",
        "gshadow",
        "hostname",
        "hosts",
        "localtime",
        "machine-id",
        "mtab",
        "passwd",
        "resolv.conf",
        "shadow",
        "timezone",
    )
)


class HostFiles:
    """Digests of this machine's files, each read once. ``memory`` keeps those of large files."""

    def __init__(self, environ: Mapping[str, str], memory: Memory) -> None:
        self._home = environ.get("HOME") or "/root"
        self._environ = environ
        self._memory = memory
        self._known: dict[Path, str | None] = {}
        self._values: dict[str, str | None] = {}

    def of_value(self, value: str) -> str | None:
        """The digest of what a variable's value names, as a path or a ``file:`` address: a file or a git repository."""
        if value not in self._values:
            self._values[value] = None
            path = value.removeprefix("file://")
            with suppress(OSError, ValueError):  # no path at all, or not ours to read
                self._values[value] = (self.of_file(Path(path)) or _repository(Path(path))) if path else None
        return self._values[value]

    def of_texts(self, texts: Iterable[bytes]) -> dict[str, str]:
        """The digests of the files that the texts of a host-side hook name, by what people call them."""
        found: dict[str, str] = {}
        for name in sorted(set().union(*map(_named, texts))):
            for path in self._matches(name):
                if str(path) not in _WHO_WE_ARE and (content := self.of_file(path)) is not None:
                    found[self._shown(path)] = content
        return found

    def bootstrappers(self, texts: Iterable[bytes]) -> dict[str, str]:
        """The digests of the programs that make a distribution's first tree, by name, as far as a text names them."""
        names = named_bootstrappers(texts)
        places = {name: find(name, self._environ) for name in sorted(names)}
        digests = {name: self.of_file(Path(place)) for name, place in places.items() if place is not None}
        return {name: content for name, content in digests.items() if content is not None}

    def _matches(self, name: str) -> Iterator[Path]:
        pattern = _EXPANSION.sub("*", re.sub(r"^(~|\$HOME|\$\{HOME\})", lambda _: self._home, name))
        path = Path(pattern)
        if not re.search(r"[*?]", pattern):
            yield from _below(path) if path.is_dir() else [path]
            return
        literal = Path(re.split(r"/[^/]*[*?]", pattern, maxsplit=1)[0])
        # a hook that says /etc/$1 could mean anything, and so says nothing
        if literal != Path(self._home) and len(literal.parts) > 2:
            with suppress(OSError):
                yield from sorted(literal.glob(str(path.relative_to(literal))))

    def _shown(self, path: Path) -> str:
        """The path without what differs between the homes of people."""
        return f"~/{path.relative_to(self._home)}" if path.is_relative_to(self._home) else str(path)

    def of_file(self, path: Path) -> str | None:
        """The digest of a file's content; None for what is none, or not ours to read."""
        if path not in self._known:
            self._known[path] = None
            with suppress(OSError):
                self._known[path] = self._read(path)
        return self._known[path]

    def _read(self, path: Path) -> str | None:
        if not path.is_file():
            return None
        if path.stat().st_size <= LARGEST_READ:
            return hashlib.blake2b(path.read_bytes()).hexdigest()[:40]
        return self._memory.digests(path, ["blake2b"], f"digest {path.name}", Events())["blake2b"][:40]


@functools.lru_cache(maxsize=1024)
def _named(text: bytes) -> frozenset[str]:
    """The paths of this machine that a text names, as it spells them."""
    if b"\0" in text:
        return frozenset()
    found = (os.fsdecode(top + rest) for top, rest in _PATH.findall(without_comments(text)))
    return frozenset(name.rstrip(".,") for name in found if "/.cache" not in name)


def named_bootstrappers(texts: Iterable[bytes]) -> set[str]:
    """The programs that make a distribution's first tree, as far as texts name them."""
    return set().union(*map(_bootstrappers, texts))


@functools.lru_cache(maxsize=1024)
def _bootstrappers(text: bytes) -> frozenset[str]:
    return frozenset(os.fsdecode(name) for name in _BOOTSTRAPPER.findall(without_comments(text)))


def _below(directory: Path) -> list[Path]:
    """The files of a directory, unless there are so many that it can't be meant as a whole."""
    found: list[Path] = []
    for top, _, names in os.walk(directory):
        found += [Path(top) / name for name in names]
        if len(found) > MOST_ENTRIES:
            return []
    return sorted(found)


def _repository(path: Path) -> str | None:
    """What a git repository of this machine has to offer: its branches and tags, and what is checked out."""
    git = path / ".git" if (path / ".git").is_dir() else path
    if not ((git / "HEAD").is_file() and (git / "refs").is_dir()):
        return None
    state = hashlib.blake2b(digest_size=20)
    for file in [git / "HEAD", git / "packed-refs", *sorted((git / "refs").rglob("*"))]:
        if file.is_file():
            content = file.read_bytes()
            state.update(f"{file.relative_to(git)}\0{len(content)}\0".encode(errors="surrogateescape") + content)
    return state.hexdigest()
