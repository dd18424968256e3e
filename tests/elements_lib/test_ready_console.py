"""Kernel arguments of the console, with the bootloaders and the configuration that distributions have."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from .distributions import ALPINE, CENTOS7, DEBIAN, OPENSUSE, UBUNTU, Distribution, grub_settings, on_each, twice

if TYPE_CHECKING:
    from .conftest import Guest

SETTINGS, CONFIGURATION = "finalise.d/40-console", "finalise.d/60-console-configuration"
BOTH = "console=tty0 console=ttyS0,115200n8"
MENU = (
    '\nGRUB_TERMINAL="console serial"\n'
    'GRUB_SERIAL_COMMAND="serial --speed=115200 --unit=0 --word=8 --parity=no --stop=1"\n'
)

# what a distribution's tool does with the settings, as far as these tests look
MKCONFIG = """
case "$*" in *--help*) echo "$HELP"; exit 0;; esac
. /etc/default/grub
for f in /etc/default/grub.d/*.cfg; do [ ! -f "$f" ] || . "$f"; done
cp /etc/default/grub /opt/settings-then
echo "${0##*/}: $(cat /boot/*/device.map 2> /dev/null)" > /opt/map-then
[ -z "${BROKEN:-}" ] || exit 1
for last; do :; done
{
    echo "terminal_output $GRUB_TERMINAL"
    [ -n "${BLIND:-}" ] || echo "search --set=root 1"
    echo "menuentry x {"
    printf '\\t%s /vmlinuz root=%s ro %s\\n' "${LINUX:-linux}" "${WRONG:-$GRUB_DEVICE}" "$GRUB_CMDLINE_LINUX"
    echo "}"
} > "$last"
"""


def menu(linux: str = "linux", arguments: str = f"root=UUID=1 ro {BOTH}") -> str:
    return f"terminal_output console serial\nsearch --set=root 1\nmenuentry x {{\n\t{linux} /vmlinuz {arguments}\n}}\n"


def base_image(guest: Guest, distribution: Distribution, settings: str) -> None:
    guest.merge("console")
    distribution.lay(guest)
    guest.variables |= {"IMAGE_ELEMENT": "base console", "IMAGE_BLOCK_DEVICE": "/dev/loop7"}
    guest.write("/etc/default/grub", settings)


@pytest.mark.parametrize(
    ("distribution", "name", "linux"),
    [(CENTOS7, "grub2", "linux16"), (DEBIAN, "grub", "linux"), (OPENSUSE, "grub2", "linux")],
    ids=["centos7", "debian", "opensuse"],
)
def test_configuration_is_made_again(guest: Guest, distribution: Distribution, name: str, linux: str) -> None:
    base_image(
        guest, distribution, 'GRUB_TERMINAL_OUTPUT="console"\nGRUB_CMDLINE_LINUX="crashkernel=auto rhgb quiet"\n'
    )
    old = f"menuentry old {{\n\t{linux} /vmlinuz root=UUID=1 ro crashkernel=auto rhgb quiet\n}}\n"
    guest.write(f"/boot/{name}/grub.cfg", old, 0o600)
    guest.fake(f"{name}-mkconfig", MKCONFIG)
    # this machine's firmware is another one
    twice(guest, SETTINGS, CONFIGURATION, LINUX="linuxefi" if linux == "linux16" else "linux")
    assert guest.read("/etc/default/grub") == f'GRUB_CMDLINE_LINUX="crashkernel=auto {BOTH}"{MENU}'
    assert guest.read(f"/boot/{name}/grub.cfg") == menu(linux, f"root=UUID=1 ro crashkernel=auto {BOTH}")
    assert guest.path(f"/boot/{name}/grub.cfg").stat().st_mode & 0o777 == 0o600
    then = guest.read("/opt/settings-then")
    assert "GRUB_DEVICE=UUID=1\nGRUB_DISABLE_LINUX_UUID=true\nGRUB_DISABLE_OS_PROBER=true\n" in then
    assert guest.read("/opt/map-then") == f"{name}-mkconfig: (hd0) /dev/loop7\n"
    assert {path.name for path in (guest.root / "boot" / name).iterdir()} == {"grub.cfg"}


@pytest.mark.parametrize(
    "variables", [{"BROKEN": "1"}, {"BLIND": "1"}, {"WRONG": "/dev/loop7p1"}, {"WRONG": "/dev/vda1"}]
)
def test_configuration_is_changed_in_place_where_the_tool_cannot(guest: Guest, variables: dict[str, str]) -> None:
    base_image(guest, CENTOS7, 'GRUB_CMDLINE_LINUX="rhgb quiet"\n')
    linux = "linux16 /vmlinuz root=UUID=1 ro console=ttyS1 rhgb quiet LANG=C"
    old = f"menuentry old {{\n\tsearch x\n\t{linux}\n\tinitrd16 /i\n}}\n"
    guest.write("/boot/grub2/grub.cfg", old)
    guest.write("/boot/grub2/device.map", "(hd0) /dev/vda\n")
    guest.fake("grub2-mkconfig", MKCONFIG)
    assert "is changed in place" in twice(guest, SETTINGS, CONFIGURATION, **variables)
    assert guest.read("/boot/grub2/grub.cfg") == (
        f"menuentry old {{\n\tsearch x\n\tlinux16 /vmlinuz root=UUID=1 ro LANG=C {BOTH}\n\tinitrd16 /i\n}}\n"
    )
    assert guest.read("/boot/grub2/device.map") == "(hd0) /dev/vda\n"
    assert "GRUB_DEVICE" not in guest.read("/etc/default/grub")


def test_a_root_without_a_name_of_its_own_is_left_to_what_was_there(guest: Guest) -> None:
    base_image(guest, DEBIAN, "GRUB_CMDLINE_LINUX=quiet\n")
    guest.write("/boot/grub/grub.cfg", "\tlinux /vmlinuz root=/dev/vda1 ro quiet\n")
    guest.fake("grub-mkconfig", MKCONFIG)
    twice(guest, SETTINGS, CONFIGURATION)
    assert guest.calls == []
    assert guest.read("/boot/grub/grub.cfg") == f"\tlinux /vmlinuz root=/dev/vda1 ro {BOTH}\n"
    assert guest.read("/etc/default/grub").startswith(f'GRUB_CMDLINE_LINUX="{BOTH}"\n')


@pytest.mark.parametrize("help_", ["", "  --update-bls-cmdline  overwrite BLS cmdline args"], ids=["8", "9"])
def test_entries_of_the_boot_loader_specification(guest: Guest, help_: str) -> None:
    base_image(guest, CENTOS7, 'GRUB_ENABLE_BLSCFG=true\nGRUB_CMDLINE_LINUX="rhgb quiet"\n')
    guest.write("/boot/grub2/grub.cfg", 'set kernelopts="root=UUID=1 ro rhgb quiet "\nblscfg\n')
    guest.write("/boot/loader/entries/a.conf", "linux /vmlinuz\noptions root=UUID=1 ro rhgb quiet\ngrub_users x\n")
    guest.write("/boot/loader/entries/b.conf", "linux /vmlinuz\noptions $kernelopts quiet $tuned_params\n")
    guest.write("/boot/efi/EFI/centos/grub.cfg", "configfile $prefix/grub.cfg\n")
    guest.fake("grub2-mkconfig", MKCONFIG)
    guest.write("/boot/grub2/grubenv", "kernelopts=root=UUID=1 ro quiet rhgb\n")
    guest.fake("grub2-editenv", 'case "$2" in list) cat "$1";; set) echo "$3" > "$1";; esac')
    twice(guest, SETTINGS, CONFIGURATION, HELP=help_)
    assert guest.read("/boot/loader/entries/a.conf") == f"linux /vmlinuz\noptions root=UUID=1 ro {BOTH}\ngrub_users x\n"
    assert guest.read("/boot/loader/entries/b.conf") == "linux /vmlinuz\noptions $kernelopts $tuned_params\n"
    assert guest.read("/boot/grub2/grubenv") == f"kernelopts=root=UUID=1 ro {BOTH}\n"
    assert guest.read("/boot/efi/EFI/centos/grub.cfg") == "configfile $prefix/grub.cfg\n"
    called = [call for call in guest.calls if call.startswith("grub2-mkconfig") and "--help" not in call]
    assert called[0] == f"grub2-mkconfig {'--update-bls-cmdline ' if help_ else ''}-o /boot/grub2/grub.cfg.new"


def test_variables_of_grub_are_changed_where_they_are_set(guest: Guest) -> None:
    base_image(guest, CENTOS7, "")
    guest.write(
        "/boot/grub2/grub.cfg", '  set default_kernelopts="root=UUID=1 ro rhgb quiet "\n\tlinux /v $kernelopts\n'
    )
    twice(guest, SETTINGS, CONFIGURATION)
    assert guest.read("/boot/grub2/grub.cfg") == (
        f'  set default_kernelopts="root=UUID=1 ro {BOTH}"\n\tlinux /v $kernelopts\n'
    )


def test_with_the_bootloader_element_only_what_it_leaves(guest: Guest) -> None:
    base_image(guest, CENTOS7, 'GRUB_CMDLINE_LINUX="rhgb quiet"\nGRUB_TERMINAL="serial"\n')
    guest.variables["IMAGE_ELEMENT"] = "base bootloader console vm"
    guest.write("/boot/grub2/grub.cfg", f"\tlinux /vmlinuz root=UUID=1 ro {BOTH}\n")
    guest.write("/boot/loader/entries/a.conf", "options root=UUID=1 ro rhgb quiet\n")
    guest.fake("grub2-mkconfig", MKCONFIG)
    twice(guest, SETTINGS, CONFIGURATION)
    assert guest.calls == []
    assert guest.read("/etc/default/grub") == 'GRUB_CMDLINE_LINUX=""\nGRUB_TERMINAL="serial"\n'
    assert guest.read("/boot/loader/entries/a.conf") == f"options root=UUID=1 ro {BOTH}\n"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('GRUB_CMDLINE_LINUX="a quietly=1 quiet"', f'GRUB_CMDLINE_LINUX="a quietly=1 {BOTH}"'),
        ("GRUB_CMDLINE_LINUX='rhgb a'", f"GRUB_CMDLINE_LINUX='a {BOTH}'"),
        ("GRUB_CMDLINE_LINUX=", f'GRUB_CMDLINE_LINUX="{BOTH}"'),
        ("GRUB_CMDLINE_LINUX=quiet # why", f'GRUB_CMDLINE_LINUX="{BOTH}" # why'),
        ('export GRUB_CMDLINE_LINUX="a"', f'export GRUB_CMDLINE_LINUX="a {BOTH}"'),
        ('GRUB_CMDLINE_LINUX=""\nGRUB_CMDLINE_LINUX_DEFAULT="quiet a"', None),
        ("GRUB_DEFAULT=0", None),
    ],
)
def test_settings(guest: Guest, before: str, after: str | None) -> None:
    base_image(guest, DEBIAN, f"{before}\n")
    twice(guest, SETTINGS)
    text = guest.read("/etc/default/grub")
    if after is not None:
        assert text == after + MENU
    elif before.startswith("GRUB_DEFAULT"):
        assert text == f'GRUB_DEFAULT=0\nGRUB_CMDLINE_LINUX="{BOTH}"{MENU}'
    else:
        assert text == f'GRUB_CMDLINE_LINUX="{BOTH}"\nGRUB_CMDLINE_LINUX_DEFAULT="a"{MENU}'


def test_settings_of_other_consoles(guest: Guest) -> None:
    base_image(guest, DEBIAN, "GRUB_DEFAULT=0\n")
    guest.hook(SETTINGS, DIB_BOOTLOADER_SERIAL_CONSOLE="ttyS1,9600n8", DIB_BOOTLOADER_VIRTUAL_TERMINAL="tty1")
    text = guest.read("/etc/default/grub")
    assert 'GRUB_CMDLINE_LINUX="console=tty1 console=ttyS1,9600n8"\n' in text
    assert "--speed=9600 --unit=1 " in text
    guest.hook(SETTINGS, ARCH="arm64")
    text = guest.read("/etc/default/grub")
    assert 'GRUB_CMDLINE_LINUX="console=tty0 console=ttyAMA0,115200n8"\n' in text
    assert text.endswith('GRUB_TERMINAL="console"\n')


def test_settings_of_cloud_images_beside_the_others(guest: Guest) -> None:
    base_image(guest, DEBIAN, "GRUB_DEFAULT=0\n")
    guest.write("/etc/default/grub.d/50-cloud.cfg", '# quiet\nGRUB_CMDLINE_LINUX_DEFAULT="console=tty1 quiet a"\n')
    guest.write("/etc/kernel/cmdline", "root=UUID=1 ro quiet\n")
    twice(guest, SETTINGS)
    assert guest.read("/etc/default/grub.d/50-cloud.cfg") == '# quiet\nGRUB_CMDLINE_LINUX_DEFAULT="a"\n'
    assert guest.read("/etc/kernel/cmdline") == f"root=UUID=1 ro {BOTH}\n"


def test_the_cloud_image_of_ubuntu(guest: Guest) -> None:
    guest.merge("console")
    UBUNTU.lay(guest)
    guest.variables |= {"IMAGE_ELEMENT": "base console ubuntu", "IMAGE_BLOCK_DEVICE": "/dev/loop7"}
    guest.write("/boot/grub/grub.cfg", "search --set=root 1\n\tlinux /vmlinuz root=UUID=1 ro console=tty1\n")
    guest.fake("grub-mkconfig", MKCONFIG)
    twice(guest, SETTINGS, CONFIGURATION)
    assert grub_settings(guest.root) == {
        "GRUB_DEFAULT": "0",
        "GRUB_TIMEOUT": "0",
        "GRUB_TIMEOUT_STYLE": "hidden",
        "GRUB_RECORDFAIL_TIMEOUT": "0",
        "GRUB_CMDLINE_LINUX": BOTH,
        "GRUB_CMDLINE_LINUX_DEFAULT": "",
        "GRUB_TERMINAL": "console serial",
        "GRUB_SERIAL_COMMAND": "serial --speed=115200 --unit=0 --word=8 --parity=no --stop=1",
    }
    assert guest.read("/boot/grub/grub.cfg") == menu()


@pytest.mark.parametrize(
    ("defaults", "drop_in", "left", "ends_up"),
    [
        ("GRUB_CMDLINE_LINUX=a", "GRUB_CMDLINE_LINUX=b", f'GRUB_CMDLINE_LINUX="b {BOTH}"', f"b {BOTH}"),
        ("", "  export GRUB_CMDLINE_LINUX='b quiet'", f"  export GRUB_CMDLINE_LINUX='b {BOTH}'", f"b {BOTH}"),
        (
            "GRUB_CMDLINE_LINUX=a",
            'GRUB_CMDLINE_LINUX="$GRUB_CMDLINE_LINUX b"',
            'GRUB_CMDLINE_LINUX="$GRUB_CMDLINE_LINUX b"',
            f"a {BOTH} b",
        ),
        (
            'GRUB_CMDLINE_LINUX=a\nexport GRUB_CMDLINE_LINUX="${GRUB_CMDLINE_LINUX} c"',
            "GRUB_DEFAULT=0",
            "GRUB_DEFAULT=0",
            f"a {BOTH} c",
        ),
        ('GRUB_CMDLINE_LINUX="$GRUB_CMDLINE_LINUX a"', "GRUB_DEFAULT=0", "GRUB_DEFAULT=0", f" a {BOTH}"),
    ],
)
def test_the_consoles_are_where_they_count(guest: Guest, defaults: str, drop_in: str, left: str, ends_up: str) -> None:
    base_image(guest, DEBIAN, f"{defaults}\n")
    guest.write("/etc/default/grub.d/x.cfg", f"{drop_in}\n")
    twice(guest, SETTINGS)
    assert guest.read("/etc/default/grub.d/x.cfg") == f"{left}\n"
    assert grub_settings(guest.root)["GRUB_CMDLINE_LINUX"] == ends_up


def test_the_terminal_of_grub_is_set_in_one_place(guest: Guest) -> None:
    base_image(guest, DEBIAN, "if true; then\n  export GRUB_TERMINAL_OUTPUT=gfxterm\nfi\n")
    drop_in = guest.write("/etc/default/grub.d/x.cfg", "export GRUB_TERMINAL=console # why\nGRUB_DEFAULT=1\n")
    twice(guest, SETTINGS)
    assert drop_in.read_text() == "GRUB_DEFAULT=1\n"
    assert guest.read("/etc/default/grub").startswith("if true; then\n  :\nfi\n")
    assert grub_settings(guest.root)["GRUB_TERMINAL"] == "console serial"
    assert "GRUB_TERMINAL_OUTPUT" not in grub_settings(guest.root)


def test_extlinux_of_alpine(guest: Guest) -> None:
    guest.merge("console")
    ALPINE.lay(guest)
    guest.write("/etc/update-extlinux.conf", 'overwrite=1\ndefault_kernel_opts="quiet rootfstype=ext4"\n')
    guest.write(
        "/boot/extlinux.conf", "DEFAULT menu.c32\nLABEL virt\n  LINUX vmlinuz-virt\n  APPEND root=UUID=1 quiet\n"
    )
    twice(guest, SETTINGS, CONFIGURATION)
    assert guest.read("/etc/update-extlinux.conf") == f'overwrite=1\ndefault_kernel_opts="rootfstype=ext4 {BOTH}"\n'
    assert guest.read("/boot/extlinux.conf") == (
        f"SERIAL 0 115200\nDEFAULT menu.c32\nLABEL virt\n  LINUX vmlinuz-virt\n  APPEND root=UUID=1 {BOTH}\n"
    )


@on_each(DEBIAN, ALPINE)
def test_a_system_without_a_bootloader(guest: Guest, distribution: Distribution) -> None:
    guest.merge("console")
    distribution.lay(guest)
    assert "stay as they are" in twice(guest, SETTINGS, CONFIGURATION)
    assert not guest.exists("/etc/default/grub")
