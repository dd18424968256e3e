"""What a base image's devices are called while it is an appliance's second disk."""

from __future__ import annotations

import pytest

from dib_py.disk.block_device import parse
from dib_py.target import Mount
from dib_py.target import guestfs_moving as moving

LVM = """\
- local_loop: {name: image0}
- partitioning: {base: image0, label: gpt, partitions: [{name: pv, size: 1GiB}]}
- lvm:
    name: lvm
    pvs: [{name: pv0, base: pv}]
    vgs: [{name: vg, base: [pv0]}]
    lvs: [{name: root, base: vg, extents: 100%VG}]
- mkfs: {name: mkfs_root, base: root, mount: {mount_point: /}}
"""


@pytest.mark.parametrize(
    ("device", "options", "real"),
    [
        ("/dev/sda3", "", ("/dev/sdb3", "")),
        ("/dev/sda", "", ("/dev/sdb", "")),
        ("/dev/centos/root", "", ("/dev/centos/root", "")),
        ("/dev/sdadata/root", "", ("/dev/sdadata/root", "")),
        ("btrfsvol:/dev/sda2/root", "", ("/dev/sdb2", "subvol=root")),
        ("btrfsvol:/dev/sda2/a/b", "compress", ("/dev/sdb2", "compress,subvol=a/b")),
    ],
)
def test_devices(device: str, options: str, real: tuple[str, str]) -> None:
    assert moving._real(Mount(device, "/", "ext4", options), "/dev/sdb") == real


def test_volume_groups_of_one_name_are_told_apart() -> None:
    class Runner:
        def check(self, script: str, *names: str) -> str:
            assert names == ("vg",)
            return "  WARNING: LVM has something to say about this\nrenamed vg vg-of-base\n"

    mounts = [
        Mount("/dev/vg/root", "/", "xfs"),
        Mount("/dev/vg2/var", "/var", "xfs"),
        Mount("/dev/sda1", "/boot", "xfs"),
    ]
    found = moving.free_names(Runner(), parse(LVM, source="x"), mounts)  # type: ignore[arg-type]
    assert [mount.device for mount in found] == ["/dev/vg-of-base/root", "/dev/vg2/var", "/dev/sda1"]
