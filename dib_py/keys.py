"""The key of each step: the name of the layer that it produces, from all that can change what it does.

Keys chain: a step's key holds its parent's, so the first step that changed gives everything after it a new key. All
functions are pure; what they need of files comes in as digests. ``docs/keys.rst`` tells the rules to users.
"""

from __future__ import annotations

import functools
import hashlib
import hmac
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

from dib_py import mentions
from dib_py.secrets import CREDENTIALS, PROXY, is_secret

KEYED, SET = "hmac-sha256:", "set"  # how a secret's value looks in a key's ingredients, without a store's key "set"

ABI = 1  # raised when the engine does something to the guest differently, without a change in its shell files

# Variables that begin with DIB_ and yet say nothing of the image, or only where something names them: how output is
# shown, what was typed, where downloads are kept, how the disk is cut at the end (the closing step has that), what is
# said otherwise.
NOT_BY_PREFIX = frozenset(
    [
        "DIB_APT_LOCAL_CACHE",
        "DIB_ARGS",
        "DIB_ENV",
        "DIB_PYTHON_EXEC",
        "DIB_BLOCK_DEVICE_PARAMS_YAML",
        "DIB_CHECKSUM",
        "DIB_QUIET",
        "DIB_NO_TIMESTAMP",
        "DIB_NO_TMPFS",
        "DIB_MIN_TMPFS",
        "DIB_DEBUG_TRACE",
        "DIB_OFFLINE",
        "DIB_PACKAGES_EPOCH",
        "DIB_HOOK_TIMEOUT",
        "DIB_IMAGE_EXTRA_SIZE",
        "DIB_JOURNAL_SIZE",
        "DIB_SHOW_IMAGE_USAGE",
        "DIB_SHOW_IMAGE_USAGE_FULL",
        "DIB_GZIP_BIN",
        "DIB_LOCAL_IMAGE",
        "DIB_MANIFEST_SAVE_DIR",
    ]
)
OWN_PREFIX = "DIB_PY_"  # of variables that are for dib-py itself
# Never part of a key, named or not: they differ from run to run, or say where this machine keeps things that an image
# must not depend on. The library counts by its content and a base image by the first key, not by their places.
NEVER = frozenset(
    {"PATH", "PWD", "TERM", "SHELL", "LC_ALL", "LANG", "_LIB", "DIB_BASE_IMAGE"}
    | {"DIB_IMAGE_CACHE", "DIB_LOCKFILES", "TMPDIR", "TMP_DIR"}
)
# Whatever these name is what a build writes, or named by other variables too.
NAMING_OUTPUT = frozenset({"IMAGE_NAME", "DIB_ARGS", "DIB_ENV"})

_FUNCTION = "BASH_FUNC_"  # before the names of functions that bash exports, as variables
# What tools that fetch read by themselves, so that no text needs to name it.
_OF_TOOLS = re.compile(r"(?:PIP|UV)_[A-Z_]+|(?i:npm_config)_\w+|GOPROXY|GONOSUMDB|GOFLAGS|CARGO_REGISTRIES_\w+")


@dataclass(frozen=True)
class File:
    """A file of the merged hooks that a step may read: its path there, mode and content."""

    path: str
    mode: int
    content: bytes


@dataclass(frozen=True)
class StepInputs:
    """What one step depends on, beside its parent.

    ``variables`` are all that it is given; the relevant ones are picked here. ``exported`` are the names that
    environment.d exports, ``sourced`` those of its files that say more than values. ``host_files`` are digests of what
    it names of this machine. ``packages`` is the list of its slot, ``argument`` what the command line says to it.
    ``applier`` is a digest of what carries out a declaration, empty for what runs: then ``variables`` are those that it
    asks for, and all of them count.
    """

    phase: str
    name: str
    kind: str = "hook"
    mode: int = 0
    content: bytes = b""
    files: tuple[File, ...] = ()
    sourced: tuple[File, ...] = ()
    host_files: Mapping[str, str] = field(default_factory=dict)
    variables: Mapping[str, str] = field(default_factory=dict)
    exported: frozenset[str] = frozenset()
    packages: tuple[str, ...] | None = None
    argument: str = ""
    applier: str = ""


