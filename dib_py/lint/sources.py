"""The files of an element as lint sees them: text, kind, and what their author switched off."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePath

from dib_py.element import ENVIRONMENT_DIRECTORY, Element
from dib_py.phases import BY_DIRECTORY

LARGEST = 1 << 20  # bytes; a larger file is payload, not something that a person wrote
_DISABLE = re.compile(r"^(?:#|\.\.) dib-lint: disable=(.*)$", re.MULTILINE)
_SHELL = re.compile(r"#!.*\b(?:bash|sh|dash|ksh)\b")
_NOT_SHELL = (".rst", ".md", ".yaml", ".yml", ".json", ".py")
_SKIPPED_DIRECTORIES = frozenset({"__pycache__", ".git"})


@dataclass(frozen=True)
class File:
    """One file of an element."""

    element: Element
    path: Path

    @cached_property
    def relative(self) -> PurePath:
        return self.path.relative_to(self.element.path)

    @property
    def directory(self) -> str:
        """The element's directory that it is in, at whatever depth; empty for a file at the top."""
        return self.relative.parts[0] if len(self.relative.parts) > 1 else ""

    @property
    def is_environment(self) -> bool:
        return self.directory == ENVIRONMENT_DIRECTORY

    @property
    def is_in_phase(self) -> bool:
        """Whether it lies directly in a phase directory, where hooks are looked for."""
        return len(self.relative.parts) == 2 and self.directory in BY_DIRECTORY

    @cached_property
    def is_executable(self) -> bool:
        return os.access(self.path, os.X_OK)

    @cached_property
    def content(self) -> bytes:
        return self.path.read_bytes() if self.path.stat().st_size <= LARGEST else b"\0"

    @cached_property
    def is_text(self) -> bool:
        return b"\0" not in self.content

    @cached_property
    def lines(self) -> list[str]:
        """Its lines without their ends; none of a file that is no text."""
        return self.content.decode(errors="replace").split("\n") if self.is_text else []

    @property
    def interpreter(self) -> str:
        """The first line if it names one, else empty."""
        return self.lines[0] if self.lines and self.lines[0].startswith("#!") else ""

    @property
    def is_bash(self) -> bool:
        return "#!/bin/bash" in self.interpreter

    @property
    def is_python(self) -> bool:
        return "python" in self.interpreter

    @property
    def is_shell(self) -> bool:
        """Whether a shell reads it: by its first line, or sourced from environment.d."""
        sourced = self.is_environment and self.path.suffix not in _NOT_SHELL
        return _SHELL.match(self.interpreter) is not None or (sourced and not self.is_python)

    @cached_property
    def logical_lines(self) -> list[tuple[int, str]]:
        """Lines of code with their numbers, continuations joined, comments left out."""
        found: list[tuple[int, str]] = []
        first, text = 0, ""
        for number, line in enumerate(self.lines, start=1):
            first, text = (first, text + line) if text else (number, line)
            if text.endswith("\\") and not text.lstrip().startswith("#"):
                text = text[:-1]
                continue
            if text.strip() and not text.lstrip().startswith("#"):
                found.append((first, text))
            text = ""
        return found

    @cached_property
    def disabled(self) -> frozenset[str]:
        """The rules that a line ``# dib-lint: disable=...`` switches off for the file."""
        if not self.is_text:
            return frozenset()
        said = _DISABLE.findall("\n".join(self.lines))
        return frozenset(code for codes in said for code in codes.replace(",", " ").split())


def files_of(element: Element) -> Iterator[File]:
    """All files of an element, sorted; links, compiled Python and editors' leavings are left out."""
    for directory, names, files in os.walk(element.path):
        names[:] = sorted(name for name in names if name not in _SKIPPED_DIRECTORIES)
        for name in sorted(files):
            path = Path(directory, name)
            if path.is_file() and not path.is_symlink() and not name.endswith((".pyc", "~", ".swp")):
                yield File(element, path)
