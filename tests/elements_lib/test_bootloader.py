"""The bootloader and console elements in a guest whose GRUB is played by fake programs."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .conftest import Guest

MKCONFIG = """
case "$1" in --help) exit 0;; esac
. /etc/default/grub
for f in /etc/default/grub.d/*.cfg; do [ ! -f "$f" ] || . "$f"; done
cp /etc/default/grub /opt/defaults-then; cp /boot/grub/device.map /opt/map-then
echo "linux /boot/vmlinuz root=${WRONG_ROOT:-$GRUB_DEVICE} ro $GRUB_CMDLINE_LINUX $GRUB_CMDLINE_LINUX_DEFAULT" > "$2"
"""
BLKID = 'case "$*" in *LABEL*) echo "${HAS_LABEL-cloudimg-rootfs}";; *) echo "${HAS_UUID-1234-5678}";; esac'


@pytest.fixture
def grub(guest: Guest) -> Guest:
    guest.merge("bootloader")
    guest.fake("grub-mkconfig", MKCONFIG)
    guest.fake("grub-install")
    guest.fake("blkid", BLKID)
    guest.fake("findmnt", "echo /dev/loop0p1")
    guest.write("/etc/default/grub", 'GRUB_DEFAULT=0\nGRUB_TIMEOUT=30\nGRUB_CMDLINE_LINUX_DEFAULT="quiet"\n')
    guest.variables |= {
        "DIB_BLOCK_DEVICE": "mbr",
        "IMAGE_BLOCK_DEVICE": "/dev/loop0",
        "IMAGE_BLOCK_DEVICES": " [image0]=/dev/loop0  [root]=/dev/loop0p1  [boot]=/dev/loop0p9 ",
        "DIB_ROOT_LABEL": "cloudimg-rootfs",
        "DIB_BOOT_LABEL": "",
    }
    return guest


def installs(guest: Guest) -> list[str]:
    return [call for call in guest.calls if call.startswith("grub-install")]


def command_line(guest: Guest) -> list[str]:
    return guest.read("/boot/grub/grub.cfg").split()


def settings(guest: Guest) -> dict[str, str]:
    lines = [line for line in guest.read("/etc/default/grub").splitlines() if "=" in line]
    return dict(line.split("=", 1) for line in lines)


HOOK = "finalise.d/50-bootloader"


def test_an_mbr_disk(grub: Guest) -> None:
    grub.hook(HOOK)
    assert installs(grub) == [
        "grub-install --target=i386-pc --modules=part_msdos part_gpt lvm biosdisk --force /dev/loop0"
    ]
    line = command_line(grub)
    assert "root=LABEL=cloudimg-rootfs" in line
    assert line[-6:] == [
        "console=tty0",
        "console=ttyS0,115200",
        "no_timer_check",
        "nofb",
        "nomodeset",
        "gfxpayload=text",
    ]
    assert settings(grub)["GRUB_TIMEOUT"] == "5"
    assert settings(grub)["GRUB_DISABLE_LINUX_UUID"] == "true"
    assert settings(grub)["GRUB_TERMINAL"] == '"serial console"'


def test_what_holds_only_while_the_hook_runs(grub: Guest) -> None:
    grub.hook(HOOK)
    assert "GRUB_DISABLE_OS_PROBER=true" in grub.read("/opt/defaults-then")
    assert "OS_PROBER" not in grub.read("/etc/default/grub")
    assert grub.read("/opt/map-then") == "(hd0) /dev/loop0\n"
    assert not grub.exists("/boot/grub/device.map")


def test_twice_is_as_once(grub: Guest) -> None:
    grub.hook(HOOK)
    once = grub.read("/etc/default/grub")
    grub.hook(HOOK)
    assert grub.read("/etc/default/grub") == once


@pytest.mark.parametrize(
    ("variables", "root"),
    [
        ({"DIB_ROOT_LABEL": ""}, "UUID=1234-5678"),
        ({"DIB_ROOT_LABEL": "other"}, "UUID=1234-5678"),
        ({"DIB_ROOT_LABEL": "", "HAS_UUID": ""}, "LABEL=cloudimg-rootfs"),
        ({"HAS_LABEL": "", "HAS_UUID": ""}, "LABEL=cloudimg-rootfs"),
    ],
)
def test_how_the_root_is_named(grub: Guest, variables: dict[str, str], root: str) -> None:
    grub.hook(HOOK, **variables)
    assert f"root={root}" in command_line(grub)


@pytest.mark.parametrize("root", ["/dev/loop0p1", "/dev/sda1", "/dev/mapper/loop0p1", "/dev/vda1", "/dev/nbd0p1"])
def test_a_device_of_the_builder_in_the_configuration_ends_the_build(grub: Guest, root: str) -> None:
    result = grub.hook(HOOK, check=False, WRONG_ROOT=root)
    assert result.returncode == 1
    assert root in result.stderr
    assert installs(grub) == []


def test_a_root_without_a_name_ends_the_build(grub: Guest) -> None:
    result = grub.hook(HOOK, check=False, HAS_LABEL="", HAS_UUID="", DIB_ROOT_LABEL="")
    assert result.returncode == 1
    assert "neither a label nor a UUID" in result.stderr


def test_an_efi_disk_boots_both_ways(grub: Guest) -> None:
    (grub.usr / "lib/grub/i386-pc").mkdir(parents=True)
    grub.hook(HOOK, DIB_BLOCK_DEVICE="efi", EFI_BOOT_DIR="EFI/debian")
    efi, bios = installs(grub)
    assert "--target=x86_64-efi" in efi
    assert "--removable" in efi
    assert "--no-nvram" in efi
    assert "--target=i386-pc" in bios


def test_a_signed_grub_of_the_distribution_stays(grub: Guest) -> None:
    (grub.root / "boot/efi/EFI/debian").mkdir(parents=True)
    grub.write("/boot/grub/grubenv", "env")
    grub.hook(HOOK, DIB_BLOCK_DEVICE="efi", EFI_BOOT_DIR="EFI/debian", ARCH="arm64")
    assert installs(grub) == []
    assert grub.read("/boot/efi/EFI/debian/grub.cfg") == grub.read("/boot/grub/grub.cfg")
    assert grub.read("/boot/efi/EFI/debian/grubenv") == "env"


@pytest.mark.parametrize(
    ("variables", "install"),
    [
        ({"DIB_BLOCK_DEVICE": "gpt"}, "--target=i386-pc"),
        ({"DIB_BLOCK_DEVICE": "efi", "ARCH": "arm64"}, "--target=arm64-efi"),
        ({"ARCH": "ppc64el"}, "/dev/loop0p9"),
    ],
)
def test_other_disks(grub: Guest, variables: dict[str, str], install: str) -> None:
    grub.hook(HOOK, **variables)
    assert install in installs(grub)[0]


@pytest.mark.parametrize("variables", [{"DIB_BLOCK_DEVICE": ""}, {"DIB_BASE_IMAGE": "/base.qcow2"}])
def test_configured_only(grub: Guest, variables: dict[str, str]) -> None:
    grub.hook(HOOK, **variables)
    assert installs(grub) == []
    assert "root=LABEL=cloudimg-rootfs" in command_line(grub)


def test_a_base_image_that_moved_to_another_disk(grub: Guest) -> None:
    stub = "search.fs_uuid 0ld-uuid root\n"
    grub.write("/boot/efi/EFI/debian/grub.cfg", stub)
    grub.write("/etc/kernel/cmdline", "ro root=UUID=0ld-uuid quiet\n")
    grub.hook(HOOK, DIB_BASE_IMAGE="/base.qcow2", DIB_BASE_IMAGE_MOVED="1", DIB_BLOCK_DEVICE="efi")
    assert any("--target=x86_64-efi" in call for call in installs(grub))
    assert grub.read("/boot/efi/EFI/debian/grub.cfg") == grub.read("/boot/grub/grub.cfg") != stub
    assert grub.read("/etc/kernel/cmdline") == f"root=LABEL=cloudimg-rootfs ro quiet {ARGUMENTS}\n"


def test_another_element_did_it(grub: Guest) -> None:
    grub.write("/tmp/grub/install", "")
    grub.hook(HOOK)
    assert grub.calls == []


def test_an_architecture_without_a_bootloader(grub: Guest) -> None:
    assert grub.hook(HOOK, check=False, ARCH="s390x").returncode == 1


@pytest.mark.parametrize(
    ("variables", "has", "lacks"),
    [
        ({"DIB_BOOTLOADER_USE_SERIAL_CONSOLE": "False"}, ["console=tty0"], ["console=ttyS0,115200"]),
        ({"DIB_BOOTLOADER_VIRTUAL_TERMINAL": ""}, ["console=ttyS0,115200"], ["console=tty0", "console="]),
        ({"DIB_BOOTLOADER_SERIAL_CONSOLE": "ttyS1,9600"}, ["console=ttyS1,9600"], ["console=ttyS0,115200"]),
        ({"DIB_NO_TIMER_CHECK": "False"}, ["nofb"], ["no_timer_check"]),
        ({"DIB_BOOTLOADER_DEFAULT_CMDLINE": "a=b c"}, ["a=b", "c"], ["nofb"]),
        ({"DIB_BOOTLOADER_DEFAULT_CMDLINE": ""}, ["console=tty0"], ["nofb"]),
        ({"DIB_BOOT_LABEL": "boot"}, ["boot=LABEL=boot"], []),
        ({"ARCH": "arm64", "DIB_BLOCK_DEVICE": "efi"}, ["console=ttyAMA0,115200"], ["console=ttyS0,115200"]),
    ],
)
def test_the_command_line(grub: Guest, variables: dict[str, str], has: list[str], lacks: list[str]) -> None:
    grub.hook(HOOK, **variables)
    line = command_line(grub)
    assert set(has) <= set(line)
    assert not set(lacks) & set(line)


def test_consoles_of_the_base_image_go(grub: Guest) -> None:
    grub.write(
        "/etc/default/grub",
        'GRUB_CMDLINE_LINUX="console=tty0 crashkernel=auto console=ttyS1,9600n8 boot=/dev/sda1 net.ifnames=0"\n',
    )
    grub.write("/etc/default/grub.d/10_cloud.cfg", 'GRUB_CMDLINE_LINUX_EXTRA="console=tty1"\n# console=kept\n')
    grub.hook(HOOK)
    assert settings(grub)["GRUB_CMDLINE_LINUX"] == '"crashkernel=auto net.ifnames=0"'
    assert "console=tty1" not in grub.read("/etc/default/grub.d/10_cloud.cfg")
    assert "# console=kept" in grub.read("/etc/default/grub.d/10_cloud.cfg")


def test_menu_settings(grub: Guest) -> None:
    grub.hook(HOOK, DIB_GRUB_TIMEOUT="0", DIB_GRUB_TIMEOUT_STYLE="hidden")
    assert settings(grub)["GRUB_TIMEOUT"] == "0"
    assert settings(grub)["GRUB_TIMEOUT_STYLE"] == "hidden"


ARGUMENTS = "console=tty0 console=ttyS0,115200 no_timer_check nofb nomodeset gfxpayload=text"


def test_entries_of_the_boot_loader_specification(grub: Guest) -> None:
    entry = grub.write(
        "/boot/loader/entries/a.conf",
        "title x\nlinux /vmlinuz-5\noptions root=UUID=old ro rootflags=subvol=root console=hvc0 nofb $tuned_params\n"
        "initrd /initramfs-5.img\n",
    )
    refers = grub.write("/boot/loader/entries/b.conf", "linux /boot/vmlinuz-4\noptions $kernelopts $tuned_params\n")
    grub.write("/etc/kernel/cmdline", "root=UUID=old ro crashkernel=1G console=ttyS1")
    for _ in range(2):
        grub.hook(HOOK)
        assert entry.read_text() == (
            "title x\nlinux /boot/vmlinuz-5\n"
            f"options root=LABEL=cloudimg-rootfs ro rootflags=subvol=root {ARGUMENTS} $tuned_params\n"
            "initrd /boot/initramfs-5.img\n"
        )
        assert refers.read_text() == "linux /boot/vmlinuz-4\noptions $kernelopts $tuned_params\n"
        cmdline = f"root=LABEL=cloudimg-rootfs ro crashkernel=1G {ARGUMENTS}\n"
        assert grub.read("/etc/kernel/cmdline") == cmdline


def test_options_in_the_environment_of_grub(grub: Guest) -> None:
    grub.write("/boot/grub/grubenv", "")
    grub.fake("grub2-editenv", 'case "$2" in list) echo "kernelopts=root=UUID=old ro quiet console=tty1";; esac')
    grub.hook(HOOK)
    options = f"kernelopts=root=LABEL=cloudimg-rootfs ro quiet {ARGUMENTS}"
    assert f"grub2-editenv /boot/grub/grubenv set {options}" in grub.calls


@pytest.mark.parametrize(("had", "has"), [("linux16", "linux16"), ("linux", "linux"), ("linuxefi", "linuxefi")])
def test_the_command_that_loads_a_kernel_stays(grub: Guest, had: str, has: str) -> None:
    """Whatever the machine that builds would have."""
    grub.write("/boot/grub/grub.cfg", f"menuentry x {{\n\t{had} /vmlinuz root=UUID=1\n}}\n")
    grub.fake("grub-mkconfig", MKCONFIG.replace('echo "linux ', 'echo "\tlinuxefi '))
    grub.hook(HOOK, DIB_BASE_IMAGE="/base.qcow2", DIB_BLOCK_DEVICE="")
    assert command_line(grub)[0] == has


def test_configurations_on_the_efi_partition(grub: Guest) -> None:
    stub = "search --fs-uuid 1 --set=dev\nconfigfile $prefix/grub.cfg\n"
    grub.write("/boot/efi/EFI/rocky/grub.cfg", stub)
    grub.write("/boot/efi/EFI/centos/grub.cfg", "set x=1\nblscfg\n")
    grub.hook(HOOK, DIB_BASE_IMAGE="/base.qcow2")
    assert grub.read("/boot/efi/EFI/rocky/grub.cfg") == stub
    assert grub.read("/boot/efi/EFI/centos/grub.cfg") == grub.read("/boot/grub/grub.cfg")


# -- console

CONSOLE = "finalise.d/40-console"
CONFIGURATION = "finalise.d/60-console-configuration"
BOTH = "console=tty0 console=ttyS0,115200n8"


def test_console_with_the_bootloader(grub: Guest) -> None:
    grub.merge("console")
    grub.write("/etc/default/grub", 'GRUB_CMDLINE_LINUX="rhgb quiet quietly=no"\n')
    grub.variables["IMAGE_ELEMENT"] = "base bootloader console vm"
    for hook in (CONSOLE, HOOK, CONFIGURATION):
        grub.hook(hook)
    line = " ".join(command_line(grub))
    assert line.count("console=") == 2
    assert BOTH in line
    assert "quietly=no" in line
    assert not re.search(r"rhgb|quiet( |$)", line)
