"""Images that are there already are known by what they were made of and how."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dib_py.layers.outputs import Outputs
from dib_py.layers.store import Store
from dib_py.settings import OUTPUT, Settings, table

KEY = "k" * 40
OTHERS: dict[str, Any] = {
    "image_types": ("raw",),
    "compress": False,
    "compression": "zlib",
    "checksum": ("md5",),
    "qemu_img_options": "cluster_size=2M",
    "docker_target": "a:b",
    "squashfs_compression": "lz4",
    "environ": {"DIB_GZIP_BIN": "gzip -9"},
}


@pytest.fixture
def outputs(tmp_path: Path) -> Outputs:
    return Outputs(Store.open(tmp_path / "store"))


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(image_name=str(tmp_path / "image"), environ={})


@pytest.fixture
def image(tmp_path: Path, outputs: Outputs, settings: Settings) -> Path:
    image = tmp_path / "image.qcow2"
    image.write_text("disk")
    outputs.remember(KEY, settings, [image])
    return image


def test_an_untouched_image_is_not_made_again(outputs: Outputs, settings: Settings, image: Path) -> None:
    assert outputs.unchanged(KEY, settings) == [image]
    assert outputs.unchanged(KEY, replace(settings, overwrite=False, verify=True)) == [image]
    assert outputs.unchanged("j" * 40, settings) == []
    image.write_text("another disk")
    assert outputs.unchanged(KEY, settings) == []


@pytest.mark.parametrize("name", OTHERS)
def test_another_kind_of_image_is_made(name: str, outputs: Outputs, settings: Settings, image: Path) -> None:
    other = replace(settings, **{name: OTHERS[name]})
    assert outputs.unchanged(KEY, other) == []
    outputs.remember(KEY, other, [image])
    assert outputs.unchanged(KEY, other) == outputs.unchanged(KEY, settings) == [image]


def test_every_setting_of_the_output_was_thought_of() -> None:
    assert {one.name for one in table() if one.group == OUTPUT} - {"overwrite", "verify"} <= set(OTHERS)


def test_an_image_that_is_gone_is_no_error(outputs: Outputs, settings: Settings, image: Path, tmp_path: Path) -> None:
    outputs.remember(KEY, settings, [image, tmp_path / "gone"])
    assert outputs.unchanged(KEY, settings) == [image]