@dataclass(frozen=True)
class Engine:
    """What all steps of a build share.

    ``library`` holds the files of the shell library (``_LIB``) by name, ``runner`` is the text of the other shell files
    that act in the guest. ``epoch`` says how fresh packages are to be. ``secret`` is the store's key for digests of
    secrets (None: only that there is one counts, so such a key is a guess), ``mask`` takes secrets out of a text, and
    ``file_digest`` gives the digest of what a value names on this machine, None for nothing.
    """

    library: Mapping[str, bytes]
    epoch: str
    secret: bytes | None = None
    file_digest: Callable[[str], str | None] = lambda path: None
    mask: Callable[[str], str] = str
    runner: bytes = b""

    @cached_property
    def abi(self) -> str:
        """What the engine does to a guest, beyond what the elements say."""
        library = [part for name, text in sorted(self.library.items()) for part in (name.encode(), text)]
        return digest([str(ABI).encode(), self.runner, *library])


@dataclass(frozen=True)
class Ingredients:
    """What the key of one step is made of: flat text, fit to be kept beside the layer and compared later.

    ``parent`` is the key of the step before, or the base's. ``content`` is the digest of the hook's bytes. ``files``
    has those of modes and contents by path in the merged hooks, ``variable_files`` those of the files of this machine
    that variables name, ``host_files`` those of other files and programs of this machine. ``epoch`` is empty for a step
    that can't fetch. Secrets are keyed digests.
    """

    parent: str
    engine: str
    phase: str
    kind: str
    name: str
    mode: str
    content: str
    files: Mapping[str, str]
    variables: Mapping[str, str]
    variable_files: Mapping[str, str]
    packages: tuple[str, ...] | None
    argument: str
    epoch: str
    host_files: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def key(self) -> str:
        """The key; no other ingredients have the same."""
        texts = (self.parent, self.engine, self.phase, self.kind, self.name, self.mode, self.content)
        mappings = (self.files, self.variables, self.variable_files, self.host_files)
        parts = [*map(_encode, texts), *map(_of_mapping, mappings)]
        parts.append(b"-" if self.packages is None else digest(map(_encode, self.packages)).encode())
        return digest([*parts, _encode(self.argument), _encode(self.epoch)])

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Ingredients:
        """What :meth:`to_dict` made, read from JSON; raises KeyError, TypeError or ValueError for what is none."""
        if not all(isinstance(data[name], dict) for name in _MAPPINGS):
            raise ValueError("ingredients without mappings")
        listed = data["packages"]
        made = cls(**{**data, "packages": None if listed is None else tuple(listed)})
        texts = [getattr(made, name) for name in _TEXTS] + list(made.packages or ())
        texts += [text for name in _MAPPINGS for item in data[name].items() for text in item]
        if not all(isinstance(text, str) for text in texts):
            raise ValueError("ingredients that are no text")
        return made


_MAPPINGS = ("files", "variables", "variable_files", "host_files")
_TEXTS = ("parent", "engine", "phase", "kind", "name", "mode", "content", "argument", "epoch")


def digest(parts: Iterable[bytes]) -> str:
    """A digest of byte strings that no other division of the same bytes has: 40 hexadecimal digits of blake2b."""
    state = hashlib.blake2b(digest_size=20)
    for part in parts:
        state.update(len(part).to_bytes(8, "big"))
        state.update(part)
    return state.hexdigest()


def base_key(content: str, geometry: str) -> str:
    """The key of what the first step starts on: the base's content digest with the disk's geometry.

    For a blank disk ``content`` is empty and ``geometry`` describes the layout; a bootstrap is a step like any other.
    """
    return digest([b"base", content.encode(), geometry.encode()])


def ingredients(parent: str, step: StepInputs, engine: Engine) -> Ingredients:
    """What the key of a step after ``parent`` is made of."""
    read = [step.content, *(file.content for file in step.files)]
    counting = step.variables if step.applier else relevant(step, engine)
    fetches = not step.applier and can_fetch(step.kind, step.packages, read)
    return Ingredients(
        parent=parent,
        engine=step.applier or engine.abi,
        phase=step.phase,
        kind=step.kind,
        name=step.name,
        mode=f"{step.mode & 0o7777:o}",
        content=digest([step.content]),
        files={file.path: _of_file(file) for file in (*step.sourced, *step.files)},
        variables={name: _value(name, value, engine) for name, value in counting.items()},
        variable_files=dict(_variable_files(counting, engine)),
        packages=step.packages,
        argument=_argument(step, engine),
        epoch=engine.epoch if fetches else "",
        host_files=step.host_files,
    )


