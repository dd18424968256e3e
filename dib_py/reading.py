"""Which files of the merged hooks a step can read, found from its text.

A hook finds its siblings by ``$(dirname $0)/..``, ``$TMP_HOOKS_PATH`` or ``/tmp/in_target.d``, and names what it wants
there. So a directory or file at the top of the merged tree counts for a step if its name occurs in the hook, or in
something that counts already; what lies beside the hook in its phase directory always counts. A hook that takes the
tree as a whole (a loop over it, a copy of it) or is no text reads everything. One that asks where the elements are
reads those of their own files that it names. Too much is harmless: it only makes a step run again.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Mapping
from functools import cached_property

from dib_py.element import ENVIRONMENT_DIRECTORY, Element, is_environment_name
from dib_py.hooks import GUEST_SHELL, MergedHooks, is_run
from dib_py.keys import File
from dib_py.phases import BY_DIRECTORY
from dib_py.plain_shell import is_plain

LARGEST_TEXT = 1024**2  # bytes; nobody looks for names in a larger file

# The top of the tree, with nothing after it that says what is wanted there.
_WHOLE = re.compile(
    rb"""(?:\bTMP_HOOKS_PATH\b|\bin_target\.d\b|[)}]["']?/\.\.)(?!\}?["']?/+[A-Za-z0-9_.])(?![^\n]*-name)"""
)
# What is no mention: the interpreter, a comment (one with an expansion may be a line that is written somewhere), and a
# path of the guest or of this machine that begins at its root.
_NO_MENTION = re.compile(
    rb"""\A\#![^\n]*|^[ \t]*\#[^\n$`]*$"""
    rb"""|(?<![\w})\]/.$*?])(?<![\w})\]]["'])/(?!tmp/in_target\.d\b)(?:[\w.@+-]+/?)+""",
    re.MULTILINE,
)
_STEM = re.compile(rb"[A-Za-z0-9_.]+(?:-[A-Za-z0-9_.]+)*-(?![A-Za-z0-9_.-])")
_ELEMENT_PLACES = re.compile(rb"\b(?:IMAGE_ELEMENT_YAML|get_image_element_array|ELEMENTS_PATH)\b")
# Hooks that install-types may link beside these directories; they are steps of their own then.
_INSTALL_TYPES = re.compile(r"install\.d/[^/]+-install/[^/]+")


