"""What each filesystem gets of a base image's tree, and the fstab that goes with it."""

from __future__ import annotations

import pytest

from dib_py.disk import fstab, moving
from dib_py.disk.block_device import parse
from dib_py.disk.layout import Layout
from dib_py.errors import DiskError
from dib_py.units import GIB, MIB

SPLIT = """\
- local_loop: {name: image0}
- partitioning:
    base: image0
    label: gpt
    partitions:
      - name: ESP
        type: EF00
        size: 550MiB
        mkfs: {type: vfat, mount: {mount_point: /boot/efi, fstab: {}}}
      - name: swap
        size: 1GiB
        mkfs: {type: swap, label: more-memory, mount: {mount_point: none, fstab: {}}}
      - name: var
        size: 2GiB
        mkfs: {type: xfs, label: var, mount: {mount_point: /var, fstab: {options: nodev}}}
      - name: root
        size: 100%
        mkfs: {type: ext4, label: new-root, mount: {mount_point: /, fstab: {fsck-passno: 1}}}
"""


@pytest.fixture(scope="module")
def layout() -> Layout:
    return parse(SPLIT, source="split.yaml")


def test_each_filesystem_gets_its_part(layout: Layout) -> None:
    root, esp, var = moving.shares(layout, ["/", "/boot", "/var/lib"])
    assert (root.path, root.others, root.hidden) == (
        "/",
        ("boot/efi", "var"),
        ("lost+found", "boot/lost+found", "var/lib/lost+found"),
    )
    assert (esp.path, esp.others, esp.owners) == ("/boot/efi", (), False)
    assert (var.path, var.others, var.hidden) == ("/var", (), ("lib/lost+found",))


def test_programs(layout: Layout) -> None:
    root, esp, _ = moving.shares(layout, ["/"])
    pack = root.pack("/old")
    assert {"--exclude=./boot/efi/*", "--exclude=./var/*", "--exclude=./lost+found"} <= set(pack)
    assert {"--acls", "--xattrs-include=*", "--sparse", "--directory=/old"} <= set(pack)
    assert "--same-owner" in root.unpack("/new")
    assert "--no-same-owner" in esp.unpack("/new")
    assert "--xattrs" not in esp.pack("/old")
    assert esp.unpack("/new")[-1] == "--directory=/new/boot/efi"
    assert root.measure("/old")[-4:] == [
        "--exclude=/old/boot/efi",
        "--exclude=/old/var",
        "--exclude=/old/lost+found",
        "/old",
    ]


def test_names_are_no_patterns(layout: Layout) -> None:
    odd = parse(SPLIT.replace("/var", "'/v[a]*r'"), source="split.yaml")
    assert r"--exclude=./v\[a\]\*r/*" in moving.shares(odd, ["/"])[0].pack("/old")


def test_what_does_not_fit_is_told(layout: Layout) -> None:
    var = moving.shares(layout, ["/"])[2]
    var.check_room(GIB, 2 * GIB, layout)
    with pytest.raises(DiskError) as caught:
        var.check_room(2 * GIB, 2 * GIB + MIB, layout)
    assert caught.value.where == "split.yaml"
    assert "/var takes 2 GiB" in caught.value.message
    assert "--image-size" in caught.value.hint


def test_fstab(layout: Layout) -> None:
    before = """\
# made by somebody
UUID=11-22 / xfs defaults 0 0
LABEL=b\\040t /boot ext4 defaults 1 2   # old
PARTUUID=1-2 /var/lib/data xfs nofail 0 0
/dev/sda3 none swap sw 0 0
/swapfile none swap sw 0 0
tmpfs /tmp tmpfs nosuid 0 0
server:/x /srv nfs noauto 0 0
UUID=77 /var ext4 defaults 0 2
proc
"""
    assert (
        fstab.moved(before, layout, ["/", "/boot"])
        == """\
LABEL=new-root / ext4 defaults 0 1
LABEL=MKFS_ESP /boot/efi vfat defaults 0 2
LABEL=var /var xfs nodev 0 2
LABEL=more-memory none swap sw 0 0
# made by somebody
PARTUUID=1-2 /var/lib/data xfs nofail 0 0
/swapfile none swap sw 0 0
tmpfs /tmp tmpfs nosuid 0 0
server:/x /srv nfs noauto 0 0
proc
"""
    )


def test_what_is_mounted_beside_the_new_filesystem() -> None:
    assert moving.mount_options("xfs", "") == "ro,nouuid"
    assert moving.mount_options("btrfs", "subvol=root") == "ro,subvol=root"
