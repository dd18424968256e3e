"""Block-device files: what they mean, and what is said of wrong ones."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from dib_py.disk import fstab
from dib_py.disk.block_device import FALLBACK, Defaults, find, parse
from dib_py.disk.layout import Layout, LogicalVolume, Partition, PhysicalVolume, VolumeGroup
from dib_py.disk.yaml_nodes import LayoutError
from dib_py.element import Element
from dib_py.errors import DiskError, FileError, UsageError
from dib_py.settings import Settings

MIB = 1024**2
GIB = 1024**3


def read(text: str, **defaults: Any) -> Layout:
    counter = itertools.count(1)
    return parse(
        text,
        source="f.yaml",
        defaults=Defaults(**defaults),
        uuids=lambda: f"00000000-0000-0000-0000-{next(counter):012}",
    )


def messages(text: str, **defaults: Any) -> list[str]:
    with pytest.raises(LayoutError) as caught:
        read(text, **defaults)
    return str(caught.value).splitlines()


EFI = """\
- local_loop:
    name: image0

- partitioning:
    base: image0
    label: gpt
    partitions:
      - name: ESP
        type: 'EF00'
        size: 550MiB
        mkfs:
          type: vfat
          mount:
            mount_point: /boot/efi
            fstab:
              options: "defaults"
              fsck-passno: 2
      - name: BSP
        type: 'EF02'
        size: 8MiB
      - name: root
        type: '8300'
        size: 100%
        mkfs:
          type: ext4
          mount:
            mount_point: /
            fstab:
              options: "defaults"
              fsck-passno: 1
"""


# -- what good files mean


def test_efi() -> None:
    layout = read(EFI)
    assert layout.name == "image0"
    assert layout.table is not None
    assert layout.table.partitions == (
        Partition("ESP", 1, 550 * MIB, "EF00"),
        Partition("BSP", 2, 8 * MIB, "EF02"),
        Partition("root", 3, None, "8300"),
    )
    assert [(fs.name, fs.base, fs.type, fs.label, fs.mount_point) for fs in layout.mounted] == [
        ("mkfs_root", "root", "ext4", "cloudimg-rootfs", "/"),
        ("mkfs_ESP", "ESP", "vfat", "MKFS_ESP", "/boot/efi"),
    ]
    assert layout.growable
    assert layout.warnings == ()
    assert fstab.render(layout) == (
        "LABEL=cloudimg-rootfs / ext4 defaults 0 1\nLABEL=MKFS_ESP /boot/efi vfat defaults 0 2\n"
    )


def test_the_tree_and_the_flat_form_say_the_same() -> None:
    flat = """
- local_loop: {name: image0}
- partitioning:
    base: image0
    label: gpt
    partitions:
      - {name: ESP, type: EF00, size: 550MiB}
      - {name: BSP, type: EF02, size: 8MiB}
      - {name: root, type: 8300, size: 100%}
- mkfs: {base: ESP, type: vfat}
- mount: {name: at_efi, base: mkfs_ESP, mount_point: /boot/efi}
- fstab: {base: at_efi}
- mkfs: {base: root, name: mkfs_root, type: ext4}
- mount: {base: mkfs_root, mount_point: /}
- fstab: {base: mount_mkfs_root, fsck-passno: 1}
"""
    assert read(flat) == read(EFI)


def test_the_settings_fill_in_the_root() -> None:
    text = FALLBACK
    plain = read(text).root
    assert (plain.type, plain.label) == ("ext4", "cloudimg-rootfs")
    assert plain.options == ("-i", "4096", "-J", "size=64")
    xfs = read(text, fs_type="xfs", mkfs_options=("-K",)).root
    assert (xfs.type, xfs.label, xfs.options) == ("xfs", "img-rootfs", ("-K",))
    assert read(text, root_label="mine").root.label == "mine"
    said = read(text.replace("name: mkfs_root", "name: mkfs_root\n    opts: -m 0\n    label: said\n    type: ext3"))
    assert (said.root.type, said.root.label, said.root.options) == ("ext3", "said", ("-m", "0"))


def test_settings_become_mkfs_options() -> None:
    settings = Settings(max_online_resize=1000, mkfs_journal_size=128, mkfs_options="-m 1", environ={})
    root = parse(FALLBACK, source="x", defaults=Defaults.from_settings(settings)).root
    assert root.options == ("-E", "resize=1000", "-i", "4096", "-J", "size=128", "-m", "1")


def test_only_the_root_node_takes_them() -> None:
    text = FALLBACK.replace("mkfs_root", "other").replace("base: image0", "base: image0\n    type: ext4")
    root = read(text, root_label="mine", mkfs_options=("-K",)).root
    assert (root.label, root.options) == ("other", ())


def test_mbr_with_logical_partitions_and_swap() -> None:
    layout = read("""
