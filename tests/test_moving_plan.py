"""Plans of builds on a base image: which ones move it to a new disk, and what is said of layouts that can't boot."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

import jsonschema
import pytest

from dib_py.cli.plan import lines
from dib_py.element import Catalog
from dib_py.errors import DiskError, ElementError
from dib_py.plan import Plan, make_plan
from dib_py.plan_json import to_dict
from dib_py.settings import Settings

ENVIRON = {"PATH": "/usr/bin:/bin", "HOME": "/root", "DIB_PACKAGES_EPOCH": "2026-01-01"}
ONE = "[{local_loop: {name: image0}}, {mkfs: {name: mkfs_root, base: image0, mount: {mount_point: /}}}]"
GPT = """\
- local_loop: {name: image0}
- partitioning:
    base: image0
    label: gpt
    partitions: [{name: root, size: 100%, mkfs: {type: ext4, mount: {mount_point: /}}}]
"""


def plan(*elements: str, environ: Mapping[str, str] | None = None, base: str = "/base.qcow2", **options: Any) -> Plan:
    settings = Settings(
        elements=("debian", *elements), base=base, arch="amd64", environ={**ENVIRON, **(environ or {})}, **options
    )
    return make_plan(settings, Catalog.load(()))


def keys(made: Plan) -> list[str]:
    return [step.key for step in made.steps]


def test_without_a_layout_asked_for_the_image_keeps_its_own() -> None:
    made = plan("vm")
    assert "block-device-mbr" in [element.name for element in made.elements]
    assert made.layout is None
    assert not made.moves_base
    assert "DIB_BASE_IMAGE_MOVED" not in made.environment
    assert made.environment["DIB_BOOTLOADER_PACKAGES"] == "none"
    assert made.warnings == ()


@pytest.mark.parametrize("name", ["mbr", "gpt", "efi", "efi-lvm"])
def test_an_element_asks_for_one(name: str) -> None:
    made = plan("vm", f"block-device-{name}")
    assert made.moves_base
    assert made.layout is not None
    assert made.layout.source.endswith(f"/block-device-{name}/block-device-default.yaml")
    assert made.environment["DIB_BASE_IMAGE"] == "/base.qcow2"
    assert made.environment["DIB_BASE_IMAGE_MOVED"] == "1"
    assert made.environment["DIB_ROOT_LABEL"] == made.layout.root.label
    assert made.environment["DIB_BOOTLOADER_PACKAGES"] == "grub"
    assert made.warnings == ()


def test_the_variable_asks_for_one() -> None:
    made = plan(environ={"DIB_BLOCK_DEVICE_CONFIG": ONE})
    assert made.moves_base
    assert made.warnings == (
        "the base image moves to a new disk, and no bootloader is put there: the element vm does that",
    )


def test_a_new_disk_is_not_moved_to() -> None:
    made = plan("vm", "block-device-gpt", base="")
    assert made.layout is not None
    assert not made.moves_base
    assert "DIB_BASE_IMAGE_MOVED" not in made.environment


def test_the_layout_is_in_every_key() -> None:
    own, gpt, again, efi = (
        plan("vm"),
        plan("vm", "block-device-gpt"),
        plan("vm", "block-device-gpt"),
        plan("vm", "block-device-efi"),
    )
    assert keys(gpt) == keys(again)
    assert not set(keys(gpt)) & set(keys(own))
    assert not set(keys(gpt)) & set(keys(efi))
    larger = plan("vm", "block-device-gpt", image_size=20 * 1024**3)
    assert not set(keys(gpt)) & set(keys(larger))


def test_what_is_shown_of_it() -> None:
    made = plan("vm", "block-device-gpt")
    text = " ".join(" ".join(lines(made)).split())
    assert "image /base.qcow2 (no checksum), from" in text
    assert "its content moves to a disk, gpt: ext4 /, from" in text
    shown = to_dict(made)
    jsonschema.validate(shown, json.loads((files("dib_py") / "schema" / "plan.json").read_text()))
    assert shown["base"]["kind"] == "image"
    assert shown["base"]["moves_to"]["disk"] == [
        {"mount_point": "/", "type": "ext4", "label": "cloudimg-rootfs", "on": "root"}
    ]
    assert "moves_to" not in to_dict(plan("vm"))["base"]


@pytest.mark.parametrize("base", ["", "/base.qcow2"])
def test_contradictions(base: str) -> None:
    with pytest.raises(ElementError, match="block-device is provided by block-device-gpt and block-device-efi") as two:
        plan("vm", "block-device-gpt", "block-device-efi", base=base)
    assert two.value.hint
    with pytest.raises(DiskError, match="block-device-efi is for disks that boot by UEFI") as caught:
        plan("vm", "block-device-efi", base=base, environ={"DIB_BLOCK_DEVICE_CONFIG": GPT}, image_size=2**33)
    assert caught.value.where == "DIB_BLOCK_DEVICE_CONFIG"
    [warning] = plan("vm", base=base, environ={"DIB_BLOCK_DEVICE_CONFIG": GPT}).warnings
    assert "block-device-mbr is for disks that boot by BIOS, and the layout has no partition of type EF02" in warning
