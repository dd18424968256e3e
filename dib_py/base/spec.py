"""Which base image a build starts from: what the user names, else what the operating-system element declares."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

import yaml

from dib_py.base.transport import shown
from dib_py.disk.size import parse_size
from dib_py.errors import BaseError, FileError, nearest
from dib_py.settings import Settings

ASKED_FOR = "--base or DIB_LOCAL_IMAGE"  # the source of what the user names
_KEYS = ("url", "checksum", "signature", "image-signature", "keyring", "missing", "edition", "disk-size")
_OPTIONAL = ("signature", "image-signature", "keyring", "missing", "edition")
_VARIABLE = re.compile(r"\$(?:\{([^}]*)\}|(\$))")  # ${NAME}; $$ is a dollar


@dataclass(frozen=True)
class Media:
    """What to make of Windows' installation media: a disk of so many bytes with an edition, empty for the only one."""

    edition: str
    disk_size: int


@dataclass(frozen=True)
class BaseSpec:
    """``location`` is an absolute path or an address; ``checksum`` is ``[ALGORITHM:]DIGEST``, the path or address of a
    checksum file, or empty; ``source`` is who asked for it, for messages.

    ``signature`` is the address of the checksum file's signature, empty where it is in the file itself or there is
    none; ``image_signature`` is that of the image itself, where the publisher signs that instead. ``keyring`` is the
    path of the keys that may have made it, empty where none is known. ``media`` is for an operating system whose
    element takes installation media in the place of an image.
    """

    location: str
    checksum: str
    source: str
    signature: str = ""
    keyring: str = ""
    image_signature: str = ""
    media: Media | None = None

    def __str__(self) -> str:
        return shown(self.location) if "://" in self.location else self.location


def base_spec(settings: Settings, element: Path | None, environment: Mapping[str, str]) -> BaseSpec | None:
    """The base image of a build, or None for a blank disk.

    ``element`` is the ``base-image.yaml`` of the operating-system element; it counts if every variable that its
    address and checksum name is set in ``environment``. BaseError where one is not and the element says that there is
    nothing to do without an image (``missing``).
    """
    if settings.base:
        media = _media(element, _values(element, environment)[0]) if element else None
        return BaseSpec(_absolute(settings.base), settings.base_checksum, ASKED_FOR, media=media)
    declared = _declared(element, environment) if element else None
    if declared is None:
        if settings.base_checksum:
            raise BaseError("--base-checksum is given, but the build starts from no base image", hint="--base FILE")
        return None
    checksum = settings.base_checksum or declared.get("checksum", "")
    spec = BaseSpec(_absolute(declared["url"]), checksum, str(element), media=_media(element, declared))
    if settings.base_checksum:
        return spec
    keyring = declared.get("keyring", "")
    return replace(
        spec,
        signature=declared.get("signature", ""),
        image_signature=declared.get("image-signature", ""),
        keyring=str(element.parent / keyring) if keyring and element else "",  # the element may bring it
    )


def local_path(location: str) -> Path | None:
    """The file on this machine that a path or a ``file:`` address names; None for other addresses."""
    if "://" not in location:
        return Path(location)
    parts = urlsplit(location)
    if parts.scheme != "file":
        return None
    if parts.netloc not in ("", "localhost"):
        raise BaseError(f"{location} names a file of another machine")
    return Path(url2pathname(parts.path))


def _absolute(location: str) -> str:
    path = local_path(location)
    return location if path is None else os.path.abspath(path.expanduser())  # noqa: PTH100 - symlinks stay as given


def _declared(file: Path, environment: Mapping[str, str]) -> dict[str, str] | None:
    """The file's values, expanded; None where a variable that they name is unset or empty, or BaseError with what the
    file says about that."""
    values, complete = _values(file, environment)
    if "url" not in values:
        raise FileError(file, "has no url")
    if not complete and values.get("missing"):
        raise BaseError(values["missing"], hint="--base FILE or DIB_LOCAL_IMAGE names an image")
    return values if complete else None


def _media(file: Path | None, values: Mapping[str, str]) -> Media | None:
    """What a file says of installation media; None for an operating system that comes as an image."""
    if file is None or "disk-size" not in values:
        return None
    try:
        return Media(values.get("edition", ""), parse_size(values["disk-size"]))
    except ValueError as error:
        raise FileError(file, f"disk-size: {error}") from error


def _values(file: Path, environment: Mapping[str, str]) -> tuple[dict[str, str], bool]:
    """The file's values, expanded, and whether every variable that they need is set."""
    values: dict[str, str] = {}
    complete = True
    for key, value, line in _pairs(file):
        expanded, whole = _expand(value, environment, file, line)
        if key in _OPTIONAL and not whole:
            continue
        values[key] = expanded
        complete = complete and whole
    return values, complete


def _pairs(file: Path) -> list[tuple[str, str, int]]:
    try:
        root = yaml.compose(file.read_text(), Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else None
        raise FileError(file, f"bad YAML: {error.problem}", line=line) from error
    except (OSError, UnicodeDecodeError) as error:
        raise FileError(file, f"can't be read: {error}") from error
    if not isinstance(root, yaml.MappingNode):
        raise FileError(file, f"is no mapping of {', '.join(_KEYS)}", line=1)
    return [_pair(file, key, value) for key, value in root.value]


def _pair(file: Path, key: yaml.Node, value: yaml.Node) -> tuple[str, str, int]:
    line = key.start_mark.line + 1
    if key.value not in _KEYS:
        meant = nearest(str(key.value), _KEYS)
        hint = f"did you mean {meant[0]}?" if meant else f"there are {', '.join(_KEYS)}"
        raise FileError(file, f"unknown key '{key.value}'", line=line, hint=hint)
    if not isinstance(value, yaml.ScalarNode) or not value.value.strip():
        raise FileError(file, f"{key.value} takes a text", line=line)
    return str(key.value), value.value.strip(), value.start_mark.line + 1


def _expand(text: str, environment: Mapping[str, str], file: Path, line: int) -> tuple[str, bool]:
    """``text`` with its variables' values, and whether all of them have one."""
    whole = True

    def value(match: re.Match[str]) -> str:
        nonlocal whole
        if match[2]:
            return "$"
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", match[1]):
            raise FileError(file, f"'{match[0]}' is no variable", line=line, hint="only ${NAME} is expanded")
        found = environment.get(match[1], "")
        whole = whole and bool(found)
        return found

    return _VARIABLE.sub(value, text), whole
