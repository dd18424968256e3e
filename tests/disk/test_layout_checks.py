"""Logical volumes that can't be made, filesystems that can't be, and layouts that can't boot as they are to."""

from __future__ import annotations

from pathlib import Path

import pytest

from dib_py.disk.block_device import find, find_asked, parse
from dib_py.disk.boot_checks import check_boot
from dib_py.disk.layout import Layout
from dib_py.disk.yaml_nodes import LayoutError
from dib_py.element import Element, builtin_elements_dir
from dib_py.errors import DiskError
from dib_py.settings import Settings
from dib_py.units import GIB

LVM = """\
- local_loop: {name: image0, size: 20GiB}
- partitioning:
    base: image0
    label: gpt
    partitions:
      - {name: data, size: 10GiB}
      - {name: more, size: 100%}
- lvm:
    name: lvm
    pvs:
      - {name: pv0, base: data}
      - {name: pv1, base: more}
    vgs:
      - {name: vg, base: [pv0]}
      - {name: vg1, base: [pv1]}
    lvs:
      - {name: root, base: vg, extents: 50%VG}
      - {name: pool, base: vg, type: thin-pool, size: 3GiB}
      - {name: thin, base: vg, type: thin, thin-pool: pool, size: 30GiB}
      - {name: rest, base: vg, extents: 100%FREE}
      - {name: other, base: vg1, size: 1GiB}
- mkfs: {name: fs_root, base: root, type: ext4, mount: {mount_point: /}}
- mkfs: {name: fs_thin, base: thin, type: xfs, mount: {mount_point: /var}}
"""


def element_at(path: Path) -> Element:
    return Element(path.name, path)


def messages(text: str) -> list[str]:
    with pytest.raises(LayoutError) as caught:
        parse(text, source="f.yaml")
    return str(caught.value).splitlines()


def test_a_pool_may_promise_more_than_it_has() -> None:
    layout = parse(LVM, source="f.yaml")
    assert [(one.name, one.thin_pool, one.size) for one in layout.volumes][2] == ("thin", "pool", 30 * GIB)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("extents: 50%VG", "extents: 80%VG", "f.yaml:18: lv pool needs 3 GiB, and the volume group vg has 2 GiB left"),
        (
            "size: 1GiB}",
            "size: 12GiB}",
            "f.yaml:21: lv other needs 12 GiB, and the volume group vg1 has 9.996 GiB left",
        ),
        ("pool, size: 30GiB", "pool, extents: 10%VG", "f.yaml:19: the thin lv thin has extents"),
        (
            "thin-pool: pool",
            "thin-pool: pol",
            "f.yaml:19: the pool pol of the thin lv thin is not there (did you mean pool?)",
        ),
        ("thin-pool: pool", "thin-pool: root", "f.yaml:19: the pool root of the thin lv thin is none"),
        ("thin-pool: pool", "thin-pool: other", "f.yaml:19: the pool other of the thin lv thin comes after it"),
        (
            "name: thin, base: vg,",
            "name: thin, base: vg1,",
            "f.yaml:19: the pool pool of the thin lv thin is in another",
        ),
        ("type: thin, thin-pool", "thin-pool", "f.yaml:19: lv thin has a thin-pool, but is not thin (add type: thin)"),
        (
            "base: thin, type: xfs",
            "base: pool, type: xfs",
            "f.yaml:23: mkfs fs_thin can't lie on pool, which is a thin pool",
        ),
        (
            "base: thin, type: xfs",
            "base: thin, type: reiserfs",
            "f.yaml:23: mkfs fs_thin has the unknown type reiserfs",
        ),
        ("type: xfs,", "type: vfat, label: 'A:B',", "f.yaml:23: label A:B has characters that vfat can't have: :"),
        (
            "type: xfs,",
            "type: vfat, label: abcdefghijkl,",
            "f.yaml:23: label ABCDEFGHIJKL is too long for vfat: 12 of 11",
        ),
        (
            "type: xfs,",
            f"type: xfs, label: {'a' * 13},",
            "f.yaml:23: label aaaaaaaaaaaaa is too long for xfs: 13 of 12",
        ),
        ("type: xfs,", f"type: btrfs, label: {'a' * 256},", "is too long for btrfs: 256 of 255"),
        ("type: xfs,", f"type: swap, label: {'a' * 17},", "is too long for swap: 17 of 16"),
    ],
)
def test_findings(old: str, new: str, expected: str) -> None:
    assert LVM.count(old) == 1
    found = messages(LVM.replace(old, new))
    assert any(expected in line for line in found), found


