"""Rules for the files that declare: YAML, JSON, package-installs, package-caches, pkg-map, svc-map."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from dib_py.element import Catalog, Element
from dib_py.errors import FileError
from dib_py.lint.registry import Subject, element_rule, file_rule
from dib_py.lint.sources import File
from dib_py.packages import package_caches, package_installs, pkg_map, svc_map
from dib_py.packages.declarations import Document, read_either, read_json, read_yaml

_YAML = (".yaml", ".yml")
_SECTIONS = frozenset({"default", "family", "distro", "release"})

# what every build sets before package-installs are read, and what every operating-system element exports
_NAMES = """
    ARCH DIB_ARGS DIB_BLOCK_DEVICE DIB_BLOCK_DEVICE_PARAMS_YAML DIB_BOOT_LABEL DIB_CHECKSUM DIB_DEBUG_TRACE
    DIB_DEFAULT_INSTALLTYPE DIB_ENV DIB_IMAGE_CACHE DIB_INIT_SYSTEM DIB_LOCKFILES DIB_MIN_TMPFS DIB_MOUNTPOINTS
    DIB_NO_TMPFS DIB_OFFLINE DIB_PYTHON_EXEC DIB_RELEASE DIB_ROOT_FSTYPE DIB_ROOT_LABEL DISTRO_NAME ELEMENTS_PATH
    FS_TYPE HOME IMAGE_ELEMENT IMAGE_ELEMENT_YAML IMAGE_NAME IMAGE_TYPE LC_ALL OUT_IMAGE_PATH PATH PWD
    TMP_BUILD_DIR TMP_HOOKS_PATH TMP_IMAGE_DIR TMP_MOUNT_PATH USER _LIB
