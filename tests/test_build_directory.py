"""What the engine has in a build's directory is never taken for a hook's work."""

from __future__ import annotations

from pathlib import Path
from unittest.mock import MagicMock

from dib_py import build_directory
from dib_py.environment import Places
from dib_py.target.guestfs_appliance import Appliance, Machine


def test_the_names_of_places() -> None:
    places = Places(Path("/b"))
    assert {places.mount.name, places.elements.name} <= build_directory.OWN


def test_what_an_appliance_puts_there(tmp_path: Path) -> None:
    appliance = Appliance(tmp_path / "nbd.sock", tmp_path, Machine())
    appliance._configure(MagicMock())
    made = [path.name for path in tmp_path.iterdir() if not path.is_socket()]  # sockets are nobody's work
    assert made == [build_directory.APPLIANCE]
    assert set(made) <= build_directory.OWN
