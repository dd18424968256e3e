"""How growroot gets into the initramfs, and what it does there."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from .distributions import ALPINE, CENTOS7, DEBIAN, FEDORA, UBUNTU, Distribution, on_each, twice

if TYPE_CHECKING:
    from .conftest import Guest

ELEMENT = Path(__file__).resolve().parents[2] / "elements/growroot"
DEBIANS, CENTOS = "install.d/30-growroot-initramfs", "post-install.d/85-growroot-dracut"
FILES = {"grow-partition", "hooks/growroot", "scripts/local-premount/growroot"}


@on_each(DEBIAN, UBUNTU)
def test_initramfs_of_debian_and_ubuntu(guest: Guest, distribution: Distribution) -> None:
    guest.merge("growroot")
    distribution.lay(guest)
    guest.fake("update-initramfs", 'echo "for $DPKG_MAINTSCRIPT_PACKAGE"')
    guest.write("/usr/share/initramfs-tools/init", "")
    assert "for growroot" in twice(guest, DEBIANS)
    assert guest.calls == ["update-initramfs -u -k all"], "a second time there is nothing to make"
    tools = guest.root / "etc/initramfs-tools"
    made = {str(path.relative_to(tools)): path.stat().st_mode & 0o777 for path in tools.rglob("*") if path.is_file()}
    assert made == dict.fromkeys(FILES, 0o755)


def test_a_package_that_does_it_already(guest: Guest) -> None:
    guest.merge("growroot")
    UBUNTU.lay(guest)
    guest.fake("update-initramfs")
    guest.write("/usr/share/initramfs-tools/scripts/local-bottom/growroot", "")
    guest.hook(DEBIANS)
    assert guest.calls == []
    assert not guest.exists("/etc/initramfs-tools")


@pytest.mark.parametrize(("root", "device"), [("LABEL=x", "/dev/vda1"), ("/dev/vda2", "/dev/vda2")])
def test_the_script_in_the_initramfs_finds_the_root(guest: Guest, root: str, device: str) -> None:
    guest.merge("growroot")
    guest.write("/scripts/functions", 'resolve_device() { [ "$1" = LABEL=x ] && echo /dev/vda1; }\n')
    guest.fake("grow-partition")
    guest.write("/usr/local/bin/grow-partition", "#!/bin/sh\nexec /opt/fake/grow-partition $1\n", 0o755)
    guest.run("/tmp/in_target.d/initramfs/initramfs-tools-script", ROOT=root)
    assert guest.calls == [f"grow-partition {device}"]
    assert guest.run("/tmp/in_target.d/initramfs/initramfs-tools-script", "prereqs").stdout == ""


@pytest.fixture
def dracut(guest: Guest) -> Guest:
    guest.merge("growroot")
    guest.fake("dracut", 'for last; do :; done; echo "growpart" > "/boot/initramfs-$last.img"')
    guest.fake("lsinitrd", 'cat "$1"; seq 100000')  # it has much to say after that, too
    guest.fake("depmod", 'touch "/lib/modules/$1/modules.dep"')
    for version in ("3.10.0-1160.el7.x86_64", "3.10.0-957.el7.x86_64"):
        guest.write(f"/boot/vmlinuz-{version}", "")
        guest.write(f"/boot/initramfs-{version}.img", "old\n")
        guest.write(f"/lib/modules/{version}/modules.order", "")
    guest.write("/lib/modules/3.10.0-957.el7.x86_64/modules.dep", "")
    guest.write("/lib/modules/3.10.0-1.el7.x86_64/modules.order", "")  # its kernel is gone
    return guest


def test_every_kernel_of_centos_7(dracut: Guest) -> None:
    CENTOS7.lay(dracut)
    twice(dracut, CENTOS)
    assert [call for call in dracut.calls if not call.startswith("lsinitrd")] == [
        "depmod 3.10.0-1160.el7.x86_64",
        "dracut --force --no-hostonly /boot/initramfs-3.10.0-1160.el7.x86_64.img 3.10.0-1160.el7.x86_64",
        "dracut --force --no-hostonly /boot/initramfs-3.10.0-957.el7.x86_64.img 3.10.0-957.el7.x86_64",
    ]
    module = dracut.path("/usr/lib/dracut/modules.d/50growroot")
    assert {path.name for path in module.iterdir()} == {"module-setup.sh", "growroot.sh", "grow-partition"}


@on_each(FEDORA, DEBIAN, ALPINE)
def test_dracut_elsewhere_is_left_alone(dracut: Guest, distribution: Distribution) -> None:
    distribution.lay(dracut)
    dracut.hook(CENTOS)
    assert dracut.calls == []
    assert not dracut.exists("/usr/lib/dracut/modules.d/50growroot")


def test_the_hook_of_dracut_names_the_root(tmp_path: Path) -> None:
    program = tmp_path / "grow-partition"
    program.write_text('#!/bin/sh\necho "$@"\n')
    program.chmod(0o755)
    hook = (ELEMENT / "initramfs/dracut-hook").read_text().replace("/sbin/grow-partition", str(program))
    for root, said in (("block:/dev/disk/by-uuid/1", "/dev/disk/by-uuid/1\n"), ("nfs:x", "")):
        script = f"root={root}\n{hook}"
        assert subprocess.run(["sh", "-eu", "-c", script], capture_output=True, text=True, check=True).stdout == said


@pytest.mark.parametrize(
    ("name", "path", "number", "call"),
    [
        ("vda1", "virtio0/block/vda/vda1", "1", "growpart /dev/vda 1"),
        ("nvme0n1p3", "nvme/nvme0n1/nvme0n1p3", "3", "growpart /dev/nvme0n1 3"),
        ("cciss!c0d0p2", "block/cciss!c0d0/cciss!c0d0p2", "2", "growpart /dev/cciss/c0d0 2"),
        ("dm-0", "virtual/block/dm-0", None, None),
    ],
)
@pytest.mark.parametrize("status", [0, 1, 2])
def test_a_partition_grows(
    tmp_path: Path, name: str, path: str, number: str | None, call: str | None, status: int
) -> None:
    device = tmp_path / "sys/devices" / path
    device.mkdir(parents=True)
    if number is not None:
        (device / "partition").write_text(f"{number}\n")
    (tmp_path / "sys/class/block").mkdir(parents=True)
    (tmp_path / "sys/class/block" / name).symlink_to(f"../../devices/{path}")
    fakes = tmp_path / "fakes"
    fakes.mkdir()
    for fake, script in {"growpart": f'echo "growpart $*" >> {tmp_path}/calls; exit {status}', "udevadm": ":"}.items():
        (fakes / fake).write_text(f"#!/bin/sh\n{script}\n")
        (fakes / fake).chmod(0o755)
    environment = {"PATH": f"{fakes}:{os.environ['PATH']}", "GROWROOT_ROOT": str(tmp_path)}
    done = subprocess.run(
        [ELEMENT / "initramfs/grow-partition", f"/dev/{name.replace('!', '/')}"],
        env=environment,
        capture_output=True,
        text=True,
        check=True,  # whatever growpart says, the system boots
    )
    calls = tmp_path / "calls"
    assert (calls.read_text() if calls.exists() else None) == (call and f"{call}\n")
    assert ("could not grow" in done.stderr) is (status == 2 and call is not None)