"""
_ALWAYS_SET = frozenset(_NAMES.split())

# NAME=, export NAME, declare -x NAME, : ${NAME:=...}
_ASSIGNED = re.compile(r"(?:^|[\s;])(?:export\s+|declare\s+-\w+\s+)?([A-Za-z_]\w*)=|\bexport\s+([\w ]+)|\$\{(\w+):?=")


@file_rule("yaml")
def valid_yaml(file: File) -> Iterator[tuple[int, str]]:
    """A YAML file is valid; what the engine reads is one document of plain data."""
    top = file.directory == ""
    if not file.is_text or not (file.path.suffix in _YAML or (top and file.path.name == svc_map.FILE)):
        return
    try:
        if top:
            read_yaml(file.path)
        else:
            _parse_events(file)
    except FileError as error:
        yield error.line or 1, error.message


def _parse_events(file: File) -> None:
    """Only the syntax: a file for some program in the guest may hold several documents, or tags of its own."""
    try:
        for _ in yaml.parse("\n".join(file.lines)):
            pass
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        raise FileError(file.path, f"is not valid YAML: {error.problem or error.context}", line=line) from error
    except yaml.YAMLError as error:
        raise FileError(file.path, f"is not valid YAML: {error}") from error


@file_rule("json")
def valid_json(file: File) -> Iterator[tuple[int, str]]:
    """A JSON file is valid, and so is ``pkg-map``."""
    named = file.path.suffix == ".json" or (file.directory == "" and file.path.name == pkg_map.FILE)
    if not named or not file.is_text:
        return
    try:
        read_json(file.path)
    except FileError as error:
        yield error.line or 1, error.message


@file_rule("duplicate-key")
def duplicate_key(file: File) -> Iterator[tuple[int, str]]:
    """A mapping in a file that the engine reads has each key once: the last one would win silently."""
    declares = file.path.suffix in (*_YAML, ".json") or file.path.name in (pkg_map.FILE, svc_map.FILE)
    if file.directory or not declares or not file.is_text:
        return
    try:
        # JSON is YAML, but for tabs between its words
        node = yaml.compose("\n".join(file.lines).replace("\t", " "), yaml.SafeLoader)
    except yaml.YAMLError:
        return
    yield from _duplicates(node)


def _duplicates(node: yaml.Node | None) -> Iterator[tuple[int, str]]:
    if isinstance(node, yaml.SequenceNode):
        for item in node.value:
            yield from _duplicates(item)
    if not isinstance(node, yaml.MappingNode):
        return
    first: dict[str, int] = {}
    for key, value in node.value:
        line = key.start_mark.line + 1
        if isinstance(key, yaml.ScalarNode) and key.value != "<<" and first.setdefault(key.value, line) != line:
            yield line, f"key {key.value} is there twice, first in line {first[key.value]}"
        yield from _duplicates(value)


@element_rule("package-installs")
def package_installs_entries(subject: Subject) -> Iterator[tuple[Path, int, str]]:
    """A package-installs entry has known keys, a phase that is looked at, and conditions that can hold."""
    for document in _documents(subject.element.package_installs, read_either):
        for error in _wrong_entries(document):
            yield document.path, error.line or 1, error.message


@element_rule("when-unset")
def when_unset(subject: Subject) -> Iterator[tuple[Path, int, str]]:
    """A variable in ``when`` is set: by the build, or in environment.d of the element or of what it depends on."""
    known = _ALWAYS_SET | _exported(subject.catalog, subject.element)
    files = (*subject.element.package_installs, *_package_caches(subject.element))
    for document in _documents(files, read_either):
        for name, place, entry in _entries(document.data):
            for index, statement in enumerate(_statements(entry)):
                match = package_installs.WHEN.match(statement)
                if match is not None and match["variable"] not in known:
                    what = name if document.path.name == package_caches.FILE else f"package {name}"
                    message = f"{what}: when: nothing that the element depends on sets {match['variable']}"
                    yield document.path, document.error("", *place, "when", index).line or 1, message


@element_rule("pkg-map")
def package_map(subject: Subject) -> Iterator[tuple[Path, int, str]]:
    """A pkg-map maps names to texts in the sections default, family, distro and release."""
    path = subject.element.path / pkg_map.FILE
    for document in _documents([path] if path.is_file() else [], read_json):
        try:
            pkg_map.PackageMap.read(subject.element)
        except FileError as error:
            yield path, error.line or 1, error.message
            continue
        for section in sorted(set(document.data) - _SECTIONS):
            line = document.error("", section).line or 1
            yield path, line, f"section {section} is never read: there are {', '.join(sorted(_SECTIONS))}"


@element_rule("svc-map")
def service_map(subject: Subject) -> Iterator[tuple[Path, int, str]]:
    """A svc-map maps each service to names by distribution, family or default."""
    path = subject.element.path / svc_map.FILE
    for _ in _documents([path] if path.is_file() else [], read_yaml):
        try:
            svc_map.read(subject.element)
        except FileError as error:
            yield path, error.line or 1, error.message


@element_rule("package-caches")
def package_caches_entries(subject: Subject) -> Iterator[tuple[Path, int, str]]:
    """A package-caches entry is a directory of the guest that says what is kept, and its conditions can hold."""
    for document in _documents(_package_caches(subject.element), read_yaml):
        for error in package_caches.faults(document):
            yield document.path, error.line or 1, error.message


def _package_caches(element: Element) -> list[Path]:
    path = element.path / package_caches.FILE
    return [path] if path.is_file() else []


def _documents(paths: Any, read: Callable[[Path], Document]) -> Iterator[Document]:
    """Those files that can be read; the rules for YAML and JSON tell of the others."""
    for path in paths:
        try:
            yield read(path)
        except FileError:
            continue


def _entries(data: Any) -> Iterator[tuple[str, tuple[Any, ...], Mapping[str, Any]]]:
    """Package, place and parameters of each entry that has any."""
    for name, value in data.items() if isinstance(data, dict) else ():
        for index, entry in enumerate(value if isinstance(value, list) else [value]):
            if isinstance(entry, dict):
                yield name, (name, index) if isinstance(value, list) else (name,), entry


def _statements(entry: Mapping[str, Any]) -> list[str]:
    when = entry.get("when")
    return [] if when is None else [str(statement) for statement in (when if isinstance(when, list) else [when])]


def _wrong_entries(document: Document) -> Iterator[FileError]:
    if document.data is not None and not isinstance(document.data, dict):
        yield document.error("must be a mapping of packages")
    for name, place, entry in _entries(document.data):
        for key in sorted(map(str, set(entry) - package_installs.KEYS)):
            yield document.error(f"package {name}: {key} is no key of package-installs", *place, key)
        if str(entry.get("phase", "install.d")) not in package_installs.PHASES:
            phases = ", ".join(package_installs.PHASES)
            message = f"package {name}: packages are never installed in {entry['phase']}, only in {phases}"
            yield document.error(message, *place, "phase")
        if entry.get("arch") and entry.get("not-arch"):
            yield document.error(f"package {name} has both arch and not-arch", *place, "not-arch")
        for key in ("arch", "not-arch"):
            if re.search(r",\s|\s,", str(entry.get(key, ""))):
                message = f"package {name}: blanks in {key}, with which diskimage-builder never finds the name"
                yield document.error(message, *place, key)
        for key in ("uninstall", "build-only"):
            if entry.get(key) is False:
                yield document.error(f"package {name}: {key} counts because it is there, false or not", *place, key)
        for index, statement in enumerate(_statements(entry)):
            if package_installs.WHEN.match(statement) is None:
                message = f"package {name}: malformed when: '{statement}' is not VARIABLE = value or VARIABLE != value"
                yield document.error(message, *place, "when", index)


def _exported(catalog: Catalog, element: Element) -> frozenset[str]:
    """Variables that environment.d of an element and of all that it depends on may set."""
    names: set[str] = set()
    seen = {element.name}
    queue = [element]
    while queue:
        current = queue.pop()
        for path in current.environment_files:
            for found in _ASSIGNED.findall(path.read_text(encoding="utf-8", errors="replace")):
                names.update(" ".join(found).split())
        for dep in current.deps:
            if dep not in seen and dep in catalog:
                seen.add(dep)
                queue.append(catalog[dep])
    return frozenset(names)
