"""What a base image's own files say of it, and what of that the quick look in the appliance dares to tell."""

from __future__ import annotations

from pathlib import Path

import pytest

from dib_py.errors import TargetError
from dib_py.target import Inspection, Mount
from dib_py.target.base_system import PROGRAM_HEAD, Root, architecture, release_fields, tags
from dib_py.target.guestfs_look import look

RELEASE = 'NAME="Debian GNU/Linux"\nID=debian\nVERSION_ID="12"\n'
ELF = bytes.fromhex("7f454c4602010100000000000000000003003e00")
KNOWN = {
    "/dev/sda1": {"TYPE": "ext4", "UUID": "aa-1", "LABEL": "root fs", "NUMBER": "1", "PARTUUID": "p-1"},
    "/dev/sda2": {"TYPE": "vfat", "UUID": "AB-12", "NUMBER": "2", "PARTUUID": "p-2", "PARTLABEL": "ESP"},
    "/dev/sda3": {"TYPE": "ext4", "LABEL": "boot", "NUMBER": "3"},
}
BOOT, ESP = Mount("/dev/sda3", "/boot", "ext4", ""), Mount("/dev/sda2", "/boot/efi", "vfat", "")


def root(fstab: str) -> Root:
    return Root("/dev/sda1", "ext4", "", release_fields(RELEASE), "x86_64", fstab, "root fs")


@pytest.mark.parametrize(
    ("fstab", "mounts"),
    [
        ("", ()),
        ("# all\nLABEL=root\\040fs / ext4 defaults 0 1\n", ()),
        ("LABEL=boot /boot ext4 defaults\nUUID=ab-12 /boot/efi vfat umask=077\n", (BOOT, ESP)),
        ('PARTUUID=P-2 /boot/efi vfat\nPARTLABEL="ESP" none swap\n/dev/vda3 /boot ext4', (BOOT, ESP)),
        ("/dev/disk/by-partlabel/ESP /boot/efi vfat defaults", (ESP,)),
        ("UUID=none /data ext4 nofail\nUUID=none /old ext4 noauto\n//server/share /srv cifs\ntmpfs /tmp tmpfs\n", ()),
    ],
)
def test_mounts_of_fstab(fstab: str, mounts: tuple[Mount, ...]) -> None:
    found = root(fstab).inspection(KNOWN)
    assert found == Inspection(
        (Mount("/dev/sda1", "/", "ext4", ""), *mounts), "debian", "12", "x86_64", "root fs", "ext4"
    )


@pytest.mark.parametrize("spec", ["UUID=none", "LABEL=", "/dev/sda9", "/dev/mapper/vg-data"])
def test_what_is_not_on_the_disk_is_named(spec: str) -> None:
    with pytest.raises(TargetError, match=f"fstab of the base image mounts {spec} at /data"):
        root(f"{spec} /data ext4 defaults 0 2\n").inspection(KNOWN)


def test_tags_are_without_backslashes() -> None:
    assert tags("DEVNAME=/dev/sda1\nLABEL=root\\ fs\nTYPE=ext4\n") == {
        "DEVNAME": "/dev/sda1",
        "LABEL": "root fs",
        "TYPE": "ext4",
    }


def test_architecture() -> None:
    assert architecture(ELF) == "x86_64"
    assert architecture(ELF[:18] + b"\xb7\x00") == "aarch64"
    assert architecture(ELF[:18] + b"\x15\x00") == "ppc64le"
    assert architecture(ELF[:5] + b"\x02" + ELF[6:18] + b"\x00\x15") == "ppc64"
    assert architecture(b"#!/bin/sh and so on, and on") == architecture(ELF[:10]) == ""
    assert architecture(Path("/bin/sh").read_bytes()[:PROGRAM_HEAD]) != ""


class Said:
    """A runner whose script printed this."""

    def __init__(self, *fields: str) -> None:
        self._printed = "".join(f"{field}\0" for field in fields)

    def check(self, script: str, *arguments: str, timeout: float) -> str:
        return self._printed


HEAD = " ".join(f"{byte:02x}" for byte in ELF)
WHOLE = ("/dev/sdb", "DEVNAME=/dev/sdb\nPTTYPE=gpt\n", "", "", "")
SYSTEM = ("/dev/sdb1", "TYPE=ext4\nLABEL=root\nPART_ENTRY_NUMBER=1", RELEASE, "LABEL=root / ext4\n", HEAD)
DATA = ("/dev/sdb2", "TYPE=xfs\nPART_ENTRY_NUMBER=2\n", "", "", "")


def seen(*fields: str) -> Inspection | None:
    return look(Said(*fields), "/dev/sdb", "/dev/sda")  # only its answer counts


def test_a_plain_image_is_recognised() -> None:
    expected = Inspection((Mount("/dev/sda1", "/", "ext4", ""),), "debian", "12", "x86_64", "root", "ext4")
    assert seen(*WHOLE, *SYSTEM, *DATA) == expected
    mounted = (*SYSTEM[:3], "/dev/sda2 /data xfs\n", HEAD)
    found = seen(*WHOLE, *mounted, *DATA)
    assert found is not None
    assert found.mounts[1:] == (Mount("/dev/sda2", "/data", "xfs", ""),)
    unpartitioned = ("/dev/sdb", "TYPE=ext4\nLABEL=root\n", *SYSTEM[2:])
    found = seen(*unpartitioned)
    assert found is not None
    assert found.mounts == (Mount("/dev/sda", "/", "ext4", ""),)


@pytest.mark.parametrize(
    "fields",
    [
        (),
        WHOLE,
        (*WHOLE, *SYSTEM, *SYSTEM),
        (*WHOLE, *SYSTEM, "/dev/sdb2", "TYPE=LVM2_member", "", "", ""),
        (*WHOLE, *SYSTEM, "/dev/sdb2", "TYPE=btrfs", "", "", ""),
        (*WHOLE, *SYSTEM[:4], ""),  # no program to look at
        (*WHOLE, *SYSTEM[:3], "", HEAD),  # no fstab, or a link
        (*WHOLE, *SYSTEM[:3], "/dev/mapper/vg-data /data ext4\n", HEAD),
    ],
)
def test_all_else_is_left_to_libguestfs(fields: tuple[str, ...]) -> None:
    if fields == (*WHOLE, *SYSTEM, *SYSTEM):
        fields = (*fields[:-5], "/dev/sdb2", *fields[-4:])
    assert seen(*fields) is None
