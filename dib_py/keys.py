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

from dib_py.secrets import PROXY, is_secret

KEYED, SET = "hmac-sha256:", "set"  # how a secret's value looks in a key's ingredients, without a store's key "set"

ABI = 1  # raised when the engine does something to the guest differently, without a change in its shell files

# Variables that begin with DIB_ and yet say nothing of the image, or only where something names them: where this
# machine keeps things, how output is shown, what was typed.
NOT_BY_PREFIX = frozenset(
    [
        "DIB_ARGS",
        "DIB_ENV",
        "DIB_IMAGE_CACHE",
        "DIB_LOCKFILES",
        "DIB_PYTHON_EXEC",
        "DIB_BLOCK_DEVICE_PARAMS_YAML",
        "DIB_CHECKSUM",
        "DIB_QUIET",
        "DIB_NO_TIMESTAMP",
        "DIB_NO_TMPFS",
        "DIB_MIN_TMPFS",
        "DIB_DEBUG_TRACE",
        "DIB_PACKAGES_EPOCH",
        "DIB_HOOK_TIMEOUT",
        "DIB_PY_TARGET",
        "DIB_PY_LOG_FORMAT",
        "DIB_SHOW_IMAGE_USAGE",
        "DIB_SHOW_IMAGE_USAGE_FULL",
        "DIB_GZIP_BIN",
        "DIB_LOCAL_IMAGE",
        "DIB_MANIFEST_SAVE_DIR",
    ]
)
# Never part of a key, named or not: they differ from run to run and no hook makes an image of them.
# The library counts by its content and a base image by the first key, not by their places.
NEVER = frozenset({"PATH", "PWD", "TERM", "SHELL", "LC_ALL", "LANG", "_LIB", "DIB_BASE_IMAGE"})

_WORD = re.compile(rb"[A-Za-z_][A-Za-z0-9_]*")
_FETCHES = re.compile(
    rb"\b(apt|apt-get|aptitude|cache-url|cdebootstrap|composer|curl|debootstrap|dnf|docker|emerge|gem|git|go|"
    rb"install-packages|microdnf|mmdebstrap|npm|package-installs|pip[0-9.]*|podman|rsync|skopeo|snap|svn|tdnf|virtualenv|"
    rb"wget|yum|yumdownloader|zypper)\b"
)


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
    environment.d exports. ``packages`` is the list of its slot, ``argument`` what the command line says to it.
    """

    phase: str
    name: str
    kind: str = "hook"
    mode: int = 0
    content: bytes = b""
    files: tuple[File, ...] = ()
    variables: Mapping[str, str] = field(default_factory=dict)
    exported: frozenset[str] = frozenset()
    packages: tuple[str, ...] | None = None
    argument: str = ""


@dataclass(frozen=True)
class Engine:
    """What all steps of a build share.

    ``library`` is the text of the shell library (``_LIB``), ``runner`` that of the other shell files which act in the
    guest, ``epoch`` how fresh packages are to be, ``secret`` the store's key for digests of secrets (None: only that
    there is one counts, so such a key is a guess), ``mask`` takes secrets out of a text, ``file_digest`` gives the
    digest of a file of this machine, None for what is none.
    """

    library: bytes
    epoch: str
    secret: bytes | None = None
    file_digest: Callable[[str], str | None] = lambda path: None
    mask: Callable[[str], str] = str
    runner: bytes = b""

    @cached_property
    def abi(self) -> str:
        """What the engine does to a guest, beyond what the elements say."""
        return digest([str(ABI).encode(), self.library, self.runner])


@dataclass(frozen=True)
class Ingredients:
    """What the key of one step is made of: flat text, fit to be kept beside the layer and compared later.

    ``parent`` is the key of the step before, or the base's. ``content`` is the digest of the hook's bytes, ``files``
    has those of modes and contents by path in the merged hooks, ``variable_files`` those of the files of this machine
    that variables name. ``epoch`` is empty for a step that can't fetch. Secrets are keyed digests.
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

    @cached_property
    def key(self) -> str:
        """The key; no other ingredients have the same."""
        texts = (self.parent, self.engine, self.phase, self.kind, self.name, self.mode, self.content)
        parts = [*map(_encode, texts), *map(_of_mapping, (self.files, self.variables, self.variable_files))]
        parts.append(b"-" if self.packages is None else digest(map(_encode, self.packages)).encode())
        return digest([*parts, _encode(self.argument), _encode(self.epoch)])

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Ingredients:
        """What :meth:`to_dict` made, read from JSON; raises KeyError, TypeError or ValueError for what is none."""
        if not all(isinstance(data[name], dict) for name in ("files", "variables", "variable_files")):
            raise ValueError("ingredients without mappings")
        listed = data["packages"]
        made = cls(**{**data, "packages": None if listed is None else tuple(listed)})
        texts = [getattr(made, name) for name in _TEXTS] + list(made.packages or ())
        for mapping in (made.files, made.variables, made.variable_files):
            texts += [text for item in mapping.items() for text in item]
        if not all(isinstance(text, str) for text in texts):
            raise ValueError("ingredients that are no text")
        return made


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
    counting = relevant(step, engine)
    return Ingredients(
        parent=parent,
        engine=engine.abi,
        phase=step.phase,
        kind=step.kind,
        name=step.name,
        mode=f"{step.mode & 0o7777:o}",
        content=digest([step.content]),
        files={file.path: _of_file(file) for file in step.files},
        variables={name: _value(name, value, engine) for name, value in counting.items()},
        variable_files=dict(_variable_files(counting, engine)),
        packages=step.packages,
        argument=_argument(step, engine),
        epoch=engine.epoch if can_fetch(step.kind, step.packages, read) else "",
    )


