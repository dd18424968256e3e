"""The host target: what every target promises, and what only this one does."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from dib_py.disk.layout import Filesystem, Layout, Partition, PartitionTable
from dib_py.errors import DiskError, TargetError
from dib_py.target import Mount
from dib_py.target.host import HostTarget
from dib_py.target.host_run import with_sudo
from tests.target.contract import (
    DISK_SIZE,
    CachesContract,
    DiskContract,
    FilesContract,
    PackContract,
    RunContract,
    TreeContract,
    cache_tree,
    hooks,
    minimal_debian,
    script,
    small_layout,
    use_early_caches,
)
from tests.target.machines import host_target

pytestmark = [pytest.mark.root, pytest.mark.timeout(300)]
__all__ = ["hooks"]

MIB = 1024**2
ROOT_UUID = "3d1c1d5e-6a43-4b1f-8a37-0f7e6f2b1001"
BOOT_UUID = "3d1c1d5e-6a43-4b1f-8a37-0f7e6f2b1002"


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HostTarget]:
    archive = minimal_debian()
    caches = tmp_path_factory.mktemp("caches")
    with host_target(tmp_path_factory.mktemp("host"), size=DISK_SIZE) as (_, opened):
        layout = small_layout()
        opened.create(layout)
        opened.mount(opened.layout_mounts(layout))
        opened.attach(cache_tree(caches))
        use_early_caches(opened)
        opened.tar_in(archive, "/")
        yield opened


class TestRun(RunContract):
    def test_much_output(self, target: HostTarget) -> None:
        counted = 0

        def count(chunk: bytes) -> None:
            nonlocal counted
            counted += len(chunk)

        code = target.run(["head", "-c", "100000000", "/dev/zero"], env={"PATH": "/usr/bin"}, output=count)
        assert (code, counted) == (0, 100_000_000)


class TestFiles(FilesContract):
    pass


class TestPack(PackContract):
    pass


class TestTree(TreeContract):
    pass


class TestDisk(DiskContract):
    pass


class TestCaches(CachesContract):
    pass


def test_what_is_in_a_cache_is_on_this_machine_and_kept_files_are_safe(tmp_path: Path, hooks: Path) -> None:
    with host_target(tmp_path, size=DISK_SIZE) as (_, target):
        layout = small_layout()
        target.create(layout)
        target.mount(target.layout_mounts(layout))
        caches = cache_tree(tmp_path / "caches")
        target.attach(caches)
        use_early_caches(target)
        target.tar_in(minimal_debian(), "/")
        with target.guest_mounts(hooks):
            assert script(target, "cd /var/cache/apt/archives; rm had.deb; echo new > new.deb")[0] == 0
        target.expose_devices(layout)
        with target.guest_mounts(hooks):
            assert script(target, "mountpoint /var/cache/apt")[0] != 0
    archives = caches.source("/var/cache/apt") / "archives"
    assert {path.name for path in archives.iterdir()} == {"early.deb", "new.deb"}
    assert (tmp_path / "caches/kept").read_text() == "downloaded before\n"


def test_caches_are_in_place_again_after_a_remount(tmp_path: Path) -> None:
    with host_target(tmp_path, size=DISK_SIZE) as (_, target):
        layout = replace(small_layout(), size=None)
        target.create(layout)
        target.mount(target.layout_mounts(layout))
        target.attach(cache_tree(tmp_path / "caches"))
        with target.tree() as root:
            target.shrink(DISK_SIZE // 2)
            assert (root / "var/cache/apt/archives/had.deb").is_file()
        assert target.listdir("/var/cache/apt") == []


# -- disks of other shapes, without a guest in them
def _layout(fstype: str, label: str | None, sector_size: int = 512) -> Layout:
    """A data partition and the root, or the root on the bare disk where ``label`` is None."""
    root = Filesystem("mkfs_root", "root" if label else "image0", fstype, "roots", ROOT_UUID, mount_point="/")
    if label is None:
        return Layout("image0", None, sector_size, filesystems=(root,))
    first, kind = (
        (Partition("first", 1, 16 * MIB, "0x83"), "0x83")
        if label == "mbr"
        else (
            Partition("BSP", 1, 8 * MIB, "EF02"),
            "8300",
        )
    )
    table = PartitionTable(label, MIB, (first, Partition("root", 2, None, kind)))
    return Layout("image0", None, sector_size, table, filesystems=(root,))


def _made(target: HostTarget, layout: Layout) -> None:
    target.create(layout)
    target.mount(target.layout_mounts(layout))


@pytest.mark.parametrize("sector_size", [512, 4096])
@pytest.mark.parametrize("label", ["mbr", "gpt", None])
@pytest.mark.parametrize("fstype", ["ext4", "xfs", "btrfs"])
def test_create_mount_and_content_lasts(fstype: str, label: str | None, sector_size: int, tmp_path: Path) -> None:
    layout = _layout(fstype, label, sector_size)
    with host_target(tmp_path, size=512 * MIB, sector_size=sector_size) as (_, target):
        _made(target, layout)
        target.write("/kept", b"data")
        target.sync()
        target.unmount()
        assert list(target.root.iterdir()) == []
        target.mount(target.layout_mounts(layout))
        assert target.read("/kept") == b"data"


def test_two_builds_at_once_on_an_xfs_with_one_uuid(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    with (
        host_target(tmp_path / "one", size=512 * MIB) as (_, one),
        host_target(tmp_path / "two", size=512 * MIB) as (_, two),
    ):
        for target in (one, two):
            _made(target, _layout("xfs", "gpt"))
            target.unmount()
            with pytest.raises(TargetError, match="no operating system"):
                target.inspect()
            target.mount(target.layout_mounts(_layout("xfs", "gpt")))
            target.write("/own", target.root.name.encode())
        two.unmount()


@pytest.mark.parametrize("fstype", ["ext4", "xfs", "btrfs"])
@pytest.mark.parametrize("label", ["mbr", "gpt", None])
def test_grow_between_steps(fstype: str, label: str | None, tmp_path: Path) -> None:
    with host_target(tmp_path, size=512 * MIB) as (disk, target):
        _made(target, _layout(fstype, label))
        target.write("/kept", b"data")
        before = target.usage().size
        disk.resize(1024 * MIB)
        target.grow()
        after = target.usage().size
        assert after - before > 440 * MIB
        assert target.read("/kept") == b"data"
        target.write("/large", os.urandom(16 * MIB))
        target.unmount()


def test_grow_while_a_step_runs(tmp_path: Path) -> None:
    with host_target(tmp_path, size=512 * MIB) as (disk, target):
        _made(target, _layout("xfs", "gpt"))
        before = target.usage().size
        disk.resize(1024 * MIB)
        grown = threading.Timer(0.3, target.grow)
        grown.start()
        code = target.run_host(
            ["sh", "-c", f"dd if=/dev/zero of={target.root}/zeroes bs=1M count=64 status=none; sleep 1"],
            env=dict(os.environ),
            output=lambda chunk: None,
        )
        grown.join()
        assert code == 0
        assert target.usage()[0] - before > 440 * MIB


def test_a_kernel_that_forbids_growth_is_no_reason_to_kill_the_step(tmp_path: Path) -> None:
    with host_target(tmp_path, size=512 * MIB) as (disk, target):
        _made(target, _layout("ext4", "mbr"))
        if target.grows_while_mounted:
            pytest.skip("this process has CAP_SYS_RESOURCE")
        disk.resize(1024 * MIB)
        failed: list[BaseException] = []

        def grow() -> None:
            try:
                target.grow()
            except DiskError as error:
                failed.append(error)

        watcher = threading.Timer(0.3, grow)
        watcher.start()
        assert target.run_host(["sleep", "1"], env=dict(os.environ), output=lambda chunk: None) == 0
        watcher.join()
        assert "--image-size" in str(failed[0].hint)


@pytest.mark.parametrize("label", ["mbr", "gpt", None])
def test_shrink(label: str | None, tmp_path: Path) -> None:
    with host_target(tmp_path, size=4096 * MIB) as (disk, target):
        _made(target, _layout("ext4", label))
        target.write("/kept", os.urandom(50 * MIB))
        target.shrink(512 * MIB)
        disk.resize(512 * MIB)
        assert target.usage()[0] < 512 * MIB
        assert len(target.read("/kept")) == 50 * MIB
        target.unmount()
        found = ["blkid", "-p", "-s", "PTTYPE", "-o", "value", target._devices.whole]
        kinds = {"mbr": "dos", "gpt": "gpt", None: ""}
        assert subprocess.run(found, capture_output=True, text=True).stdout.strip() == kinds[label]
        verify = "sfdisk --verify" if label else "e2fsck -fn"
        checked = subprocess.run([*verify.split(), str(target._devices.whole)], capture_output=True, text=True)
        assert checked.returncode == 0, checked.stdout + checked.stderr


def test_expose_devices(tmp_path: Path, hooks: Path) -> None:
    layout = _layout("ext4", "gpt")
    with host_target(tmp_path, size=512 * MIB) as (_, target):
        _made(target, layout)
        target.write("/kept", b"data")
        (target.root / "bound").mkdir()
        target.run_host(["mount", "--bind", "/etc", f"{target.root}/bound"], env=dict(os.environ), output=print)
        names = target.expose_devices(layout)
        whole = names["image0"]
        assert names == {"image0": whole, "BSP": f"{whole}p1", "root": f"{whole}p2"}
        assert target.read("/kept") == b"data"
        sources = subprocess.run(["findmnt", "-n", "-o", "SOURCE", target.root], capture_output=True, text=True).stdout
        assert sources.split() == [f"{whole}p2"]
        assert target.listdir("/bound") == []  # what hooks mounted is gone, as in diskimage-builder
        with target.guest_mounts(hooks):
            dev = target.root / "dev"
            assert {"null", "pts", "shm", Path(whole).name, f"{Path(whole).name}p2"} <= {
                path.name for path in dev.iterdir()
            }
            assert (dev / "disk/by-uuid" / ROOT_UUID).resolve() == dev / f"{Path(whole).name}p2"
            assert (dev / f"{Path(whole).name}p2").stat().st_rdev == Path(f"{whole}p2").stat().st_rdev
    assert not Path(f"{whole}p1").exists()
    assert not list(Path("/sys/block", Path(whole).name).glob("loop*p*"))


def test_esp_without_vfat(tmp_path: Path) -> None:
    if "vfat" in Path("/proc/filesystems").read_text():
        pytest.skip("this kernel has vfat")
    esp = Filesystem("mkfs_esp", "first", "vfat", "ESP", "1234-ABCD", mount_point="/boot/efi")
    layout = _layout("ext4", "mbr")
    layout = replace(layout, filesystems=(*layout.filesystems, esp))
    with host_target(tmp_path, size=512 * MIB) as (_, target), pytest.raises(DiskError) as raised:
        target.create(layout)
    assert "vfat" in raised.value.message
    assert "guestfs" in raised.value.hint


# -- base images
def _base(tmp_path: Path, target: HostTarget, layout: Layout, files: dict[str, str]) -> None:
    target.create(layout)
    target.mount(target.layout_mounts(layout))
    for path, text in files.items():
        target.make_directory(str(Path(path).parent))
        target.write(path, text.encode())
    shutil.copy("/bin/true", target.root / "true")
    target.make_directory("/bin")
    target.rename("/true", "/bin/sh")
    target.unmount()


OS_RELEASE = 'ID=debian\nVERSION_ID="12"\n'


def test_inspect_separate_boot(tmp_path: Path) -> None:
    layout = _layout("ext4", "mbr")
    boot = Filesystem("mkfs_boot", "first", "ext2", "boots", BOOT_UUID, mount_point="/boot")
    layout = replace(layout, filesystems=(*layout.filesystems, boot))
    fstab = f"# comment\nUUID={ROOT_UUID} / ext4 defaults 0 1\nLABEL=boots /boot ext2 defaults 0 2\n"
    fstab += "/dev/sr0 /media/cdrom0 udf,iso9660 user,noauto 0 0\nUUID=absent /data xfs nofail 0 0\n"
    with host_target(tmp_path, size=512 * MIB) as (_, target):
        _base(tmp_path, target, layout, {"/etc/os-release": OS_RELEASE, "/etc/fstab": fstab})
        found = target.inspect()
        assert found.mounts == (Mount("image0p2", "/", "ext4"), Mount("image0p1", "/boot", "ext2"))
        assert (found.distro, found.version, found.arch) == ("debian", "12", os.uname().machine)
        assert (found.root_label, found.root_fstype) == ("roots", "ext4")
        target.mount(found.mounts)
        assert target.exists("/etc/fstab")
        target.unmount()


def test_inspect_btrfs_subvolumes(tmp_path: Path) -> None:
    fstab = f"UUID={ROOT_UUID} / btrfs subvol=@ 0 0\nUUID={ROOT_UUID} /home btrfs subvol=@home,noatime 0 0\n"
    with host_target(tmp_path, size=512 * MIB) as (_, target):
        layout = _layout("btrfs", "gpt")
        _made(target, layout)
        for name in ("@", "@home"):
            subprocess.run(["btrfs", "subvolume", "create", target.root / name], check=True, capture_output=True)
        target.make_directory("/@/etc")
        target.write("/@/etc/os-release", OS_RELEASE.encode())
        target.write("/@/etc/fstab", fstab.encode())
        target.make_directory("/@home/somebody")
        target.unmount()
        found = target.inspect()
        assert found.mounts == (
            Mount("image0p2", "/", "btrfs", "subvol=@"),
            Mount("image0p2", "/home", "btrfs", "subvol=@home"),
        )
        target.mount(found.mounts)
        assert target.listdir("/home") == ["somebody"]
        target.unmount()


def test_inspect_says_what_it_cannot_do(tmp_path: Path) -> None:
    with host_target(tmp_path, size=512 * MIB) as (_, target):
        with pytest.raises(TargetError, match="no operating system"):
            target.inspect()
        layout = _layout("ext4", "mbr")
        layout = replace(
            layout, filesystems=(*layout.filesystems, Filesystem("second", "first", "ext2", "b", BOOT_UUID))
        )
        missing = {"/etc/os-release": OS_RELEASE, "/etc/fstab": "/dev/mapper/vg-var /var ext4 defaults 0 2\n"}
        _base(tmp_path, target, layout, missing)
        with pytest.raises(TargetError, match="/dev/mapper/vg-var") as raised:
            target.inspect()
        assert "guestfs" in raised.value.hint
        second = Mount("image0p1", "/", "ext2")
        target.mount([second])
        target.make_directory("/etc")
        target.write("/etc/os-release", OS_RELEASE.encode())
        target.unmount()
        with pytest.raises(TargetError, match="several"):
            target.inspect()


@pytest.mark.parametrize("kind", ["LVM", "LUKS"])
def test_inspect_sends_volumes_to_the_appliance(kind: str, tmp_path: Path) -> None:
    with host_target(tmp_path, size=512 * MIB) as (_, target):
        target.create(replace(_layout("ext4", "mbr"), filesystems=()))
        node = target._devices.path("image0p2")
        if kind == "LVM":
            label = b"\0" * 512 + b"LABELONE" + (1).to_bytes(8, "little")
            body = (32).to_bytes(4, "little") + b"LVM2 001" + b"a" * 32 + b"\0" * 456
            crc = _lvm_crc(body[: 512 - 20])
            node.write_bytes(label + crc.to_bytes(4, "little") + body)
        else:
            node.write_bytes(b"LUKS\xba\xbe\0\1".ljust(592, b"\0"))
        with pytest.raises(TargetError, match=f"{kind}.* on partition 2") as raised:
            target.inspect()
        assert "guestfs" in raised.value.hint


def _lvm_crc(data: bytes) -> int:
    """LVM's CRC-32, which starts at 0xf597a6cf and is not inverted at the end."""
    value = 0xF597A6CF
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = value >> 1 ^ (0xEDB88320 if value & 1 else 0)
    return value


