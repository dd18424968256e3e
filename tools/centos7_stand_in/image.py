"""The image: its tree, with what belongs to no package, and the disk that boots it."""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from centos7_stand_in import DATA
from centos7_stand_in.assembly import install
from centos7_stand_in.programs import inside, run

DISK_SIZE = 8 * 1024**3
PARTITION_START = 1024**2


def finish_tree(tree: Path, installed: Iterable[Path]) -> None:
    """What belongs to no package; the database; services as presets have them; nothing of Debian's package manager."""
    for name in (
        "var/lib/dpkg",
        "var/lib/apt",
        "var/cache",
        "var/log",
        "var/lib/pam",
        "var/lib/ucf",
        "var/lib/systemd/deb-*",
    ):
        for path in tree.glob(name):
            shutil.rmtree(path)
    for name in ("var/cache/yum", "var/log", "var/lib/yum", "var/lib/rpm", "var/cache/ldconfig"):
        (tree / name).mkdir(parents=True, exist_ok=True)
    for name in ("etc/resolv.conf", "etc/apt", "etc/dpkg", "etc/debian_version", "etc/cron.d/e2scrub_all", ".standin"):
        path = tree / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    for source in (DATA / "image").rglob("*"):
        if source.is_file():
            install(source, tree / source.relative_to(DATA / "image"), 0o644)
    group = (tree / "etc/group").read_text()
    (tree / "etc/group").write_text(re.sub(r"^uucp:x:10:", "wheel:x:10:", group, flags=re.MULTILINE))
    rules = tree / "etc/udev/rules.d/80-net-name-slot.rules"
    rules.symlink_to("/dev/null")
    for link in [path for path in (tree / "etc/systemd/system").rglob("*") if path.is_symlink()]:
        link.unlink()
    for link in [path for path in (tree / "etc/alternatives").iterdir() if path.is_symlink()]:
        if not (tree / str(link.readlink()).lstrip("/")).exists():
            link.unlink()
    inside(tree, "systemctl", "preset-all")
    (tree / "etc/systemd/system/default.target").symlink_to("/lib/systemd/system/multi-user.target")
    inside(tree, "chkconfig", "network", "on")
    database = ["--dbpath", "/var/lib/rpm", "--define", "_db_backend sqlite"]
    run("rpm", "--root", tree, *database, "--initdb")
    quick = ["--justdb", "--nodeps", "--noscripts", "--notriggers", "--nosignature", "--nodigest"]
    run("rpm", "--root", tree, *database, *quick, "--install", *installed, timeout=300)


@contextmanager
def loop(path: Path) -> Iterator[tuple[Path, Path]]:
    """The disk in a file, and its only partition, as block devices."""
    with ExitStack() as stack:
        disk = run("losetup", "--find", "--show", path).strip()
        stack.callback(run, "losetup", "--detach", disk)
        run("partx", "--add", "--nr", "1", disk)
        stack.callback(run, "partx", "--delete", "--nr", "1", disk)
        yield Path(disk), Path(f"{disk}p1")


def make_disk(raw: Path, tree: Path) -> None:
    """MBR, one xfs without a label, GRUB in the gap before it: CentOS 7's cloud image is made so."""
    with raw.open("wb") as file:
        file.truncate(DISK_SIZE)
    sectors = f"label: dos\nlabel-id: 0x000b3f9c\nstart={PARTITION_START // 512}, type=83, bootable\n"
    run("sfdisk", "--quiet", raw, input=sectors)
    with loop(raw) as (disk, partition):
        # what xfs of a kernel 3.10 knows
        old = ["-m", "bigtime=0,inobtcount=0,reflink=0,rmapbt=0,finobt=0", "-i", "sparse=0"]
        run("mkfs.xfs", "-q", "-f", *old, partition)
        uuid = run("blkid", "-p", "-s", "UUID", "-o", "value", partition).strip()
        with mounted(partition, tree.parent / "mnt") as root:
            run("cp", "-a", f"{tree}/.", root)
            (root / "etc/fstab").write_text(f"\n#\n# /etc/fstab\n#\nUUID={uuid} /  xfs  defaults  0 0\n")
            make_bootable(root, disk, uuid)


@contextmanager
def mounted(device: Path, root: Path) -> Iterator[Path]:
    root.mkdir()
    with ExitStack() as stack:
        run("mount", device, root)
        stack.callback(run, "umount", root)
        for name in ("dev", "proc", "sys"):
            (root / name).mkdir(exist_ok=True)
            run("mount", "--bind", f"/{name}", root / name)
            stack.callback(run, "umount", root / name)
        yield root


def make_bootable(root: Path, disk: Path, uuid: str) -> None:
    for modules in (root / "usr/lib/modules").iterdir():
        inside(root, "depmod", "-a", modules.name)
        inside(root, "dracut", "--force", f"/boot/initramfs-{modules.name}.img", modules.name)
    grub = root / "boot/grub2"
    (grub / "device.map").write_text(f"(hd0) {disk}\n")
    inside(root, "grub2-install", "--target=i386-pc", "--modules=part_msdos xfs biosdisk", str(disk))
    inside(root, "grub2-editenv", "/boot/grub2/grubenv", "create")
    inside(root, "grub2-mkconfig", "-o", "/boot/grub2/grub.cfg")
    (grub / "device.map").write_text("# this device map was generated by anaconda\n(hd0)      /dev/vda\n")
    # no udev has made /dev/disk/by-uuid here, which grub2-mkconfig looks for
    text = re.sub(r"root=/dev/loop\S+", f"root=UUID={uuid}", (grub / "grub.cfg").read_text())
    (grub / "grub.cfg").write_text(text)
    title = re.search(r"^menuentry '([^']*)'", text, re.MULTILINE)
    if title is None or f"root=UUID={uuid}" not in text or "/dev/loop" in text:
        raise SystemExit(f"centos7-stand-in: grub2-mkconfig made a menu that does not boot:\n{text}")
    inside(root, "grub2-set-default", title[1])


def write_checksums(image: Path, directory: Path) -> None:
    """The image as the publisher has it: its name, and a list of checksums beside it."""
    directory.mkdir()
    name = "CentOS-7-x86_64-GenericCloud-2009.qcow2"
    (directory / name).symlink_to(f"../{image.name}")
    (directory / "CentOS-7-x86_64-GenericCloud.qcow2").symlink_to(f"../{image.name}")
    with image.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    (directory / "sha256sum.txt").write_text(f"{digest}  {name}\n{digest}  CentOS-7-x86_64-GenericCloud.qcow2\n")
