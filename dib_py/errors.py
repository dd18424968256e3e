"""Every error that a user can meet: one hierarchy, each with its message, hint and exit code.

Library code raises; only the command line exits.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path


class DibError(Exception):
    """Something that the user can understand and mend; anything else is a bug of ours."""

    exit_code = 1

    def __init__(self, message: str, *, hint: str = "", where: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.where = where

    def __str__(self) -> str:
        return f"{self.where}: {self.message}" if self.where else self.message


class UsageError(DibError):
    """The command line asks for something impossible."""


class ElementError(DibError):
    """An element, or the choice of elements, is wrong."""


class FileError(ElementError):
    """A file of an element does not hold what it should."""

    def __init__(self, path: Path, message: str, *, line: int | None = None, hint: str = "") -> None:
        where = str(path) if line is None else f"{path}:{line}"
        super().__init__(message, hint=hint, where=where)
        self.path = path
        self.line = line


class HostError(DibError):
    """This machine lacks something that the build needs."""


class BaseError(DibError):
    """The base image cannot be had, or is not what it should be."""


class DiskError(DibError):
    """The image's disk cannot be made, served, resized or laid out."""


class TargetError(DibError):
    """The guest's tree cannot be reached."""


class OutputError(DibError):
    """The image cannot be written."""


class HookFailed(DibError):
    """A step ended with a non-zero exit code, which becomes ours, as in diskimage-builder."""

    def __init__(self, step: str, element: str, exit_code: int, *, reason: str = "") -> None:
        super().__init__(reason or f"{step} of element {element} failed with exit code {exit_code}")
        self.step = step
        self.element = element
        self.exit_code = exit_code
        self.phase = ""
        self.tail: list[str] = []


def nearest(name: str, known: Iterable[str], count: int = 3) -> list[str]:
    """Names of ``known`` that a person who typed ``name`` may have meant, the likeliest first."""
    return difflib.get_close_matches(name, sorted(known), n=count, cutoff=0.6)
