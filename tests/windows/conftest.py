"""Disks of phony guests that slow tests share: they are made once, in one appliance, and nobody writes on them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.windows import phony_disk
from tests.windows.phony import COMPLETE, Case, Guest

GUESTS = {
    "server": Guest("2022"),
    "legacy": Guest("7", architecture="x86", uefi=False, image_state=COMPLETE, control_set=2, case=Case.UPPER),
}


@pytest.fixture(scope="session")
def windows_disks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """qcow2 images of ``GUESTS``, to be opened read-only or below an overlay."""
    directory = tmp_path_factory.mktemp("windows")
    paths = {name: directory / f"{name}.qcow2" for name in GUESTS}
    phony_disk.make({paths[name]: guest for name, guest in GUESTS.items()}, directory / "scratch")
    return paths