def relevant(step: StepInputs, engine: Engine) -> dict[str, str]:
    """The variables that count for a step.

    These are ``DIB_*``, proxies, what environment.d exports, and any other whose name occurs as a word in the hook, in
    a file that it can read or, where one of these names ``_LIB``, in the library. Everything is passed to the hook; but
    a variable that none of them names can make no difference to it.
    """
    named = frozenset().union(*map(_words, (step.content, *(file.content for file in step.files))))
    if b"_LIB" in named:
        named |= _words(engine.library)
    return {name: value for name, value in step.variables.items() if _counts(name, step, named)}


@functools.lru_cache(maxsize=4096)
def _words(text: bytes) -> frozenset[bytes]:
    """Everything in a text that could name a variable; kept, because most files are read by many steps."""
    return frozenset(_WORD.findall(text))


def _counts(name: str, step: StepInputs, named: frozenset[bytes]) -> bool:
    if name in NEVER:
        return False
    by_prefix = name.startswith("DIB_") and name not in NOT_BY_PREFIX
    function = name[len("BASH_FUNC_") : -2] if name.startswith("BASH_FUNC_") else name
    return (
        by_prefix
        or PROXY.fullmatch(name) is not None
        or (name in step.exported and name not in NOT_BY_PREFIX)
        or function.encode() in named
    )


def can_fetch(kind: str, packages: tuple[str, ...] | None, texts: Iterable[bytes]) -> bool:
    """Whether a step may get something from the network, so that the day makes a difference to it.

    Steps that install packages do, and those whose texts name a tool that fetches. Of a program that is no text we know
    nothing, so it counts.
    """
    if kind == "packages" or packages is not None:
        return True
    return any(map(_fetches, texts))


@functools.lru_cache(maxsize=4096)
def _fetches(text: bytes) -> bool:
    return b"\0" in text or _FETCHES.search(text) is not None


@functools.lru_cache(maxsize=4096)
def _of_file(file: File) -> str:
    return digest([f"{file.mode & 0o7777:o}".encode(), file.content])


def _of_mapping(mapping: Mapping[str, str]) -> bytes:
    return digest(_encode(text) for item in sorted(mapping.items()) for text in item).encode()


def _value(name: str, value: str, engine: Engine) -> str:
    """A variable's value; what is secret, or has a secret in it, as a keyed digest."""
    return _keyed(value, engine) if is_secret(name) or engine.mask(value) != value else value


def _variable_files(variables: Mapping[str, str], engine: Engine) -> Iterable[tuple[str, str]]:
    """The digests of the files of this machine that variables name."""
    for name, value in variables.items():
        content = engine.file_digest(value) if value.startswith("/") else None
        if content is not None:
            yield name, _keyed(content, engine) if is_secret(name) else content


def _argument(step: StepInputs, engine: Engine) -> str:
    secret = step.kind == "root-password" or engine.mask(step.argument) != step.argument
    return _keyed(step.argument, engine) if secret else step.argument


def _keyed(text: str, engine: Engine) -> str:
    if engine.secret is None:
        return SET if text else ""
    return f"{KEYED}{hmac.new(engine.secret, _encode(text), hashlib.sha256).hexdigest()}"


def _encode(text: str) -> bytes:
    return text.encode(errors="surrogateescape")
