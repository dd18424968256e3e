"""What the store knows of a step that ran: the record beside its layer.

Invariant: a record is written last, so a layer without one was never committed. A record that this version can't read
counts as none, as does one that is not, to the letter, what was written.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast, get_args, get_origin, get_type_hints

from dib_py import keys
from dib_py.keys import Ingredients

FORMAT = 1  # of records; one of another format is a miss

_BEFORE, _AFTER = '", "record": ', "}\n"  # around a record's fields

T = TypeVar("T")


@dataclass(frozen=True)
class DiskState:
    """What the engine must know of a disk to go on from a layer; sizes in bytes.

    ``roomy``: it has more room than the image needs and is cut to its size later. ``grows``: it grows on demand.
    ``uuids`` are those of the layout's filesystems, by name, as they were made.
    """

    size: int
    capacity: int
    roomy: bool = False
    grows: bool = False
    uuids: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class BaseRecord:
    """The base image below the first layer."""

    location: str
    format: str
    digest: str


@dataclass(frozen=True)
class PackageChanges:
    """What a step did to the guest's packages: versions by name; those that changed are in both."""

    before: Mapping[str, str]
    after: Mapping[str, str]


@dataclass(frozen=True)
class BindMount:
    """What a host-side hook left mounted in the guest's tree: ``source`` on this machine, ``path`` in the guest."""

    source: str
    path: str


@dataclass(frozen=True)
class Record:
    """A step that ran and succeeded.

    ``backing`` is the key of the layer below ("" for the base image or nothing): the parent's, unless that was
    merged. ``digest`` is the layer file's blake2b, and "" where the layer was merged into a later one, or the step
    never had one of its own: what it did came into the disk with what followed. ``pending`` is the one that it has
    once a merge that is under way is done. ``content`` stands for what is in the disk after the step: two runs of
    one step seldom leave the same bytes, so a layer belongs only on the very run that it was made on, whose content
    is ``parent_content`` ("" for a first step). Merging changes neither. ``ingredients`` are what the key was made
    of. ``artefacts`` are the paths in this step's archive, and ``archive`` is the blake2b of that. The store fills
    in digest, content, parent_content, archive and allocated.
    """

    key: str
    phase: str
    element: str
    name: str
    kind: str
    ingredients: Ingredients
    backing: str
    disk: DiskState
    base: BaseRecord | None
    digest: str
    allocated: int  # bytes of the layer file on its filesystem
    seconds: float
    finished: str  # UTC, ISO 8601
    target: str
    engine: str  # version of dib-py
    packages: PackageChanges | None = None
    artefacts: tuple[str, ...] = ()
    mounts: tuple[BindMount, ...] = ()
    archive: str = ""
    content: str = ""
    parent_content: str = ""
    pending: str = ""

    @property
    def parent(self) -> str:
        return self.ingredients.parent

    @property
    def title(self) -> str:
        """How people call the step."""
        return f"{self.phase}/{self.name}"

    def to_json(self) -> str:
        return framed(json.dumps(dataclasses.asdict(self), sort_keys=True))

    @classmethod
    def from_json(cls, text: str) -> Record:
        """Raises ValueError for what is no record of this format."""
        try:
            data = json.loads(text)
            if data["format"] != FORMAT:
                raise ValueError("another format")
            record = decoded(cls, data["record"])
        except (KeyError, TypeError, AttributeError, RecursionError) as error:
            raise ValueError(f"no record: {error}") from error
        body = text[text.find(_BEFORE) + len(_BEFORE) : -len(_AFTER)]
        if text != framed(body):
            raise ValueError("a damaged record")
        return record


def is_of_the_future(text: str) -> bool:
    """Whether this is a record that a newer dib-py can read."""
    try:
        return int(json.loads(text)["format"]) > FORMAT
    except (ValueError, KeyError, TypeError, RecursionError):
        return False


def framed(body: str) -> str:
    """A record's fields with a digest of them: a bit that flips in a number leaves JSON that can be read."""
    return f'{{"format": {FORMAT}, "check": "{keys.digest([body.encode()])}{_BEFORE}{body}{_AFTER}'


def decoded(kind: Callable[..., T], data: Any) -> T:
    """A dataclass from JSON's values, each of its field's type; ValueError, KeyError or TypeError if one is not."""
    hints = _hints(kind)
    if data.keys() != hints.keys():
        raise ValueError(f"{kind} has other fields")
    return kind(**{name: _value(hint, data[name]) for name, hint in hints.items()})


@functools.cache
def _hints(kind: Callable[..., Any]) -> dict[str, Any]:
    return get_type_hints(kind)


def _value(hint: Any, value: Any) -> Any:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is types.UnionType:
        return None if value is None else _value(arguments[0], value)
    if origin is tuple and isinstance(value, list):
        return tuple(_value(arguments[0], one) for one in value)
    if origin is Mapping and isinstance(value, dict):
        return {name: _value(arguments[1], one) for name, one in value.items()}
    if hint is Ingredients:
        return Ingredients.from_dict(value)
    if dataclasses.is_dataclass(hint):
        return decoded(cast(type[Any], hint), value)
    if type(value) is hint or (hint is float and type(value) is int):
        return value
    raise ValueError(f"{value!r} is no {hint}")