- local_loop:
    name: image0
    size: 4GiB
    partitioning:
      label: mbr
      partitions:
        - name: root
          flags: [boot, primary]
          size: 50%
          mkfs: {mount: {mount_point: /, fstab: {options: noatime, fsck-passno: 1}}}
        - name: swap
          type: 0x82
          size: 512MiB
          mkfs: {type: swap, label: swap1, mount: {mount_point: swap, fstab: {options: ignored}}}
        - name: var
          size: 100%
          mkfs:
            type: xfs
            label: my var
            mount: {mount_point: /var/, fstab: }
""")
    assert layout.size == 4 * GIB
    assert layout.table is not None
    assert layout.table.partitions == (
        Partition("root", 1, None, "0x83", bootable=True, percent=50),
        Partition("swap", 5, 512 * MIB, "0x82", logical=True),
        Partition("var", 6, None, "0x83", logical=True),
    )
    assert not layout.growable
    assert fstab.render(layout) == (
        "LABEL=cloudimg-rootfs / ext4 noatime 0 1\n"
        "LABEL=my\\040var /var xfs defaults 0 2\n"
        "LABEL=swap1 none swap sw 0 0\n"
    )


def test_lvm() -> None:
    layout = read("""
- local_loop: {name: image0}
- partitioning:
    base: image0
    label: gpt
    partitions:
      - {name: one, size: 3GiB, type: 8E00}
      - {name: two, size: 100%, type: 8E00}
- lvm:
    name: lvm
    pvs:
      - {name: pv1, base: one, options: [--force]}
      - {name: pv2, base: two}
    vgs:
      - {name: vg, base: [pv1, pv2], options: ["-s", "4M"]}
    lvs:
      - {name: pool, base: vg, type: thin-pool, size: 2801MiB}
      - {name: lv_root, base: vg, type: thin, thin-pool: pool, size: 40G}
      - {name: lv_var, base: vg, extents: 57%VG}
- mkfs: {name: fs_root, base: lv_root, type: xfs, label: r, mount: {mount_point: /}}
- mkfs: {name: fs_var, base: lv_var, type: xfs, mount: {mount_point: /var}}
""")
    assert layout.physical_volumes == (PhysicalVolume("pv1", "one", ("--force",)), PhysicalVolume("pv2", "two"))
    assert layout.groups == (VolumeGroup("vg", ("one", "two"), ("-s", "4M")),)
    assert layout.volumes == (
        LogicalVolume("pool", "vg", 2800 * MIB, None, "thin-pool"),
        LogicalVolume("lv_root", "vg", 40_000_000_000 // (4 * MIB) * 4 * MIB, None, "thin", "pool"),
        LogicalVolume("lv_var", "vg", None, "57%VG"),
    )
    assert not layout.growable
    assert fstab.render(layout) == ""  # nobody asked for lines


def test_sector_size() -> None:
    assert read(EFI).sector_size == 512
    text = EFI.replace("name: image0", "name: image0\n    block_size: 4096", 1)
    assert read(text).sector_size == 4096
    assert read(text, sector_size=512).sector_size == 512


def test_anchors_and_merge_keys() -> None:
    layout = read("""
- local_loop: {name: image0}
- partitioning:
    base: image0
    label: gpt
    partitions:
      - &plain {name: boot, size: 1GiB, type: 8300, mkfs: {type: ext4, mount: {mount_point: /boot}}}
      - {<<: *plain, name: root, size: 100%, mkfs: {mount: {mount_point: /}}}
