"""The initramfs of a guest whose root is on LVM, with dracut played by fake programs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .conftest import Guest

HOOK = "post-install.d/85-lvm-initramfs"


@pytest.fixture
def kernels(guest: Guest) -> Guest:
    guest.merge("block-device-efi-lvm")
    for version in ("5.14.0", "6.1.0"):
        guest.write(f"/usr/lib/modules/{version}/modules.dep", "")
        guest.write(f"/boot/vmlinuz-{version}", "")
    guest.write("/usr/lib/modules/4.0/modules.dep", "")  # what a kernel that is gone has left
    return guest


def test_every_kernel_gets_an_initramfs_with_lvm(kernels: Guest) -> None:
    kernels.fake("dracut")
    kernels.fake("lsinitrd", 'case "$1" in *6.1.0*) echo "-rwxr-xr-x 1 root root 1 Jan 1 usr/sbin/lvm";; esac')
    kernels.write("/boot/initramfs-5.14.0.img", "")
    kernels.write("/boot/initramfs-6.1.0.img", "")
    kernels.hook(HOOK)
    made = [call for call in kernels.calls if call.startswith("dracut")]
    assert made == ["dracut --force --no-hostonly /boot/initramfs-5.14.0.img 5.14.0"]
    assert kernels.read("/etc/dracut.conf.d/90-lvm.conf") == 'add_dracutmodules+=" lvm "\n'


def test_suse_calls_it_initrd(kernels: Guest) -> None:
    kernels.fake("dracut")
    kernels.fake("lsinitrd")
    kernels.write("/boot/initrd-6.1.0", "")
    kernels.hook(HOOK)
    assert "dracut --force --no-hostonly /boot/initrd-6.1.0 6.1.0" in kernels.calls


def test_without_dracut_the_package_does_it(kernels: Guest) -> None:
    kernels.hook(HOOK)
    assert not kernels.path("/etc/dracut.conf.d").exists()
