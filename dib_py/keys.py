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
from dataclasses import dataclass, field

from dib_py.secrets import PROXY, is_secret

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

    ``library`` is the text of the shell library (``_LIB``), ``epoch`` how fresh packages are to be, ``secret`` the
    store's key for digests of secrets (None: only that there is one counts, so such a key is a guess), ``file_digest``
    the digest of a file of this machine, None for what is none.
    """

    library: bytes
    epoch: str
    secret: bytes | None = None
    file_digest: Callable[[str], str | None] = lambda path: None

    @property
    def abi(self) -> str:
        """What the engine does to a guest, beyond what the elements say."""
        return digest([str(ABI).encode(), self.library])


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


def step_key(parent: str, step: StepInputs, engine: Engine) -> str:
    """The key of a step after ``parent``."""
    read = [step.content, *(file.content for file in step.files)]
    parts = [parent, engine.abi, step.phase, step.kind, step.name, f"{step.mode & 0o7777:o}"]
    encoded = [part.encode() for part in parts] + [step.content]
    encoded.append(digest(_of_file(file) for file in sorted(step.files, key=lambda file: file.path)).encode())
    encoded.append(digest(_of_variables(relevant(step, engine), engine)).encode())
    encoded.append(b"-" if step.packages is None else digest(name.encode() for name in step.packages).encode())
    encoded.append(_argument(step, engine))
    encoded.append(engine.epoch.encode() if can_fetch(step.kind, step.packages, read) else b"")
    return digest(encoded)


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
def _of_file(file: File) -> bytes:
    return digest(
        [file.path.encode(errors="surrogateescape"), f"{file.mode & 0o7777:o}".encode(), file.content]
    ).encode()


def _of_variables(variables: Mapping[str, str], engine: Engine) -> Iterable[bytes]:
    """Name and value of each; secrets as a keyed digest, and for a file of this machine its content too."""
    for name, value in sorted(variables.items()):
        data = value.encode(errors="surrogateescape")
        yield name.encode()
        if is_secret(name):
            yield _keyed(data, engine)
        else:
            yield data
        content = engine.file_digest(value) if value.startswith("/") else None
        if content is not None:
            yield content.encode()


def _argument(step: StepInputs, engine: Engine) -> bytes:
    data = step.argument.encode(errors="surrogateescape")
    return _keyed(data, engine) if step.kind == "root-password" else data


def _keyed(data: bytes, engine: Engine) -> bytes:
    if engine.secret is None:
        return b"set" if data else b""
    return hmac.new(engine.secret, data, hashlib.sha256).digest()