""")
    assert layout.table is not None
    assert layout.table.partitions[1] == Partition("root", 2, None, "8300")


def test_a_key_that_means_nothing_is_only_a_warning() -> None:
    layout = read(FALLBACK.replace("name: mkfs_root", "name: mkfs_root\n    options: -m 0"))
    assert layout.warnings == ("f.yaml:5: mkfs mkfs_root has a key options that means nothing",)


def test_uuids_are_random_unless_given() -> None:
    first, second = parse(FALLBACK, source="x"), parse(FALLBACK, source="x")
    assert first.root.uuid != second.root.uuid
    given = FALLBACK.replace("name: mkfs_root", "name: mkfs_root\n    uuid: 6ee3dd1c-d6ca-4d4e-8d1a-6d0b1ba8e39c")
    assert read(given).root.uuid == "6ee3dd1c-d6ca-4d4e-8d1a-6d0b1ba8e39c"


# -- what is said of bad ones


def change(old: str, new: str, text: str = EFI) -> str:
    assert old in text
    return text.replace(old, new, 1)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            change("- partitioning:", "- partitionning:"),
            "f.yaml:4: there is no plugin partitionning (did you mean partitioning?)",
        ),
        (
            change("      - name: BSP", "      - name: ESP"),
            "f.yaml:18: there are two nodes named ESP (the first is on line 8)",
        ),
        (
            EFI + "- mkfs: {name: more, base: rot, type: ext4}\n",
            "f.yaml:31: mkfs more lies on rot, which is not there (did you mean root?)",
        ),
        (
            EFI + "- fstab: {base: root}\n",
            "f.yaml:31: fstab fstab_root can't lie on root, which is a partition (it needs a mount)",
        ),
        (
            EFI + "- mkfs: {name: more, base: BSP, type: ext4, label: MKFS_ESP}\n",
            "f.yaml:31: filesystems mkfs_ESP and more have the same label MKFS_ESP (labels are",
        ),
        (
            EFI + "- mkfs: {name: more, base: root, type: ext4}\n",
            "f.yaml:31: two things lie on root: mkfs mkfs_root (line 25) and mkfs more",
        ),
        (
            EFI + "- mkfs: {name: more, type: ext4}\n",
            "f.yaml:31: mkfs more has no base (name the disk or partition or logical volume for it)",
        ),
        (EFI + "- mkfs: {type: ext4}\n", "f.yaml:31: mkfs has neither name nor base, so nothing can refer to it"),
        (
            change("type: ext4", "type: xfs\n          label: this-is-too-long"),
            "f.yaml:26: label this-is-too-long is too long for xfs: 16 of 12 bytes (give it a shorter label)",
        ),
        (
            change("mount_point: /boot/efi", "mount_point: /"),
            "f.yaml:25: mkfs_ESP and mkfs_root are both mounted at /",
        ),
        (
            change("mount_point: /boot/efi", "mount_point: boot"),
            "f.yaml:14: mount point 'boot' is no absolute path",
        ),
        (
            change("            mount_point: /\n", "            mount_point: /srv\n"),
            "f.yaml:1: no filesystem is mounted at / (the root filesystem needs mount: {mount_point: /})",
        ),
        (change("size: 8MiB", "size: 8Mib"), "f.yaml:20: size of BSP: '8Mib' is no size; write a number and one of"),
        (change("size: 8MiB", "size: 120%"), "f.yaml:20: size of BSP: 120% is not between 0 % and 100 %"),
        (change("        size: 8MiB\n", ""), "f.yaml:18: partition BSP has no size (for example size: 100%)"),
        (
            change("size: 8MiB", "size: 100%"),
            "f.yaml:21: BSP takes all the rest, so nothing is left for partition root",
        ),
        (
            change("size: 8MiB", "size: 8MiB\n        flags: [primary]"),
            "f.yaml:21: partition BSP is primary, which means nothing in a gpt (remove the flag)",
        ),
        (
            change("size: 8MiB", "size: 8MiB\n        flags: [bot]"),
            "f.yaml:21: partition BSP has the unknown flag bot (flags are boot and primary)",
        ),
        (
            change("'EF02'", "'ZZ02'"),
            "f.yaml:19: partition BSP has the unknown type ZZ02 (write a code of sgdisk like 8300, or a GUID)",
        ),
        (change("label: gpt", "label: msdos"), "f.yaml:6: label is mbr or gpt, not 'msdos'"),
        (change("name: image0", "name: sda"), "f.yaml:1: the disk is named sda (elements know it as image0)"),
        (
            change("name: image0", "name: image0\n    block_size: 1000"),
            "f.yaml:3: block_size is 512 or 4096, not 1000",
        ),
        (EFI + "- local_loop: {name: more}\n", "f.yaml:31: there is a second disk, more; an image is one disk"),
        (
            change("fsck-passno: 2", "fsck-passno: two"),
            "f.yaml:17: fsck-passno of fstab_mount_mkfs_ESP is a whole number, not 'two'",
        ),
        (change("type: ext4", "type: ext4\n          uuid: 12"), "f.yaml:26: '12' is no UUID"),
        (
            change("name: image0", "name: image0\n    size: 540MiB"),
            "f.yaml:11: partition ESP needs 550 MiB, and the disk has 538 MiB left for it (it is 540 MiB large)",
        ),
        ("- local_loop", "f.yaml:1: an entry is a mapping with one key, the plugin's name (plugins are local_loop,"),
        ("{}", "f.yaml:1: a block-device file is a list (for example - local_loop: {name: image0})"),
        ("", "f.yaml:1: a block-device file is a list"),
        ("[]", "f.yaml:1: there is no disk (begin with - local_loop: {name: image0})"),
        ("- local_loop: {name: image0}\n- mkfs: [a]\n", "f.yaml:2: mkfs is a mapping of keys and values"),
        ("- a: [b\n- c", "f.yaml:2: this is no YAML: "),
        ("- local_loop: {name: image0}\n- [mkfs]: 1\n", "f.yaml:2: a key is a single word here"),
        ("\x00", "f.yaml:1: this is no YAML: "),
        ("&a [*a]", "f.yaml:1: the YAML is nested too deeply"),
    ],
)
def test_findings(text: str, expected: str) -> None:
    assert any(line.startswith(expected) for line in messages(text)), messages(text)


def test_all_findings_at_once_in_the_order_of_the_file() -> None:
    text = change("size: 550MiB", "size: much")
    text = change("type: 'EF02'", "type: '!'", text)
    text = change("fsck-passno: 1", "fsck-passno: first", text)
    found = messages(text)
    assert [line.split(":")[1] for line in found] == ["10", "19", "30"]


def test_more_than_the_disk_that_was_asked_for() -> None:
    assert read(EFI, size=600 * MIB).size == 600 * MIB
    [line] = messages(EFI, size=560 * MIB)
    assert line.startswith(
        "f.yaml:23: partition root needs 1 MiB, and the disk has 0 bytes left for it (it is 560 MiB large)"
    )
    assert "--image-size" in line


MBR = """\
- local_loop: {name: image0}
- partitioning:
    base: image0
    label: mbr
    partitions:
