"""Text from outside, made fit for a terminal of ours."""

from __future__ import annotations

import re

# Escape sequences and control characters of a hook's output would move the cursor of our own view.
UNPRINTABLE = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b.|[\x00-\x08\x0b-\x1f\x7f-\x9f]"
)


def printable(text: str) -> str:
    """The last state of a line that a program may have redrawn, without what would move the cursor."""
    return UNPRINTABLE.sub("", text.rstrip("\r").rpartition("\r")[2]).expandtabs().rstrip()


def one_line(text: str) -> str:
    """The same of a text of several lines, as one."""
    return " ".join(filter(None, (printable(line).strip() for line in text.splitlines())))
