"""Text of an image's own making, fit to be shown: names of files and values of the registry may hold anything."""

from __future__ import annotations


def escaped(line: str) -> str:
    """The same with codes for what can't be seen: a terminal's commands, ends of lines, bytes of no encoding."""
    return "".join(one if one.isprintable() else _code(one) for one in line)


def _code(one: str) -> str:
    return one.encode("unicode_escape").decode("ascii")