"""


def test_too_many_primaries() -> None:
    text = MBR + "".join(f"      - {{name: p{n}, size: 1MiB, flags: [primary]}}\n" for n in range(5))
    text += "- mkfs: {name: r, type: ext4, base: p0, mount: {mount_point: /}}\n"
    [line] = messages(text)
    assert line.startswith("f.yaml:10: an mbr has no room for the primary partition p4 (leave the flag primary out")


def test_primaries_come_first() -> None:
    text = MBR + "      - {name: a, size: 1GiB}\n      - {name: root, size: 100%, flags: [primary]}\n"
    text += "- mkfs: {name: r, type: ext4, base: root, mount: {mount_point: /}}\n"
    [line] = messages(text)
    assert line.startswith("f.yaml:7: the primary partition root comes after a logical one")


LVM = """\
- local_loop: {name: image0}
- lvm:
    name: lvm
    pvs:
      - {name: pv, base: image0}
    vgs:
      - {name: vg, base: [pv]}
    lvs:
      - {name: root, base: vg, extents: 100%FREE}
- mkfs: {base: root, name: mkfs_root, mount: {mount_point: /}}
"""


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("base: [pv]", "base: [pw]", "f.yaml:7: vg vg lies on pw, which is not there (there are pv)"),
        ("base: vg", "base: pv", "f.yaml:9: lv root can't lie on pv, which is a physical volume"),
        (", extents: 100%FREE", "", "f.yaml:9: lv root has neither size nor extents (for example extents: 100%FREE)"),
        ("100%FREE", "most", "f.yaml:9: lv root has extents most"),
        ("extents: 100%FREE", "size: 1MiB", "f.yaml:9: lv root is smaller than an extent of 4 MiB"),
        ("extents", "type: thick, extents", "f.yaml:9: lv root has the unknown type thick (thin or thin-pool)"),
        ("extents", "type: thin, extents", "f.yaml:9: the thin lv root has no thin-pool"),
        ("{name: pv, base: image0}", "{base: image0}", "f.yaml:5: each pv is a mapping with a name"),
        ("      - {name: pv, base: image0}", "      name: pv", "f.yaml:5: pvs of lvm is a list"),
        ("base: root", "base: image0", "f.yaml:10: two things lie on image0: pv pv (line 5) and mkfs mkfs_root"),
    ],
)
def test_findings_in_lvm(old: str, new: str, expected: str) -> None:
    read(LVM)
    found = messages(change(old, new, LVM))
    assert any(line.startswith(expected) for line in found), found


# -- diskimage-builder's own files


def dib_files(kind: str) -> list[Any]:
    dib = pytest.importorskip("diskimage_builder")
    root = Path(dib.__file__).parent
    patterns = {"elements": "elements/*/block-device-*.yaml", "tests": "block_device/tests/config/*.yaml"}
    return sorted(root.glob(patterns[kind]))


def test_every_shipped_layout_of_diskimage_builder_is_read() -> None:
    files = dib_files("elements")
    assert len(files) >= 7
    for path in files:
        layout = parse(path.read_text(), source=str(path))
        assert layout.warnings == ()
        assert layout.growable == (path.parent.name != "block-device-efi-lvm")


@dataclass
class Node:
    """What diskimage-builder made of a mount."""

    mount_point: str
    base: str
    label: str | None


def test_layouts_mean_what_diskimage_builder_takes_them_for() -> None:
    config = pytest.importorskip("diskimage_builder.block_device.config")
    compared = 0
    for path in dib_files("elements") + dib_files("tests"):
        try:
            layout = parse(path.read_text(), source=str(path))
        except LayoutError:
            continue
        flat = config.config_tree_to_graph(yaml.safe_load(path.read_text()))
        theirs = {
            (values["mount_point"], values["base"]) for entry in flat for k, values in entry.items() if k == "mount"
        }
        ours = {(fs.mount_point, fs.name) for fs in layout.filesystems if fs.mount_point is not None}
        assert ours <= theirs
        assert {name for mount_point, name in theirs - ours} == {
            fs.name for fs in layout.filesystems if fs.type == "swap"
        }
        compared += 1
    assert compared >= 14


# -- where it is found


def element(directory: Path, name: str, **files: str) -> Element:
    path = directory / name
    path.mkdir()
    for file, content in files.items():
        (path / f"block-device-{file}.yaml").write_text(content)
    return Element(name, path)


def settings(**values: Any) -> Settings:
    return Settings(environ={}, **values)


def test_without_any_the_disk_is_one_filesystem() -> None:
    layout = find([], {"ARCH": "amd64"}, settings(fs_type="xfs"))
    assert layout.table is None
    assert layout.root.type == "xfs"
    assert layout.root.base == layout.name == "image0"
    assert layout.growable


def test_the_first_element_that_has_one(tmp_path: Path) -> None:
    elements = [
        element(tmp_path, "nothing"),
        element(tmp_path, "efi", default=EFI),
        element(tmp_path, "later", default="broken", amd64="broken"),
    ]
    layout = find(elements, {"ARCH": "amd64"}, settings())
    assert layout.source == str(tmp_path / "efi" / "block-device-default.yaml")


def test_the_architecture_s_own_file_is_better(tmp_path: Path) -> None:
    both = element(tmp_path, "both", default="broken", arm64=EFI, ppc64el=EFI)
    assert find([both], {"ARCH": "arm64"}, settings()).source.endswith("block-device-arm64.yaml")
    assert find([both], {}, settings(arch="ppc64le")).source.endswith("block-device-ppc64el.yaml")
    with pytest.raises(LayoutError, match=r"both/block-device-default\.yaml:1: "):
        find([both], {"ARCH": "amd64"}, settings())


def test_the_variable_beats_the_elements(tmp_path: Path) -> None:
    broken = element(tmp_path, "broken", default="broken")
    assert find([broken], {"DIB_BLOCK_DEVICE_CONFIG": EFI}, settings()).source == "DIB_BLOCK_DEVICE_CONFIG"
    assert find([broken], {}, settings(block_device_config=EFI)).table is not None
    file = tmp_path / "mine.yaml"
    file.write_text(EFI)
    assert find([broken], {"DIB_BLOCK_DEVICE_CONFIG": f"file://{file}"}, settings()).source == str(file)
    with pytest.raises(UsageError, match=r"gone\.yaml, which can't be read"):
        find([broken], {"DIB_BLOCK_DEVICE_CONFIG": "file:///gone.yaml"}, settings())


def test_a_disk_that_can_not_grow_needs_a_size(tmp_path: Path) -> None:
    partly = change("100%", "50%")
    with pytest.raises(DiskError, match="needs a size") as caught:
        find([], {"DIB_BLOCK_DEVICE_CONFIG": partly}, settings())
    assert "--image-size" in caught.value.hint
    assert find([], {"DIB_BLOCK_DEVICE_CONFIG": partly}, settings(image_size=9 * GIB)).size == 9 * GIB
    fixed = change("100%", "40GiB")
    size = find([], {"DIB_BLOCK_DEVICE_CONFIG": fixed}, settings()).size
    assert size == 40 * GIB + (550 + 8 + 2) * MIB
    assert find([], {"DIB_BLOCK_DEVICE_CONFIG": EFI}, settings()).size is None


def test_a_file_that_is_no_text(tmp_path: Path) -> None:
    odd = element(tmp_path, "odd", default="")
    (odd.path / "block-device-default.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(FileError, match="cannot be read"):
        find([odd], {}, settings())
