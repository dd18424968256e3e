"""What slow tests share: disks of phony guests, made once, on which nobody writes; a Windows of Wine's."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.windows import phony_disk
from tests.windows.phony import COMPLETE, Case, Guest
from tests.windows.wine import Wine, started

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


@pytest.fixture(scope="session")
def wine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wine]:
    """Tests clear what of it they are about to look at."""
    with started(tmp_path_factory.mktemp("wine") / "prefix") as made:
        yield made
