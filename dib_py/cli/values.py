"""From the text of an option or a variable to the value of a setting, by the setting's kind."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dib_py.element import split_elements_path
from dib_py.errors import UsageError
from dib_py.extensions import CHECKSUMS, check_target
from dib_py.phases import check_stops
from dib_py.settings import Setting
from dib_py.units import GIB, MIB

OFF = frozenset({"", "0", "false", "no", "off"})
LARGEST_DISK = 2**50  # bytes; qcow2 ends not far above
_LARGEST_SECTOR = 4096


def convert(setting: Setting, text: str, where: str) -> Any:
    """The value that ``text`` means; ``where`` is the option or variable that it came from, for the UsageError."""
    if setting.choices:
        return _choice(text, where, setting.choices)
    return _BY_KIND[setting.kind](text, where)


def is_on(text: str) -> bool:
    """Whether a variable that says yes or no says yes."""
    return text.strip().lower() not in OFF


def _text(text: str, where: str) -> str:
    return text


def _flag(text: str, where: str) -> bool:
    return is_on(text)


def _integer(text: str, where: str) -> int:
    try:
        value = int(text)
    except ValueError:
        raise UsageError(f"{where} takes a whole number, not '{text}'") from None
    if value < 0:
        raise UsageError(f"{where} takes a number from 0 up, not '{text}'")
    return value


def _number(text: str, where: str, what: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or value <= 0:
        raise UsageError(f"{where} takes {what}, not '{text}'")
    return value


def _seconds(text: str, where: str) -> float:
    return _number(text, where, "a number of seconds, such as 600")


def _gib(text: str, where: str) -> int:
    size = int(_number(text, where, "a size in GiB, such as 10 or 2.5") * GIB)
    size = -(-size // _LARGEST_SECTOR) * _LARGEST_SECTOR  # 0.6 GiB is no whole number of them
    if size > LARGEST_DISK:
        raise UsageError(f"{where} takes a size in GiB up to {LARGEST_DISK // GIB}, not '{text}'")
    return size


def _mib(text: str, where: str) -> int:
    return int(_number(text, where, "a size in MiB, such as 512") * MIB)


def _list(text: str, where: str) -> tuple[str, ...]:
    words = tuple(dict.fromkeys(text.replace(",", " ").split()))
    if not words:
        raise UsageError(f"{where} takes names separated by commas, not '{text}'")
    return words


def _path(text: str, where: str) -> Path:
    if not text:
        raise UsageError(f"{where} takes a path, not an empty string")
    return Path(text)


def _paths(text: str, where: str) -> tuple[Path, ...]:
    return split_elements_path(text)


def _directories(text: str, where: str) -> tuple[Path, ...]:
    names = text.split(":")
    if "" in names:
        raise UsageError(f"{where} takes directories separated by colons, not '{text}'")
    return tuple(map(Path, names))


def _choice(text: str, where: str, choices: tuple[str, ...]) -> str:
    if text not in choices:
        raise UsageError(f"{where} takes {' or '.join(choices)}, not '{text}'")
    return text


def _checksum(text: str, where: str) -> tuple[str, ...]:
    if text == "1":
        return CHECKSUMS
    kinds = () if text in OFF else _list(text, where)
    for kind in kinds:
        if kind not in CHECKSUMS:
            raise UsageError(f"{where} takes 0, 1, md5, sha256 or md5,sha256, not '{text}'")
    return tuple(kind for kind in CHECKSUMS if kind in kinds)


def _breakpoints(text: str, where: str) -> tuple[str, ...]:
    points = _list(text, where)
    check_stops(points, where)
    return points


def _target(text: str, where: str) -> str:
    check_target(text, where)
    return text


_BY_KIND: dict[str, Callable[[str, str], Any]] = {
    "text": _text,
    "flag": _flag,
    "count": _integer,
    "int": _integer,
    "float": _seconds,
    "gib": _gib,
    "mib": _mib,
    "list": _list,
    "path": _path,
    "paths": _paths,
    "directories": _directories,
    "checksum": _checksum,
    "breakpoints": _breakpoints,
    "target": _target,
}
