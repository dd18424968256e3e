"""A base image's content moved in the appliance to what only that can make: LVM with a thin pool, vfat, swap."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from dib_py.disk.block_device import parse
from dib_py.disk.layout import Partition, PartitionTable
from dib_py.events import Events
from dib_py.settings import Settings
from dib_py.target.guestfs import GuestfsTarget
from dib_py.units import GIB, MIB
from tests.target.contract import minimal_debian, small_layout
from tests.target.machines import host_target, running_disk

pytestmark = [pytest.mark.root, pytest.mark.appliance, pytest.mark.slow, pytest.mark.timeout(900)]

LAYOUT = """\
- local_loop: {name: image0}
- partitioning:
    base: image0
    label: gpt
    partitions:
      - name: ESP
        type: EF00
        size: 100MiB
        mkfs: {type: vfat, mount: {mount_point: /boot/efi, fstab: {}}}
      - {name: BSP, type: EF02, size: 8MiB}
      - name: swap
        size: 64MiB
        mkfs: {type: swap, label: more-memory, mount: {mount_point: none, fstab: {}}}
      - {name: pv, type: 8E00, size: 100%}
- lvm:
    name: lvm
    base: [pv]
    pvs: [{name: pv0, base: pv}]
    vgs: [{name: vg, base: [pv0]}]
    lvs:
      - {name: lv_root, base: vg, extents: 50%VG}
      - {name: pool, base: vg, type: thin-pool, extents: 40%VG}
      - {name: lv_var, base: vg, type: thin, thin-pool: pool, size: 4GiB}
- mkfs: {name: fs_root, base: lv_root, type: xfs, label: img-rootfs, mount: {mount_point: /, fstab: {}}}
- mkfs: {name: fs_var, base: lv_var, type: ext4, mount: {mount_point: /var, fstab: {}}}
"""
ODD = r"""
set -e; cd "$1"
mkdir -p odd var/odd boot/efi/EFI; echo stub > boot/efi/EFI/stub
echo x > odd/f; ln odd/f odd/g; ln odd/f var/odd/h; ln -s f odd/l; chown 5:6 odd/f; chmod 4755 odd/f
setfattr -n security.selinux -v system_u:object_r:etc_t:s0 odd/f
setfattr -h -n security.selinux -v system_u:object_r:lnk_t:s0 odd/l
setfacl -m u:33:r odd/f; cp /bin/true odd/cap; setcap cap_net_raw+ep odd/cap
truncate -s 50M odd/sparse; echo end >> odd/sparse; mknod odd/c c 1 3
"""


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Debian on the first partition of an MBR, and a second partition with nothing on it."""
    directory = tmp_path_factory.mktemp("base")
    parts = (Partition("root", 1, GIB, "0x83", bootable=True), Partition("other", 2, None, "0x8e"))
    layout = replace(small_layout(), table=PartitionTable("mbr", MIB, parts))
    with host_target(directory, size=layout.size) as (disk, target):
        target.create(layout)
        target.mount(target.layout_mounts(layout))
        target.tar_in(minimal_debian(), "/")
        subprocess.run(["bash", "-c", ODD, "bash", target.root], check=True)
        target.unmount()
    subprocess.run(["qemu-img", "convert", "-O", "qcow2", disk.image().name, directory / "base.qcow2"], check=True)
    return directory / "base.qcow2"


def test_to_lvm_with_a_thin_pool(base: Path, tmp_path: Path) -> None:
    layout = parse(LAYOUT, source="layout.yaml")
    with running_disk(tmp_path, size=3 * GIB) as disk:
        disk.open_source(base, "qcow2")
        with GuestfsTarget(disk, tmp_path, Settings(memory=1024), Events()) as target:
            run = target._appliance.engine_runner.check
            # the base image has a volume group of the same name
            run("lvm pvcreate -q -y /dev/disk/guestfs/source2 && lvm vgcreate -q vg /dev/disk/guestfs/source2 2>&1")
            found = target.move_in(layout, tmp_path / "inspected.json")
            assert [(mount.device, mount.path) for mount in found.mounts] == [("/dev/sda1", "/")]
            assert (found.distro, found.root_label) == ("debian", "cloudimg-rootfs")
            assert "source" not in run("ls /dev/disk/guestfs; lvm vgs")
            listed = run("lvm lvs --noheadings -o lv_name,pool_lv,segtype 2>/dev/null")
            assert [line.split() for line in listed.splitlines()] == [
                ["lv_root", "linear"],
                ["lv_var", "pool", "thin"],
                ["pool", "thin-pool"],
            ]
            mounted = run("findmnt -R -n -r -o TARGET,SOURCE,FSTYPE /sysroot").split()
            assert mounted[::3] == ["/sysroot", "/sysroot/boot/efi", "/sysroot/var"]
            assert mounted[2::3] == ["xfs", "vfat", "ext4"]
            assert target.read("/boot/efi/EFI/stub") == b"stub\n"
            assert target.read("/var/odd/h") == b"x\n"
            asked = 'stat -c "%U %G %u:%g %a %h" f; stat -c "%t:%T %F" c; stat -c "%s %b" sparse; readlink l; '
            asked += "getfattr -h -d -m security f l cap; getfacl -n -c f"
            told = run(f"cd /sysroot/odd; {asked}")
            for expected in (
                *("5:6 4755 2\n", "1:3 character special file\n", "52428804 8\n", "\nf\n", "user:33:r--\n"),
                *(
                    'selinux="system_u:object_r:etc_t:s0"',
                    'selinux="system_u:object_r:lnk_t:s0"',
                    "security.capability=",
                ),
            ):
                assert expected in told
            assert target.expose_devices(layout)["lv_root"] == "/dev/vg/lv_root"
            target.trim()
            target.unmount()
