"""Which files of the merged hooks a step can read, found from its text.

A hook finds its siblings by ``$(dirname $0)/..``, ``$TMP_HOOKS_PATH`` or ``/tmp/in_target.d``, and names what it wants
there. So a directory or file at the top of the merged tree counts for a step if its name occurs in the hook, or in
something that counts already; what lies beside the hook in its phase directory always counts. A hook that takes the
tree as a whole (a loop over it, a copy of it) or is no text reads everything. Too much is harmless: it only makes a
step run again.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Mapping
from functools import cached_property

from dib_py.hooks import MergedHooks
from dib_py.keys import File
from dib_py.phases import BY_DIRECTORY

LARGEST_TEXT = 1024**2  # bytes; nobody looks for names in a larger file

# The top of the tree, with nothing after it that says what is wanted there.
_WHOLE = re.compile(
    rb"""(?:\bTMP_HOOKS_PATH\b|\bin_target\.d\b|[)}]["']?/\.\.)(?!\}?["']?/+[A-Za-z0-9_.])(?![^\n]*-name)"""
)
_SHEBANG = re.compile(rb"\A#![^\n]*")
_STEM = re.compile(rb"[A-Za-z0-9_.]+(?:-[A-Za-z0-9_.]+)*-(?![A-Za-z0-9_.-])")


class Reader:
    """Answers the question for one merged tree; each file is read once, when first asked for."""

    def __init__(self, merged: MergedHooks) -> None:
        self._merged = merged
        self._files: dict[str, File] = {}
        self._mentioned: dict[bytes, frozenset[str]] = {}

    @cached_property
    def _tops(self) -> Mapping[str, list[str]]:
        """Paths of all that is no hook, by the name at the top of the tree."""
        hooks = {f"{hook.directory}/{hook.name}" for phase in BY_DIRECTORY for hook in self._merged.hooks(phase)}
        tops: dict[str, list[str]] = {}
        for path, entry in self._merged.entries.items():
            if entry.kind != "directory" and path not in hooks:
                tops.setdefault(path.partition("/")[0], []).append(path)
        return tops

    @cached_property
    def _names(self) -> re.Pattern[bytes]:
        names = sorted((os.fsencode(name) for name in self._tops), key=lambda name: (-len(name), name))
        return re.compile(rb"(?<![\w-])(?:" + b"|".join(map(re.escape, names)) + rb")(?![\w-])")

    def readable(self, phase: str, content: bytes) -> tuple[File, ...]:
        """The files that a hook of this phase directory can read, sorted by path."""
        found: set[str] = set()
        waiting = self._mentions(content) | ({phase} & self._tops.keys())
        while waiting:
            found |= waiting
            texts = (self._file(path).content for top in waiting for path in self._tops[top])
            waiting = frozenset().union(*(self._mentions(text) for text in texts)) - found
        return tuple(self._file(path) for top in sorted(found) for path in self._tops[top])

    def _mentions(self, content: bytes) -> frozenset[str]:
        """The names at the top of the tree that a text has in it; kept by a digest, as hooks share their files."""
        key = hashlib.blake2b(content, digest_size=16).digest()
        known = self._mentioned.get(key)
        if known is None:
            known = self._mentioned[key] = frozenset(self._search(content))
        return known

    def _search(self, content: bytes) -> Iterable[str]:
        if not self._tops:
            return ()
        text = _SHEBANG.sub(b"", content)  # "/bin/bash" is no mention of bin
        if b"\0" in text or _WHOLE.search(text):
            return self._tops
        found = {os.fsdecode(name) for name in self._names.findall(text)}
        stems = {os.fsdecode(stem) for stem in _STEM.findall(text)}  # "source-repository-*"
        return found | {top for top in self._tops for stem in stems if top.startswith(stem)}

    def _file(self, path: str) -> File:
        known = self._files.get(path)
        if known is None:
            known = self._files[path] = self._read(path)
        return known

    def _read(self, path: str) -> File:
        source = self._merged.entries[path].source
        if source.is_symlink() and not source.is_file():
            return File(path, 0, os.fsencode(os.readlink(source)))  # noqa: PTH115 - text of the link, not a path
        status = source.stat()
        if status.st_size > LARGEST_TEXT:
            with source.open("rb") as file:
                state = hashlib.blake2b()
                while block := file.read(LARGEST_TEXT):
                    state.update(block)
            return File(path, status.st_mode, state.hexdigest().encode())
        return File(path, status.st_mode, source.read_bytes())
