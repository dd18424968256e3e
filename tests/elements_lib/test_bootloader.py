"""The bootloader and console elements in a guest whose GRUB is played by fake programs."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from .distributions import UBUNTU, grub_settings, twice

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


# -- what is set beside /etc/default/grub

DROP_IN = "/etc/default/grub.d/50-cloudimg-settings.cfg"
PARTUUID = "/etc/default/grub.d/40-force-partuuid.cfg"


@pytest.mark.parametrize("moved", [False, True], ids=["own-disk", "moved"])
def test_the_cloud_image_of_ubuntu(grub: Guest, moved: bool) -> None:
    UBUNTU.lay(grub)
    grub.write(PARTUUID, "# starts without an initramfs\nGRUB_FORCE_PARTUUID=0ld\n")
    moving = {"DIB_BASE_IMAGE_MOVED": "1"} if moved else {}
    twice(grub, HOOK, DIB_BASE_IMAGE="/base.qcow2", DIB_GRUB_TIMEOUT="7", DIB_GRUB_TIMEOUT_STYLE="countdown", **moving)
    assert grub_settings(grub.root) == {
        "GRUB_DEFAULT": "0",
        "GRUB_DEVICE": "LABEL=cloudimg-rootfs",
        "GRUB_DISABLE_LINUX_UUID": "true",
        "GRUB_TIMEOUT": "7",
        "GRUB_TIMEOUT_STYLE": "countdown",
        "GRUB_TERMINAL": "serial console",
        "GRUB_SERIAL_COMMAND": "serial --speed=115200 --unit=0 --word=8 --parity=no --stop=1",
        "GRUB_GFXPAYLOAD_LINUX": "auto",
        "GRUB_CMDLINE_LINUX": "",
        "GRUB_CMDLINE_LINUX_DEFAULT": ARGUMENTS,
        "GRUB_RECORDFAIL_TIMEOUT": "0",
        **({} if moved else {"GRUB_FORCE_PARTUUID": "0ld"}),
    }
    assert command_line(grub)[-6:] == ARGUMENTS.split()
    assert grub.read(DROP_IN) == "# of the cloud image\n\nGRUB_RECORDFAIL_TIMEOUT=0\n\n\n\n"
    assert grub.read(PARTUUID).startswith("# starts without an initramfs\n")


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("export GRUB_TIMEOUT=0\nGRUB_TIMEOUT_MORE=1\n", "GRUB_TIMEOUT_MORE=1\n"),
        ("if true; then\n  GRUB_TIMEOUT=0\nfi\n", "if true; then\n  :\nfi\n"),
        ("\texport  GRUB_TIMEOUT=0 # why\n", "\t:\n"),
        ('GRUB_CMDLINE_LINUX_DEFAULT="a \\\n b"\nX=1\n', "X=1\n"),
        ("#GRUB_TIMEOUT=0\nX=GRUB_TIMEOUT=0\n", "#GRUB_TIMEOUT=0\nX=GRUB_TIMEOUT=0\n"),
        ("GRUB_TIMEOUT=$GRUB_TIMEOUT_MORE\n", ""),
    ],
)
def test_assignments_elsewhere_go(grub: Guest, text: str, left: str) -> None:
    drop_in = grub.write("/etc/default/grub.d/x.cfg", text)
    (grub.root / "etc/default/grub.d/directory.cfg").mkdir()
    twice(grub, HOOK)
    assert drop_in.read_text() == left
    assert grub_settings(grub.root)["GRUB_TIMEOUT"] == "5"
    assert grub_settings(grub.root)["GRUB_CMDLINE_LINUX_DEFAULT"] == ARGUMENTS


@pytest.mark.parametrize("value", ["$GRUB_CMDLINE_LINUX_DEFAULT", "${GRUB_CMDLINE_LINUX_DEFAULT:-}"])
def test_what_adds_to_the_command_line_stays(grub: Guest, value: str) -> None:
    """As a package for kernel dumps has it."""
    text = f'GRUB_CMDLINE_LINUX_DEFAULT="{value} crashkernel=192M"\n'
    drop_in = grub.write("/etc/default/grub.d/kdump-tools.cfg", text)
    twice(grub, HOOK)
    assert drop_in.read_text() == text
    assert grub_settings(grub.root)["GRUB_CMDLINE_LINUX_DEFAULT"] == f"{ARGUMENTS} crashkernel=192M"


def test_without_a_serial_console_on_ubuntu(grub: Guest) -> None:
    UBUNTU.lay(grub)
    twice(grub, HOOK, DIB_BOOTLOADER_USE_SERIAL_CONSOLE="False", DIB_BOOTLOADER_VIRTUAL_TERMINAL="tty1")
    assert grub_settings(grub.root)["GRUB_TERMINAL"] == "console"
    assert "console=ttyS0" not in " ".join(grub_settings(grub.root).values())
    assert grub_settings(grub.root)["GRUB_CMDLINE_LINUX_DEFAULT"].startswith("console=tty1 ")


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


def test_console_with_the_bootloader_on_ubuntu(grub: Guest) -> None:
    grub.merge("console")
    UBUNTU.lay(grub)
    grub.variables["IMAGE_ELEMENT"] = "base bootloader console ubuntu vm"
    twice(grub, CONSOLE, HOOK, CONFIGURATION)
    found = grub_settings(grub.root)
    assert (found["GRUB_TERMINAL"], found["GRUB_CMDLINE_LINUX"]) == ("serial console", "")
    assert found["GRUB_CMDLINE_LINUX_DEFAULT"] == f"{BOTH} no_timer_check nofb nomodeset gfxpayload=text"
    assert " ".join(command_line(grub)).count("console=") == 2
