"""What a base image's devices are called while it is an appliance's second disk."""

from __future__ import annotations

import pytest

from dib_py.disk.block_device import parse
from dib_py.target import Mount
from dib_py.target import guestfs_moving as moving
from dib_py.target.guestfs_appliance import real_name
from tests.target.machines import ROOT_ON_LVM


@pytest.mark.parametrize(
    ("device", "real"),
    [
        ("/dev/sda3", ("/dev/sdb3", "")),
        ("/dev/sda", ("/dev/sdb", "")),
        ("/dev/centos/root", ("/dev/centos/root", "")),
        ("/dev/sdadata/root", ("/dev/sdadata/root", "")),
        ("btrfsvol:/dev/sda2/root", ("/dev/sdb2", "subvol=root")),
        ("btrfsvol:/dev/sda2/a/b", ("/dev/sdb2", "subvol=a/b")),
    ],
)
def test_devices(device: str, real: tuple[str, str]) -> None:
    assert real_name(device, "/dev/sdb") == real


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
    found = moving.free_names(Runner(), parse(ROOT_ON_LVM, source="x"), mounts)
    assert [mount.device for mount in found] == ["/dev/vg-of-base/root", "/dev/vg2/var", "/dev/sda1"]
