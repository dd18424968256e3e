"""The command that does a build again: the same arguments and the variables that count, without secrets."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator

from dib_py.secrets import CREDENTIALS, MASKED, Mask, is_secret
from dib_py.settings import Settings, table

COUNTS = re.compile(r"DIB_\w+|RUN_PARTS_REGEX|\w+_proxy|\w+_PROXY")


def replay(program: str, settings: Settings) -> str:
    """A line for a shell; a variable with a secret is taken from that shell's own environment."""
    mask = Mask.of(settings.environ)
    arguments = (CREDENTIALS.sub(f"{MASKED}@", mask(word)) for word in settings.argv)
    return " ".join([*_variables(settings, mask), program, *map(shlex.quote, arguments)])


def _variables(settings: Settings, mask: Mask) -> Iterator[str]:
    known = {name for setting in table() for name in setting.environment}
    for name, value in sorted(settings.environ.items()):
        if name not in known and not COUNTS.fullmatch(name):
            continue
        if is_secret(name) or CREDENTIALS.search(value) or mask(value) != value:
            yield f'{name}="${name}"'
        else:
            yield f"{name}={shlex.quote(value)}"
