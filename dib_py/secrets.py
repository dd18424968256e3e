"""Which variables hold secrets, and how their values are kept out of everything that is printed or written.

A value is replaced wherever it occurs, also inside ``DIB_ARGS`` and ``DIB_ENV``, which repeat it. Values shorter than
four characters, and words such as ``true`` that say nothing, are left alone: replacing them would spoil every line and
hide no secret worth the name.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping

MASKED = "***"
SHORTEST = 4  # characters of a value that is masked
SHORTEST_LINE = 8  # characters of one line of a value that has several

_NAME = re.compile(r"PASSWORD|PASSWD|SECRET|TOKEN|_KEY$", re.IGNORECASE)
PROXY = re.compile(r"(?:\w+_)?(?:https?|ftp|all|no|rsync)_proxy", re.IGNORECASE)
CREDENTIALS = re.compile(r"(?<=://)[^/@\s]+@")  # user:password@ of an address
_USER_INFO = re.compile(r"://[^/@:\s]*:([^/@\s]+)@")
_WORDS = frozenset({"auto", "default", "disabled", "enabled", "false", "none", "null", "required", "true", "unset"})


def is_secret(name: str) -> bool:
    """Whether a variable of this name holds a secret: ``*PASSWORD* *PASSWD* *SECRET* *TOKEN* *_KEY``."""
    return _NAME.search(name) is not None


def secret_values(environment: Mapping[str, str]) -> Iterator[str]:
    """The values that must not be seen: those of secret variables, and passwords in the addresses of proxies."""
    for name, value in environment.items():
        if is_secret(name):
            yield value
        elif PROXY.fullmatch(name):
            yield from _USER_INFO.findall(value)


class Mask:
    """Replaces secrets in text, line by line; called with text it returns text.

    A value with several lines is masked line by line too, for that is how it is printed. A value is also found as the
    shell quotes it, which is how tracing and ``declare -p`` show it.
    """

    def __init__(self, values: Iterable[str] = ()) -> None:
        found = {spelling for value in values for part in _parts(value) for spelling in _spellings(part)}
        # the longest first: one secret may begin with another
        ordered = sorted(found, key=lambda value: (-len(value), value))
        self._pattern = re.compile("|".join(map(re.escape, ordered))) if ordered else None
        self._bytes = re.compile(b"|".join(re.escape(os.fsencode(v)) for v in ordered)) if ordered else None

    @classmethod
    def of(cls, environment: Mapping[str, str], further: Iterable[str] = ()) -> Mask:
        """The mask for an environment, with ``further`` values that are secret although no variable holds them."""
        return cls([*secret_values(environment), *further])

    def __call__(self, text: str) -> str:
        return self._pattern.sub(MASKED, text) if self._pattern else text

    def line(self, line: bytes) -> bytes:
        """The same for what a step prints, before anybody has decoded it."""
        return self._bytes.sub(MASKED.encode(), line) if self._bytes else line

    def environment(self, environment: Mapping[str, str]) -> dict[str, str]:
        """An environment fit to be shown: secret variables replaced whole, their values wherever else they occur."""
        return {name: MASKED if is_secret(name) and value else self(value) for name, value in environment.items()}


def _parts(value: str) -> Iterator[str]:
    if len(value) >= SHORTEST and value.lower() not in _WORDS:
        yield value
    lines = value.splitlines()
    if len(lines) > 1:
        yield from (line.strip() for line in lines if len(line.strip()) >= SHORTEST_LINE)


def _spellings(value: str) -> Iterator[str]:
    yield value
    yield value.replace("'", "'\\''")  # as bash -x quotes it
    yield re.sub(r'([\\"$`])', r"\\\1", value)  # as declare -p quotes it
