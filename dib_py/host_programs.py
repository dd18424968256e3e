"""Programs of this machine: where they are, what each is for, and the packages that bring it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass

from dib_py.errors import HostError

BOTH, GUESTFS, HOST, ELEMENTS, WINDOWS, VERIFY = (
    "both targets",
    "guestfs target",
    "host target",
    "elements",
    "Windows images",
    "verify",
)


def find(name: str, environ: Mapping[str, str] = os.environ) -> str | None:
    """The path of a program, which may be one of root's although PATH is a user's."""
    return shutil.which(name, path=f"{environ.get('PATH', os.defpath)}:/usr/sbin:/sbin")


@dataclass(frozen=True)
class Program:
    """A program of the host: what it is for, and the package that brings it in each family of distributions."""

    name: str
    group: str
    purpose: str
    debian: str
    fedora: str
    required: bool = True


PROGRAMS = (
    Program("qemu-img", BOTH, "makes and converts images", "qemu-utils", "qemu-img"),
    Program("qemu-io", BOTH, "copies part of an image", "qemu-utils", "qemu-img"),
    Program("qemu-storage-daemon", BOTH, "serves the disk", "qemu-system-common", "qemu-img"),
    Program("unshare", BOTH, "keeps a build apart", "util-linux", "util-linux"),
    Program("bash", BOTH, "reads environment.d", "bash", "bash"),
    Program("tar", BOTH, "puts files into the guest", "tar", "tar"),
    Program("cp", BOTH, "copies files", "coreutils", "coreutils"),
    Program("supermin", GUESTFS, "makes the appliance", "supermin", "supermin"),
    Program("sfdisk", HOST, "partitions disks", "fdisk", "util-linux"),
    Program("mount", HOST, "mounts the guest", "mount", "util-linux"),
    Program("timeout", HOST, "is the first process of a hook's own", "coreutils", "coreutils"),
    Program("blkid", HOST, "knows filesystems", "util-linux", "util-linux"),
    Program("partx", HOST, "shows partitions to bootloaders", "util-linux", "util-linux"),
    Program("mkfs.ext4", HOST, "formats", "e2fsprogs", "e2fsprogs"),
    Program("mkfs.vfat", HOST, "formats EFI system partitions", "dosfstools", "dosfstools", required=False),
    Program("mkfs.xfs", HOST, "formats xfs", "xfsprogs", "xfsprogs", required=False),
    Program("mkfs.btrfs", HOST, "formats btrfs", "btrfs-progs", "btrfs-progs", required=False),
    Program("mmdebstrap", ELEMENTS, "bootstraps Debian and Ubuntu", "mmdebstrap", "mmdebstrap", required=False),
    Program(
        "debootstrap",
        ELEMENTS,
        "bootstraps for diskimage-builder's elements",
        "debootstrap",
        "debootstrap",
        required=False,
    ),
    Program("sudo", ELEMENTS, "is called by host-side hooks", "sudo", "sudo", required=False),
    Program("git", ELEMENTS, "fetches source-repositories", "git", "git", required=False),
    Program("rsync", ELEMENTS, "copies source-repositories", "rsync", "rsync", required=False),
    Program("curl", ELEMENTS, "fetches files", "curl", "curl", required=False),
    Program("zstd", ELEMENTS, "unpacks base images, packs layers", "zstd", "zstd", required=False),
    Program("gzip", ELEMENTS, "writes tgz", "gzip", "gzip", required=False),
    Program("gpgv", ELEMENTS, "verifies publishers' signatures", "gpgv", "gnupg2", required=False),
    Program("tar2sqfs", ELEMENTS, "writes squashfs", "squashfs-tools-ng", "squashfs-tools-ng", required=False),
    Program("ntfs-3g", WINDOWS, "writes NTFS in the appliance", "ntfs-3g", "ntfs-3g", required=False),
    Program("wimlib-imagex", WINDOWS, "applies installation media", "wimtools", "wimlib-utils", required=False),
    Program("mkntfs", WINDOWS, "makes C: for windows-iso", "ntfs-3g", "ntfsprogs", required=False),
    Program("mcopy", WINDOWS, "fills the ESP for windows-iso", "mtools", "mtools", required=False),
    Program("qemu-nbd", VERIFY, "reads what a guest sees of an image", "qemu-utils", "qemu-img", required=False),
    Program("ip", VERIFY, "sets up the guest's network", "iproute2", "iproute", required=False),
    Program("ssh", VERIFY, "logs into the guest", "openssh-client", "openssh-clients", required=False),
    Program("ssh-keygen", VERIFY, "makes a key for the guest", "openssh-client", "openssh-clients", required=False),
    Program("dot", ELEMENTS, "draws graphs as svg", "graphviz", "graphviz", required=False),
)


def require(program: str, purpose: str = "") -> None:
    """Raise HostError unless ``program`` is on PATH; ``purpose`` is what needs it, as the name of a format."""
    if shutil.which(program) is not None:
        return
    needing = f", which {purpose} needs," if purpose else ""
    known = next((one for one in PROGRAMS if one.name == program), None)
    hint = f"apt install {known.debian}, or dnf install {known.fedora}" if known else ""
    raise HostError(f"{program}{needing} is not installed", hint=hint)
