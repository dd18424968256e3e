"""The keys of a plan's steps: gathers from files and settings what :mod:`dib_py.keys` makes a key of."""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from dib_py import keys, packages
from dib_py.base.cache import image_cache
from dib_py.digest import Memory
from dib_py.disk.layout import Layout
from dib_py.element import Element
from dib_py.environment import LIBRARY, DiskFacts, build_variables
from dib_py.host_files import HostFiles
from dib_py.phases import EXTRA_DATA, ROOT, Phase, Side
from dib_py.plan import COMMAND_LINE, DECLARATION
from dib_py.reading import Reader
from dib_py.state import build_path

if TYPE_CHECKING:
    from dib_py.plan import Plan, Step
    from dib_py.windows.declarations import Declared

TARGET = Path(__file__).parent / "target"
WINDOWS = Path(__file__).parent / "windows"


class StepKeys:
    """Predicts the key of each step of one plan."""

    def __init__(self, plan: Plan, *, epoch: str, secret: bytes | None, base_digest: str = "") -> None:
        """``base_digest`` is that of the base image's content, as far as it is known."""
        self._plan = plan
        self._base_digest = base_digest
        self._reader = Reader(plan.hooks, _made(plan), (*plan.elements, *_hidden(plan)))
        cache = image_cache(plan.settings)
        self._host = HostFiles(plan.settings.environ, Memory(cache / "digests" if os.access(cache, os.W_OK) else None))
        self._variables: dict[Phase, Mapping[str, str]] = {}
        self._declarations: dict[str, keys.StepInputs] = {}
        self._engine = keys.Engine(library(), epoch, secret, self._host.of_value, mask=plan.mask, runner=runner_text())

    @property
    def base(self) -> str:
        """The key that the first step starts from.

        A base image whose digest is not known counts by its checksum, or by its place, size and time: a guess.
        """
        plan = self._plan
        content = self._base_digest
        if plan.base is not None and not content:
            content = plan.base.checksum or f"{plan.base.location} {_stamp(Path(plan.base.location))}"
            content += f" {plan.base.media}" if plan.base.media else ""
        geometry = f"{plan.settings.image_size} {plan.settings.sector_size} {_shape(plan.layout)}"
        return keys.base_key(content, geometry)

    def after(self, parent: str, step: Step) -> str:
        """The key of ``step`` after one with the key ``parent``."""
        return self.ingredients(parent, step).key

    def ingredients(self, parent: str, step: Step) -> keys.Ingredients:
        """What that key is made of; the step may be one that no plan had, of a hook that another hook added."""
        if step.kind == DECLARATION:
            return keys.ingredients(parent, self._of_declaration(step), self._engine)
        listed = self._packages_of(step)
        content = step.source.read_bytes() if step.source is not None else b""
        argument = step.argument
        if step.kind == "run":
            argument = ""  # it is the script's text that counts
        elif step.kind == "copy-in":
            source, _, directory = step.argument.rpartition(":")
            content, argument = self._tree(Path(source)).encode(), f"{Path(source).name}:{directory}"
        files = self._files(step, content) if listed is None else ()
        runs = step.kind in ("hook", "run", "packages")
        inputs = keys.StepInputs(
            phase=step.phase.directory,
            name=step.name,
            kind=step.kind,
            mode=step.source.stat().st_mode if step.kind == "hook" and step.source is not None else 0,
            content=content,
            files=files,
            sourced=self._sourced(step) if runs else (),
            host_files=self._host_files(step, [content, *(file.content for file in files)]),
            variables=self._phase_variables(step.phase) if runs else {},
            exported=self._exported,
            packages=listed,
            argument=argument,
        )
        return keys.ingredients(parent, inputs, self._engine)

    def _of_declaration(self, step: Step) -> keys.StepInputs:
        """A declarative file counts with what it asks for; nothing else of a build gets to where it is applied."""
        known = self._declarations.get(step.name)
        if known is None:
            declared = self._plan.declared[step.name]
            path = declared.declaration.path
            known = self._declarations[step.name] = keys.StepInputs(
                phase=step.phase.directory,
                name=step.name,
                kind=step.kind,
                content=self._tree(path).encode() if path.is_dir() else path.read_bytes(),
                host_files={**self._named_trees(declared), **self._read_trees(declared)},
                variables=declared.variables,
                applier=applier(),
            )
        return known

    def _named_trees(self, declared: Declared) -> Mapping[str, str]:
        """The directories of this machine that a declaration's variables name; files count by their variables."""
        return {
            name: self._tree(Path(value))
            for name, value in declared.variables.items()
            if not value.startswith(str(build_path())) and _is_named_directory(value)
        }

    def _read_trees(self, declared: Declared) -> Mapping[str, str]:
        return {path.name: self._tree(path) for path in declared.reads if path.exists()}

    def _packages_of(self, step: Step) -> tuple[str, ...] | None:
        """The list that a hook of our package-installs reads, which is all that it reads; None for other steps."""
        known = self._plan.packages
        slot = packages.slot_of(step.phase.directory, step.name) if known.native else None
        if slot is None or step.element != packages.ELEMENT or slot not in known.slots:
            return None
        return tuple(known.slots[slot])

    def _files(self, step: Step, content: bytes) -> tuple[keys.File, ...]:
        if step.kind not in ("hook", "run"):
            return ()
        return self._reader.readable(step.phase.directory, content)

    def _sourced(self, step: Step) -> tuple[keys.File, ...]:
        """The files that are read before the step runs."""
        return (*self._reader.sourced, *(self._reader.shell if step.phase.side is Side.GUEST else ()))

    def _host_files(self, step: Step, texts: list[bytes]) -> Mapping[str, str]:
        """What of this machine a host-side hook reads, as far as its texts say."""
        if step.phase.side is not Side.HOST:
            return {}
        programs = self._host.bootstrappers(texts) if step.phase is ROOT else {}
        return {**self._host.of_texts(texts), **programs}

    @cached_property
    def _facts(self) -> DiskFacts:
        return replace(self._plan.disk_facts, base_image="")

    @cached_property
    def _exported(self) -> frozenset[str]:
        """What environment.d exports or changes."""
        before = self._before(EXTRA_DATA)
        return frozenset(name for name, value in self._plan.environment.items() if before.get(name) != value)

    def _before(self, phase: Phase) -> dict[str, str]:
        return build_variables(self._plan.settings, self._plan.resolution, phase, disk=self._facts)

    def _phase_variables(self, phase: Phase) -> Mapping[str, str]:
        known = self._variables.get(phase)
        if known is None:
            exported = {name: self._plan.environment[name] for name in self._exported}
            if phase.side is Side.GUEST:
                # the guest has its own idea of these, and files are sourced there again
                exported = {name: value for name, value in exported.items() if name not in ("PATH", "HOME")}
            known = self._variables[phase] = {**self._before(phase), **exported}
        return known

    def _tree(self, top: Path) -> str:
        """Names, modes and contents of a file or directory that is copied into the guest."""
        if not top.is_dir():
            return keys.digest([f"{top.stat().st_mode:o}".encode(), (self._host.of_file(top) or "").encode()])
        parts: list[bytes] = []
        for directory, subdirectories, files in os.walk(top):
            subdirectories.sort()
            for name in sorted([*files, *subdirectories]):
                path = Path(directory) / name
                parts += [os.fsencode(path.relative_to(top)), f"{path.lstat().st_mode:o}".encode()]
                is_link = path.is_symlink()
                parts.append(os.fsencode(path.readlink()) if is_link else (self._host.of_file(path) or "").encode())
        return keys.digest(parts)