def test_no_guess_is_made_of_volumes_with_options_of_their_own() -> None:
    parse(LVM.replace("extents: 50%VG", "extents: 80%VG, options: [-m, '1']"), source="f.yaml")
    parse(LVM.replace("base: [pv0]}", "base: [pv0], options: [-s, 1m]}").replace("50%VG", "80%VG"), source="f.yaml")


def test_a_partition_that_is_too_small_for_its_filesystem() -> None:
    text = """\
- local_loop: {name: image0, size: 2GiB}
- partitioning:
    base: image0
    label: gpt
    partitions:
      - {name: boot, size: 200MiB, mkfs: {type: xfs, mount: {mount_point: /boot}}}
      - {name: root, size: 100%, mkfs: {type: ext4, mount: {mount_point: /}}}
"""
    assert messages(text) == ["f.yaml:6: partition boot has 200 MiB, and xfs takes at least 300 MiB"]


def test_a_type_from_the_settings_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(LayoutError, match=r"unknown type jfs .*FS_TYPE"):
        find([], {}, Settings(fs_type="jfs"))


# -- how it boots
def builtin(name: str) -> Layout:
    element = element_at(builtin_elements_dir() / name)
    return find([element], {"ARCH": "amd64"}, Settings(image_size=50 * GIB))


@pytest.mark.parametrize("name", ["mbr", "gpt", "efi", "efi-lvm"])
def test_the_elements_own_layouts_can_boot(name: str) -> None:
    kind = name.partition("-")[0]
    assert list(check_boot(builtin(f"block-device-{name}"), kind, f"block-device-{name}", "amd64")) == []


def test_uefi_without_its_partition() -> None:
    with pytest.raises(
        DiskError, match="block-device-efi is for disks that boot by UEFI, but the layout has no EFI"
    ) as caught:
        list(check_boot(builtin("block-device-gpt"), "efi", "block-device-efi", "amd64"))
    assert caught.value.where.endswith("block-device-gpt/block-device-default.yaml")


def test_bios_on_a_gpt() -> None:
    [said] = check_boot(builtin("block-device-efi"), "mbr", "block-device-mbr", "amd64")
    assert "nothing is put into the layout's EFI system partition" in said
    [said] = check_boot(parse(LVM, source="f.yaml"), "gpt", "block-device-gpt", "amd64")
    assert "no partition of type EF02" in said
    assert list(check_boot(parse(LVM, source="f.yaml"), "gpt", "block-device-gpt", "ppc64el")) == []


# -- what was asked for
def test_efi_lvm_is_diskimage_builder_s() -> None:
    layout = builtin("block-device-efi-lvm")
    found = [(one.mount_point, one.base, one.type, one.label) for one in layout.filesystems]
    assert found == [
        ("/boot/efi", "ESP", "vfat", "MKFS_ESP"),
        ("/", "lv_root", "xfs", "img-rootfs"),
        ("/var", "lv_var", "xfs", "fs_var"),
        ("/home", "lv_home", "xfs", "fs_home"),
    ]


def test_efi_lvm_has_a_size_of_its_own() -> None:
    element = element_at(builtin_elements_dir() / "block-device-efi-lvm")
    assert 40e9 < (find([element], {"ARCH": "amd64"}, Settings()).size or 0) < 41e9
    with pytest.raises(LayoutError, match=r"partition root needs 37\.25 GiB"):
        find([element], {"ARCH": "amd64"}, Settings(image_size=20 * GIB))


def test_a_layout_is_asked_for_by_an_element_or_by_the_variable() -> None:
    assert find_asked([], {}, Settings()) is None
    gpt = element_at(builtin_elements_dir() / "block-device-gpt")
    asked = find_asked([gpt], {"ARCH": "amd64"}, Settings())
    assert asked is not None
    assert asked.size is None  # it depends on the base image
    assert find_asked([], {"DIB_BLOCK_DEVICE_CONFIG": LVM}, Settings()) is not None


def test_percentages_wait_for_the_size_of_the_base_image() -> None:
    text = LVM.replace(", size: 20GiB", "")
    with pytest.raises(DiskError, match="needs a size"):
        find([], {"DIB_BLOCK_DEVICE_CONFIG": text}, Settings())
    asked = find_asked([], {"DIB_BLOCK_DEVICE_CONFIG": text}, Settings())
    assert asked is not None
    assert asked.size is None


def test_a_second_file_counts_for_nothing(tmp_path: Path) -> None:
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "block-device-default.yaml").write_text(LVM)
    elements = [element_at(tmp_path / name) for name in ("first", "second")]
    [warning] = find(elements, {}, Settings()).warnings
    assert warning.startswith(f"{tmp_path / 'second'}/block-device-default.yaml counts for nothing")
