"""A new element: the files that a well-formed one begins with, written all or not at all."""

from __future__ import annotations

import re
import shlex
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from dib_py.errors import UsageError
from dib_py.phases import EXTRA_DATA, Phase, Side

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_DEPENDENCY = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_PACKAGE = re.compile(r"[A-Za-z0-9@][^\s:#{}\[\],&*!|>'\"%`]*")  # plain in YAML
# what bash takes as it stands in ${NAME:-...}, and reStructuredText anywhere
_PLAIN = re.compile(r"[A-Za-z0-9./:@%+=,-]*")

_HOOK = """\
#!/bin/bash
# {what}

if [ "${{DIB_DEBUG_TRACE:-0}}" -gt 0 ]; then
    set -x
fi
set -euo pipefail

echo "{path} has nothing to do yet"
"""
_WHERE = {
    Side.GUEST: "To be written: what this hook does. It runs in the guest.",
    Side.HOST: "To be written: what this hook does. It runs on the machine that builds, as root perhaps.",
}


_REGISTRY = """\
# To be written: the keys and values of the registry that are to be there.
#
# - key: HKLM\\SOFTWARE\\Contoso
#   values:
#     Colour: {{sz: "{value}"}}
#     Level: {{dword: 1}}
"""
_WINDOWS_SECTIONS = """
What it edits
-------------

To be written: which keys of the registry and which files.

What happens at first boot
--------------------------

Nothing.
"""


@dataclass(frozen=True)
class Skeleton:
    """What a new element is to have; ``variables`` by name, with their defaults.

    One for Windows (``windows``) has no hooks in the guest and no packages, but a file for the registry.
    """

    name: str
    summary: str = ""
    phases: Sequence[Phase] = ()
    packages: Sequence[str] = ()
    needs: Sequence[str] = ()
    variables: Mapping[str, str] = field(default_factory=dict)
    windows: bool = False

    def __post_init__(self) -> None:
        """Raise UsageError for what no element could have."""
        if not _NAME.fullmatch(self.name):
            raise UsageError(f"'{self.name}' is no name for an element", hint="letters, digits, '-' and '_' make one")
        for kind, known, names in (
            ("a variable", _VARIABLE, self.variables),
            ("an element", _DEPENDENCY, self.needs),
            ("a package", _PACKAGE, self.packages),
        ):
            for name in names:
                if not known.fullmatch(name):
                    raise UsageError(f"'{name}' is no name of {kind}")
        for text in (self.summary, *self.variables.values()):
            if any(ord(letter) < 32 for letter in text):
                raise UsageError(f"{text!r} has to be one line")
        if self.name in self.needs:
            raise UsageError(f"{self.name} can't need itself")
        if self.windows and self.packages:
            raise UsageError("an element for Windows installs no packages", hint="firstboot.d may run an installer")
        if self.windows and (others := [phase.name for phase in self.phases if phase is not EXTRA_DATA]):
            raise UsageError(f"no hook of {others[0]} runs for Windows", hint="only those of extra-data do")

    @property
    def files(self) -> dict[str, str]:
        """Content by path; what is below a phase's directory is executable."""
        found = {"README.rst": self._readme()}
        needed = sorted({*self.needs, *(["package-installs"] if self.packages else [])})
        if needed:
            found["element-deps"] = "".join(f"{name}\n" for name in needed)
        if self.packages:
            found["package-installs.yaml"] = "".join(f"{name}:\n" for name in sorted(set(self.packages)))
        if self.variables:
            found[f"environment.d/10-{self.name}.bash"] = "".join(map(self._export, self.variables))
        if self.windows:
            value = next((f"${{{name}}}" for name in self.variables), "blue")
            found[f"registry.d/50-{self.name}.yaml"] = _REGISTRY.format(value=value)
        for phase in self.phases:
            path = f"{phase.directory}/50-{self.name}"
            found[path] = _HOOK.format(what=_WHERE[phase.side], path=path)
        return found

    def write(self, directory: Path) -> Path:
        """Make the element in ``directory``, which is made too if need be; returns its path.

        UsageError if there is something of this name, or the element can't be written: nothing is left of it then.
        """
        path = directory / self.name
        if path.is_symlink() or path.exists():
            raise UsageError(f"{path} is there already", hint="nothing was changed")
        made: list[Path] = []
        try:
            for parent in (directory, *directory.parents):
                if parent.exists():
                    break
                made.append(parent)
            directory.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=f".{self.name}-", dir=directory) as scratch:
                whole = Path(scratch, self.name)
                self._fill(whole)
                whole.rename(path)
        except OSError as error:
            for parent in made:
                with suppress(OSError):
                    parent.rmdir()
            raise UsageError(f"{path} can't be made: {error.strerror}") from error
        return path

    def _fill(self, root: Path) -> None:
        root.mkdir()
        for name, content in self.files.items():
            file = root / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(content)
            if content.startswith("#!"):
                file.chmod(file.stat().st_mode | 0o111)

    def _readme(self) -> str:
        line = "=" * len(self.name)
        summary = self.summary or "To be written: one sentence that says what the element does."
        text = f"{line}\n{self.name}\n{line}\n\n{summary if summary[-1] in '.!?' else f'{summary}.'}\n"
        text += _WINDOWS_SECTIONS if self.windows else ""
        if self.variables:
            text += "\nVariables\n---------\n"
        for name, default in self.variables.items():
            shown = default if _PLAIN.fullmatch(default) or "`" in default else f"``{default.strip()}``"
            text += f"\n``{name}``\n  :Default: {shown or 'empty'}\n  :Description: To be written: what it is for.\n"
        return text

    def _export(self, name: str) -> str:
        default = self.variables[name]
        if _PLAIN.fullmatch(default):
            return f"export {name}=${{{name}:-{default}}}\n"
        return f'[ -n "${{{name}:-}}" ] || {name}={shlex.quote(default)}\nexport {name}\n'
