"""A Linux' files as a directory of this machine."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path


class DirectoryFiles:
    """See :class:`dib_py.inside.packages.Files`."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @classmethod
    def of(cls, root: Path, content: Mapping[str, str]) -> DirectoryFiles:
        for path, text in content.items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(text)
        return cls(root)

    def read(self, path: str) -> str:
        return self._place(path).read_text() if self.exists(path) else ""

    def names(self, path: str) -> list[str]:
        place = self._place(path)
        return sorted(one.name for one in place.iterdir()) if place.is_dir() else []

    def exists(self, path: str) -> bool:
        return self._place(path).is_file()

    def _place(self, path: str) -> Path:
        return self.root / path.lstrip("/")
