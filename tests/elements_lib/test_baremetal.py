"""The element baremetal: kernel and ramdisk of trees of all families beside the image."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.elements_lib.host_side import Build

HOOK = "cleanup.d/99-extract-kernel-and-ramdisk"


@pytest.fixture
def build(tmp_path: Path) -> Build:
    build = Build(tmp_path / "build")
    (build.directory / "out").mkdir()
    (build.tree / "boot").mkdir()
    return build.merge("baremetal")


def write(build: Build, *names: str) -> None:
    for name in names:
        path = build.tree / name
        path.write_text(name)
        path.chmod(0o600)


def beside(build: Build) -> dict[str, str]:
    return {path.name: path.read_text() for path in (build.directory / "out").iterdir()}


@pytest.mark.parametrize(
    ("release", "distro", "kernel", "ramdisk"),
    [
        ("debian_version", "debian", "vmlinuz-6.1.0-1-amd64", "initrd.img-6.1.0-1-amd64"),
        ("debian_version", "ubuntu", "vmlinuz-6.8.0-1-generic", "initrd.img-6.8.0-1-generic"),
        ("redhat-release", "centos", "vmlinuz-3.10.0.el7.x86_64", "initramfs-3.10.0.el7.x86_64.img"),
        ("redhat-release", "fedora", "vmlinuz-6.8.fc40.x86_64", "initramfs-6.8.fc40.x86_64.img"),
        ("os-release", "opensuse", "vmlinuz-6.4-default", "initrd-6.4-default"),
        ("alpine-release", "alpine", "vmlinuz-virt", "initramfs-virt"),
        ("arch-release", "arch", "vmlinuz-linux", "initramfs-linux.img"),
    ],
)
def test_kernel_and_ramdisk_beside_the_image(
    build: Build, release: str, distro: str, kernel: str, ramdisk: str
) -> None:
    write(build, f"etc/{release}", f"boot/{kernel}", f"boot/{ramdisk}", "dib-signed-kernel-version")
    (build.tree / "dib-signed-kernel-version").write_text("")
    (build.directory / "out/img.vmlinuz").write_text("of the build before")
    build.hook(HOOK, DISTRO_NAME=distro)
    assert beside(build) == {"img.vmlinuz": f"boot/{kernel}", "img.initrd": f"boot/{ramdisk}"}
    assert {path.stat().st_mode & 0o777 for path in (build.directory / "out").iterdir()} == {0o644}
    assert {path.name for path in (build.tree / "boot").iterdir()} == {kernel, ramdisk}
    assert not (build.tree / "dib-signed-kernel-version").exists()


def test_patterns(build: Build) -> None:
    write(build, "boot/kernel-1", "boot/kernel-2", "boot/ramdisk-2")
    build.hook(HOOK, DIB_BAREMETAL_KERNEL_PATTERN="kernel-*", DIB_BAREMETAL_INITRD_PATTERN="ramdisk-*")
    assert beside(build) == {"img.vmlinuz": "boot/kernel-2", "img.initrd": "boot/ramdisk-2"}


def test_without_a_kernel_the_build_ends(build: Build) -> None:
    write(build, "etc/debian_version")
    result = build.hook(HOOK, check=False)
    assert result.returncode == 1
    assert "has no kernel with its ramdisk" in result.stdout
    assert beside(build) == {}


def test_a_kernel_that_is_a_link_out_of_the_tree_is_not_followed(build: Build) -> None:
    write(build, "etc/debian_version", "boot/initrd.img-1")
    (build.directory / "secret").write_text("of this machine")
    (build.tree / "boot/vmlinuz-1").symlink_to(build.directory / "secret")
    result = build.hook(HOOK, check=False)
    assert result.returncode == 1
    assert "leads out of the guest's tree" in result.stderr
    assert beside(build) == {}