def relevant(step: StepInputs, engine: Engine) -> dict[str, str]:
    """The variables that count for a step.

    These are ``DIB_*``, proxies, what environment.d exports, what tools that fetch read by themselves, and any other
    whose name occurs as a word in the hook, in a file that it can read or in what it takes of the library. Everything
    is passed to the hook; but a variable that none of them names can make no difference to it.
    """
    texts = [step.content, *(file.content for file in (*step.files, *step.sourced))]
    texts += _of_library(texts, engine.library)
    words = frozenset().union(*map(mentions.words, texts))
    named = frozenset(word for word in words if len(word) > 2).union(*map(mentions.short_names, texts))
    return {name: value for name, value in step.variables.items() if _counts(name, step, words, named)}


def _of_library(texts: Iterable[bytes], library: Mapping[str, bytes]) -> list[bytes]:
    """The files of the library that texts can source: those that they name, with what these source; else all."""
    users = [text for text in texts if b"_LIB" in mentions.words(text)]
    found: dict[str, bytes] = {}
    while users:
        named = {name for name in library for text in users if name.encode() in text}
        if not found and not named:
            return list(library.values())
        users = [library[name] for name in sorted(named - found.keys())]
        found.update({name: library[name] for name in named})
    return list(found.values())


def _counts(name: str, step: StepInputs, words: frozenset[bytes], named: frozenset[bytes]) -> bool:
    """``words`` are all of a step's texts, ``named`` those that can be variables; a function is called by its word."""
    rule, word = _rule(name)
    mentioned = word in (words if name.startswith(_FUNCTION) else named)
    return rule is not False and (rule or mentioned or (name in step.exported and name not in NOT_BY_PREFIX))


@functools.lru_cache(maxsize=4096)
def _rule(name: str) -> tuple[bool | None, bytes]:
    """Whether a variable of this name counts always (True), never (False) or where it is named; how texts name it."""
    word = name[len(_FUNCTION) : -2] if name.startswith(_FUNCTION) else name
    rule: bool | None = None
    if name in NEVER or name.startswith(OWN_PREFIX):
        rule = False
    elif name not in NOT_BY_PREFIX and (name.startswith("DIB_") or PROXY.fullmatch(name) or _OF_TOOLS.fullmatch(name)):
        rule = True
    return rule, word.encode(errors="surrogateescape")


def can_fetch(kind: str, packages: tuple[str, ...] | None, texts: Iterable[bytes]) -> bool:
    """Whether a step may get something from the network, so that the day makes a difference to it.

    Steps that install packages do, and those whose texts, comments aside, name a tool that fetches or an address. Of a
    program that is no text we know nothing, so it counts.
    """
    if kind == "packages" or packages is not None:
        return True
    return any(map(mentions.fetches, texts))


@functools.lru_cache(maxsize=4096)
def _of_file(file: File) -> str:
    return digest([f"{file.mode & 0o7777:o}".encode(), file.content])


def _of_mapping(mapping: Mapping[str, str]) -> bytes:
    return digest(_encode(text) for item in sorted(mapping.items()) for text in item).encode()


def _value(name: str, value: str, engine: Engine) -> str:
    """A variable's value; what is secret, or has a secret in it, as a keyed digest."""
    secret = is_secret(name) or engine.mask(value) != value or CREDENTIALS.search(value)
    return _keyed(value, engine) if secret else value


def _variable_files(variables: Mapping[str, str], engine: Engine) -> Iterable[tuple[str, str]]:
    """The digests of the files of this machine that variables name, one or several with blanks between them."""
    for name, value in variables.items():
        if name in NAMING_OUTPUT:
            continue
        words = [value, *filter(_is_address, value.split())] if len(value.split()) > 1 else [value]
        if found := [content for word in words if (content := engine.file_digest(word)) is not None]:
            content = " ".join(found)
            yield name, _keyed(content, engine) if is_secret(name) else content


def _is_address(word: str) -> bool:
    """Whether a word of a list means a file: most lists are of names, which a file beside may have by chance."""
    return word.startswith(("/", "./", "../", "file:"))


def _argument(step: StepInputs, engine: Engine) -> str:
    secret = step.kind == "root-password" or engine.mask(step.argument) != step.argument
    return _keyed(step.argument, engine) if secret else step.argument


def _keyed(text: str, engine: Engine) -> str:
    if engine.secret is None:
        return SET if text else ""
    return f"{KEYED}{hmac.new(engine.secret, _encode(text), hashlib.sha256).hexdigest()}"


def _encode(text: str) -> bytes:
    return text.encode(errors="surrogateescape")
