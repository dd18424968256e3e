"""What a file must be: a digest that was given, or the one that its publisher lists for its name."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from dib_py.errors import BaseError, nearest

BY_LENGTH = {32: "md5", 40: "sha1", 64: "sha256", 96: "sha384", 128: "sha512"}  # hexadecimal digits
ALGORITHMS = frozenset({*BY_LENGTH.values(), "sha224", "blake2b"})
# a file that somebody else can choose may have the same digest in these: they find accidents only
BROKEN = frozenset({"md5", "sha1"})
_STRENGTH = ("md5", "sha1", "sha224", "sha256", "sha384", "sha512", "blake2b")

_HEX = re.compile(r"[0-9A-Fa-f]+")
_GNU = re.compile(r"\\?([0-9A-Fa-f]{32,128}) [ *](.+)")  # sha256sum, md5sum
_BSD = re.compile(r"([A-Za-z0-9-]+) \((.+)\) = ([0-9A-Fa-f]{32,128})")  # sha256sum --tag, Fedora's CHECKSUM
_ALONE = re.compile(r"([0-9A-Fa-f]{32,128})")


@dataclass(frozen=True)
class Checksum:
    algorithm: str
    digest: str  # hexadecimal, lower case

    def __str__(self) -> str:
        return f"{self.algorithm}:{self.digest}"

    @property
    def strong(self) -> bool:
        return self.algorithm not in BROKEN


def parse_digest(text: str) -> Checksum | None:
    """``[ALGORITHM:]DIGEST``; None for what is not meant as a digest. BaseError for a digest that can't be one."""
    algorithm, colon, digest = text.rpartition(":")
    algorithm = _plain(algorithm)
    if not _HEX.fullmatch(digest) or (colon and algorithm not in ALGORITHMS):
        if algorithm in ALGORITHMS:
            raise BaseError(f"checksum {text} is not hexadecimal")
        return None
    by_length = BY_LENGTH.get(len(digest))
    if not colon:
        if by_length is None:
            raise BaseError(f"checksum {digest} has {len(digest)} digits, which no known algorithm has")
        return Checksum(by_length, digest.lower())
    if not _fits(algorithm, digest):
        raise BaseError(f"checksum {text} has {len(digest)} digits, which {algorithm} does not have")
    return Checksum(algorithm, digest.lower())


def from_published(text: str, url: str, published: str) -> Checksum:
    """The strongest checksum that the text of a checksum file has for the file at ``url``.

    ``published`` is where the text comes from, for messages.
    """
    name = file_name(url)
    listed = list(_entries(text))
    if not listed:
        raise BaseError(f"{published} is no checksum file")
    found = {checksum for checksum, listed_name in listed if listed_name is None or _base_name(listed_name) == name}
    if not found and _is_of_one_file(published, name, {listed_name for _, listed_name in listed}):
        found = {checksum for checksum, _ in listed}
    if not found:
        names = sorted({_base_name(listed_name) for _, listed_name in listed if listed_name})
        meant = nearest(name, names)
        raise BaseError(f"{published} lists no {name}", hint=f"it lists {', '.join(meant)}" if meant else "")
    strongest = max((checksum.algorithm for checksum in found), key=_STRENGTH.index)
    best = sorted(str(checksum) for checksum in found if checksum.algorithm == strongest)
    if len(best) > 1:
        raise BaseError(f"{published} lists {name} more than once, with different checksums")
    return next(checksum for checksum in found if str(checksum) == best[0])


def file_name(location: str) -> str:
    """The last component of a path or an address."""
    parts = urlsplit(location)
    path = unquote(parts.path) if parts.scheme else location
    return path.rstrip("/").rpartition("/")[2]


def _entries(text: str) -> Iterator[tuple[Checksum, str | None]]:
    """Checksum and name of each line that has one; a digest alone has no name and goes for any file."""
    for line in text.splitlines():
        line = line.strip()
        if match := _GNU.fullmatch(line):
            if algorithm := BY_LENGTH.get(len(match[1])):
                yield Checksum(algorithm, match[1].lower()), match[2]
        elif match := _BSD.fullmatch(line):
            if (algorithm := _plain(match[1])) in ALGORITHMS and _fits(algorithm, match[3]):
                yield Checksum(algorithm, match[3].lower()), match[2]
        elif (match := _ALONE.fullmatch(line)) and (algorithm := BY_LENGTH.get(len(match[1]))):
            yield Checksum(algorithm, match[1].lower()), None


def _is_of_one_file(published: str, name: str, listed: set[str | None]) -> bool:
    """Whether a checksum file is called after the file (NAME.sha256) and lists one, be it by the name of a build to
    which NAME is a link, as openSUSE has it."""
    return len(listed) == 1 and file_name(published).startswith(f"{name}.")


def _base_name(listed: str) -> str:
    return listed.rstrip("/").rpartition("/")[2]


def _plain(algorithm: str) -> str:
    """``SHA-256`` and ``SHA256`` are ``sha256``."""
    return algorithm.lower().replace("-", "")


def _fits(algorithm: str, digest: str) -> bool:
    lengths = {**{name: length for length, name in BY_LENGTH.items()}, "sha224": 56, "blake2b": 128}
    return len(digest) == lengths[algorithm]
