"""The command that does a build again: the same arguments and the variables that count, without secrets."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence

from dib_py.settings import Settings, table

SECRET = re.compile(r"PASSWORD|PASSWD|SECRET|TOKEN|_KEY$", re.IGNORECASE)
COUNTS = re.compile(r"DIB_\w+|RUN_PARTS_REGEX|\w+_proxy|\w+_PROXY")
CREDENTIALS = re.compile(r"(?<=://)[^/@\s]+@")  # user:password@ of an address


def replay(program: str, settings: Settings) -> str:
    """A line for a shell; a secret variable is taken from that shell's own environment."""
    return " ".join([*_variables(settings.environ), program, *_arguments(settings.argv)])


def _variables(environ: Mapping[str, str]) -> Iterator[str]:
    known = {name for setting in table() for name in setting.environment}
    for name in sorted(environ):
        if name not in known and not COUNTS.fullmatch(name):
            continue
        if SECRET.search(name) or CREDENTIALS.search(environ[name]):
            yield f'{name}="${name}"'
        else:
            yield f"{name}={shlex.quote(environ[name])}"


def _arguments(argv: Sequence[str]) -> Iterator[str]:
    for word in argv:
        yield shlex.quote(CREDENTIALS.sub("***@", word))