# -- ending
def test_what_this_machine_had_no_room_for_is_an_error(tmp_path: Path) -> None:
    """The kernel has taken the data, and the hook that wrote it was content; without a word the image would lack it."""
    room = tmp_path / "room"
    room.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=48M", "none", room], check=True)
    try:
        with host_target(room, size=512 * MIB) as (_, target):
            _made(target, _layout("ext4", "mbr"))
            target._room = room
            target.write("/large", os.urandom(80 * MIB))
            with pytest.raises(TargetError, match=f"could not be written: {room} on this machine is full"):
                target.shrink(256 * MIB)
    finally:
        subprocess.run(["umount", room], check=True)


def test_unmount_ends_what_uses_the_tree(tmp_path: Path) -> None:
    with host_target(tmp_path, size=512 * MIB) as (_, target):
        _made(target, _layout("ext4", "mbr"))
        stray = subprocess.Popen(["sleep", "600"], cwd=target.root)
        target.unmount()
        assert stray.wait(60) == -9


def test_unmount_undoes_what_hooks_mounted(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    cache.mkdir()
    (cache / "package").write_text("kept")
    with host_target(tmp_path, size=512 * MIB) as (_, target):
        _made(target, _layout("ext4", "mbr"))
        target.make_directory("/var/cache/apt")
        bind = f"mount --bind {cache} {target.root}/var/cache/apt && mount -t tmpfs none {target.root}/var/cache/apt"
        assert target.run_host(["sh", "-c", bind], env=dict(os.environ), output=print) == 0
        with pytest.raises(TargetError, match="mounted"):
            target.remove("/var")
        target.unmount()
    assert (cache / "package").read_text() == "kept"


def test_no_mount_reaches_the_outside(tmp_path: Path) -> None:
    before = Path("/proc/self/mountinfo").read_text().splitlines()
    with host_target(tmp_path, size=512 * MIB) as (_, target):
        _made(target, _layout("ext4", "mbr"))
        outside = Path(f"/proc/{os.getppid()}/mountinfo").read_text()
        assert str(target.root) not in outside
        target.unmount()
    assert Path("/proc/self/mountinfo").read_text().splitlines() == before


def test_sudo_where_there_is_none(tmp_path: Path) -> None:
    path = tmp_path / "bin"
    path.mkdir()
    for program in ("bash", "id", "sh", "env", "setpriv"):
        (path / program).symlink_to(str(shutil.which(program)))
    env = with_sudo({"PATH": str(path)})
    for command, expected in (
        ("sudo -E -- id -u", "0"),
        ("sudo -H -u root sh -c 'id -u'", "0"),
        ("sudo -u nobody id -un", "nobody"),
        ("sudo COLOUR=blue sh -c 'echo $COLOUR'", "blue"),
        ("sudo -i sh -c 'echo $HOME'", "/root"),
    ):
        done = subprocess.run(["bash", "-c", command], env=env, capture_output=True, text=True)
        assert (done.stdout.strip(), done.returncode) == (expected, 0), done.stderr
    assert with_sudo({"PATH": "/usr/bin"}) == {"PATH": "/usr/bin"} or not shutil.which("sudo")
