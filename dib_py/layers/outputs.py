"""Which files were made of which layer, so that an image that is there already is not made again."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from dib_py.keys import digest
from dib_py.layers.store import Store
from dib_py.settings import OUTPUT, Settings, table

Stamps = dict[str, list[int]]  # by path
_HOW_NOT_WHAT = frozenset({"overwrite", "verify"})  # of the output's settings: they change nothing in its files


class Outputs:
    """The files of images, by the key of their last layer; a file counts for as long as nobody has touched it."""

    def __init__(self, store: Store) -> None:
        self._directory: Path = store.directory / "outputs"

    def remember(self, key: str, settings: Settings, files: Iterable[Path]) -> None:
        """Note that a build of these settings left ``files``; what can't be noted is made again, so errors are not."""
        known = {how: stamps for how, stamps in self._known(key).items() if _untouched(stamps)}
        with suppress(OSError):
            known[_how(settings)] = {str(path.absolute()): _stamp(path) for path in files}
            self._directory.mkdir(mode=0o700, exist_ok=True)
            partial = self._directory / f".{key}.{os.getpid()}"
            partial.write_text(json.dumps(known))
            partial.replace(self._file(key))

    def unchanged(self, key: str, settings: Settings) -> list[Path]:
        """The files that a build of these settings would leave, if all of them are there and untouched, else none."""
        stamps = self._known(key).get(_how(settings), {})
        return [Path(path) for path in stamps] if _untouched(stamps) else []

    def _file(self, key: str) -> Path:
        return self._directory / f"{key}.json"

    def _known(self, key: str) -> dict[str, Stamps]:
        with suppress(OSError, ValueError, TypeError, AttributeError):
            kept = json.loads(self._file(key).read_text())
            return {how: {path: [*map(int, stamp)] for path, stamp in stamps.items()} for how, stamps in kept.items()}
        return {}


def _how(settings: Settings) -> str:
    """All that decides what the files are called and what is in them, beside the disk."""
    parts = {one.name: getattr(settings, one.name) for one in table() if one.group == OUTPUT}
    parts |= {"image_name": str(Path(settings.image_name).absolute()), "image_types": settings.image_types}
    parts |= {"gzip": settings.environ.get("DIB_GZIP_BIN", "")}
    return digest(repr((name, value)).encode() for name, value in sorted(parts.items()) if name not in _HOW_NOT_WHAT)


def _stamp(path: Path) -> list[int]:
    found = path.stat()
    return [found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns]


def _untouched(stamps: Stamps) -> bool:
    try:
        return bool(stamps) and all(_stamp(Path(path)) == stamp for path, stamp in stamps.items())
    except OSError:
        return False