class Reader:
    """Answers the question for one merged tree; each file is read once, when first asked for.

    ``made`` are the files that the engine puts there, by their paths: they are named only by where they are, since
    nobody else knows of them, and their names are words of every day. ``elements`` are those that were merged.
    """

    def __init__(
        self, merged: MergedHooks, made: Mapping[str, bytes] | None = None, elements: Iterable[Element] = ()
    ) -> None:
        self._merged = merged
        self._made = dict(made or {})
        self._elements = tuple(elements)
        self._files: dict[str, File] = {path: File(path, 0o644, content) for path, content in self._made.items()}
        self._mentioned: dict[bytes, frozenset[str]] = {}

    @cached_property
    def _tops(self) -> Mapping[str, list[str]]:
        """Paths of all that is no hook, by the name at the top of the tree; those of directories end in a slash."""
        hooks = {f"{hook.directory}/{hook.name}" for phase in BY_DIRECTORY for hook in self._merged.hooks(phase)}
        replaced = {path.partition("/")[0] for path in self._made}
        tops: dict[str, list[str]] = {}
        for path, entry in self._merged.entries.items():
            if path in hooks or path in BY_DIRECTORY or path in replaced or path in self._made:
                continue
            tops.setdefault(path.partition("/")[0], []).append(f"{path}/" if entry.kind == "directory" else path)
        for path in sorted(self._made):
            tops.setdefault(path.partition("/")[0], []).append(path)
        return tops

    @cached_property
    def _names(self) -> re.Pattern[bytes]:
        made = {path.partition("/")[0] for path in self._made}
        below = rb"(?:\.\.|\bin_target\.d|\bTMP_HOOKS_PATH\}?\"?)/"
        return re.compile(
            rb"(?<![\w-])(?:"
            + _any_of(self._tops.keys() - made)
            + b")(?![\\w-])|"
            + below
            + b"("
            + _any_of(made)
            + b")(?![\\w-])"
        )

    def readable(self, phase: str, content: bytes) -> tuple[File, ...]:
        """The files that a hook of this phase directory can read, sorted by path."""
        found = self._closure(self._mentions(content) | ({phase} & self._tops.keys()))
        texts = [content, *(file.content for file in found)]
        return (*found, *self._of_elements([text for text in texts if _ELEMENT_PLACES.search(text)]))

    @cached_property
    def sourced(self) -> tuple[File, ...]:
        """The files of environment.d whose effect in a phase the plan can't know, with what they can read.

        They run commands or look at files, and do so in the guest too; of the others the values count.
        """
        paths = [
            path
            for path, entry in self._merged.entries.items()
            if path.startswith(f"{ENVIRONMENT_DIRECTORY}/") and entry.kind != "directory" and path.count("/") == 1
            if is_environment_name(entry.source.name) and not is_plain(self._file(path).content)
        ]
        texts = b"\n".join(self._file(path).content for path in paths)
        # here a name alone is a word like any other, as nobody changes to another directory
        tops = frozenset(
            top for top in self._mentions(texts) if re.search(rb"/%s\b" % re.escape(os.fsencode(top)), texts)
        )
        return (*map(self._file, paths), *self._closure(tops))

    @cached_property
    def shell(self) -> tuple[File, ...]:
        """What a guest without bash gets it by, before its first hook."""
        return self._closure(frozenset({GUEST_SHELL}) & self._tops.keys())

    def _closure(self, waiting: frozenset[str]) -> tuple[File, ...]:
        """All files below these names at the top of the tree, and below those that they mention."""
        found: set[str] = set()
        while waiting:
            found |= waiting
            texts = (self._file(path).content for top in waiting for path in self._tops[top])
            waiting = frozenset().union(*(self._mentions(text) for text in texts)) - found
        return tuple(self._file(path) for top in sorted(found) for path in self._tops[top])

    def _of_elements(self, texts: list[bytes]) -> Iterable[File]:
        """The elements' own files that texts name, which read them where they are and not in the merged tree."""
        if not texts:
            return
        for element in self._elements:
            for source in element.top_files:
                if any(os.fsencode(source.stem) in text for text in texts):
                    yield File(f"elements/{element.name}/{source.name}", 0, source.read_bytes())

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
        text = _NO_MENTION.sub(b"", content)
        if b"\0" in text or _WHOLE.search(text):
            return self._tops
        found = {os.fsdecode(match[1] or match[0]) for match in self._names.finditer(text)}
        stems = {os.fsdecode(stem) for stem in _STEM.findall(text)}  # "source-repository-*"
        return found | {top for top in self._tops for stem in stems if top.startswith(stem)}

    def _file(self, path: str) -> File:
        known = self._files.get(path)
        if known is None:
            known = self._files[path] = self._read(path)
        return known

    def _read(self, path: str) -> File:
        entry = self._merged.entries[path.rstrip("/")]
        source = entry.source
        link = b""
        if entry.kind == "link":  # it is staged as it is, so where it leads counts beside what is found there
            link = b"link to " + os.fsencode(os.readlink(source)) + b"\n"  # noqa: PTH115 - text of the link, not a path
            if not source.is_file():
                return File(path, 0, link)
        status = source.stat()
        if path.endswith("/") or (_INSTALL_TYPES.fullmatch(path) and is_run(source, source.name, self._merged.allowed)):
            return File(path, status.st_mode, link)
        if status.st_size > LARGEST_TEXT:
            with source.open("rb") as file:
                state = hashlib.blake2b()
                while block := file.read(LARGEST_TEXT):
                    state.update(block)
            return File(path, status.st_mode, link + state.hexdigest().encode())
        return File(path, status.st_mode, link + source.read_bytes())


def _any_of(names: Iterable[str]) -> bytes:
    ordered = sorted(map(os.fsencode, names), key=lambda name: (-len(name), name))
    return b"|".join(map(re.escape, ordered)) or rb"(?!)"
