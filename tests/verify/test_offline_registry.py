"""Values of a Windows image's registry, read with libguestfs' calls of hivex: by hivex itself, without an appliance."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dib_py.verify.offline import GuestReader
from dib_py.verify.systems import System
from dib_py.windows.hive import Value
from dib_py.windows.new_hive import hive

hivex = pytest.importorskip("hivex", reason="needs the hivex python bindings")

STATE = r"Microsoft\Windows\CurrentVersion\Setup\State"
SOFTWARE = "/Windows/System32/config/SOFTWARE"


class Handle:
    """A hive in a directory that stands for the image; as libguestfs, it says 0 for what is not there."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self.open: Any = None

    def case_sensitive_path(self, path: str) -> str:
        found = [f"/{one.relative_to(self._root)}" for one in self._root.rglob("*")]
        try:
            return next(one for one in found if one.lower() == path.lower())
        except StopIteration:
            raise RuntimeError(f"{path}: No such file or directory") from None

    def is_file(self, path: str, followsymlinks: bool = False) -> bool:
        return (self._root / path.lstrip("/")).is_file()

    def hivex_open(self, path: str) -> None:
        self.open = hivex.Hivex(str(self._root / path.lstrip("/")))

    def hivex_close(self) -> None:
        self.open = None

    def hivex_root(self) -> int:
        return int(self.open.root())

    def hivex_node_get_child(self, node: int, name: str) -> int:
        return self.open.node_get_child(node, name) or 0

    def hivex_node_get_value(self, node: int, name: str) -> int:
        try:
            return self.open.node_get_value(node, name) or 0
        except RuntimeError:  # hivex's own bindings refuse what libguestfs answers with 0
            return 0

    def hivex_value_value(self, value: int) -> bytes:
        return bytes(self.open.value_value(value)[1])


class Appliance:
    def __init__(self, handle: Handle) -> None:
        self._handle = handle

    def call(self, work: Callable[[Handle], Any]) -> Any:
        return work(self._handle)


@pytest.fixture
def handle(tmp_path: Path) -> Handle:
    file = tmp_path / "WINDOWS/system32/config/SOFTWARE"
    file.parent.mkdir(parents=True)
    file.write_bytes(hive({STATE: [Value.string("ImageState", "IMAGE_STATE_COMPLETE")]}))
    return Handle(tmp_path)


def reader(handle: Handle) -> GuestReader:
    appliance: Any = Appliance(handle)
    return GuestReader(appliance, System("windows"), ())


def test_the_text_of_a_value(handle: Handle) -> None:
    assert reader(handle).registry_text(SOFTWARE, STATE, "ImageState") == "IMAGE_STATE_COMPLETE"
    assert handle.open is None


@pytest.mark.parametrize(("key", "name"), [(STATE, "Other"), (rf"{STATE}\Below", "ImageState"), ("No", "ImageState")])
def test_a_value_that_is_not_there(handle: Handle, key: str, name: str) -> None:
    assert reader(handle).registry_text(SOFTWARE, key, name) == ""
    assert handle.open is None


def test_a_hive_that_is_not_there(handle: Handle) -> None:
    with pytest.raises(FileNotFoundError):
        reader(handle).registry_text("/Windows/System32/config/SYSTEM", STATE, "ImageState")