def library() -> dict[str, bytes]:
    """The files of the shell library, by name."""
    files = sorted(path for path in LIBRARY.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {str(path.relative_to(LIBRARY)): path.read_bytes() for path in files}


def runner_text() -> bytes:
    """All other shell files of the engine that act in the guest, in a fixed order."""
    files = [TARGET / "guestfs-runner.sh", *sorted((TARGET / "shims").iterdir())]
    return b"\n".join(path.read_bytes() for path in files)


@functools.cache
def applier() -> str:
    """A digest of the whole engine for Windows: all that a declarative file does to an image is done by it.

    A comment that changed costs a rebuild; a number that nobody raised would cost an image.
    """
    files = sorted(path for path in WINDOWS.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return keys.digest(path.read_bytes() for path in files)


def _is_named_directory(value: str) -> bool:
    """Whether a value means a directory of this machine, and not one that everything is in."""
    try:
        return value.strip("./") != "" and Path(value).is_dir()
    except (OSError, ValueError):  # no path at all
        return False


def _shape(layout: Layout | None) -> str:
    """A layout without what is random in it."""
    if layout is None:
        return ""
    filesystems = tuple(replace(filesystem, uuid="") for filesystem in layout.filesystems)
    return repr(replace(layout, filesystems=filesystems, source=""))


def _stamp(path: Path) -> str:
    """Size and time of a file, empty for what is no file of this machine."""
    try:
        status = path.stat()
    except OSError:
        return ""
    return f"{status.st_size}:{status.st_mtime_ns}"


def _hidden(plan: Plan) -> list[Element]:
    """What the image's elements hide on ``ELEMENTS_PATH``: diskimage-builder's package-installs reads these too."""
    found = []
    for number, directory in enumerate(plan.settings.elements_path):
        for element in plan.elements:
            path = (directory / element.name).resolve()
            if path != element.path and path.is_dir():
                found.append(Element(f"{number}/{element.name}", path))
    return found


def _made(plan: Plan) -> dict[str, bytes]:
    """What the engine puts into the merged hooks, beside what the elements have there."""
    scripts = {f"{COMMAND_LINE}/{step.name}": step.source for step in plan.steps if step.kind == "run"}
    read = {path: source.read_bytes() for path, source in scripts.items() if source is not None}
    return {**packages.files(plan.packages), **read}
