"""The shell library that hooks source, and the runner of hooks for scripts that call it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LIBRARY = ROOT / "dib_py" / "lib"


def bash(script: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.environ["PATH"], "_LIB": str(LIBRARY), "HOME": "/root", **variables}
    command = ["/bin/bash", "-euo", "pipefail", "-c", script]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)


@pytest.mark.parametrize("name", ["common-functions", "img-functions", "ramdisk-functions", "img-defaults", "die"])
def test_it_can_be_sourced_with_nothing_set(name: str) -> None:
    result = bash(f'. "$_LIB/common-defaults"; . "$_LIB/ramdisk-defaults"; . "$_LIB/{name}"; echo "$ARCH"')
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip()


def test_die_keeps_the_code_of_what_failed() -> None:
    result = bash('. "$_LIB/die"; set +e; (exit 7); die it went wrong')
    assert (result.returncode, result.stdout) == (7, "it went wrong\n")


def test_break_points() -> None:
    script = '. "$_LIB/common-functions"; check_break before-x echo stopped; check_break before-y echo other'
    assert bash(script, **{"break": "after-z,before-x"}).stdout == "stopped\n"
    assert bash(script).stdout == ""


# -- kernels


def boot(tree: Path, release: str, *files: str) -> Path:
    for name in (f"etc/{release}", *(f"boot/{file}" for file in files)):
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text("")
    return tree


def kernel(tree: Path, **variables: str) -> tuple[int, list[str]]:
    result = bash(f'. "$_LIB/img-functions"; select_boot_kernel_initrd {tree}; echo "$KERNEL $RAMDISK"', **variables)
    return result.returncode, result.stdout.split()


def test_kernel_of_debian(tmp_path: Path) -> None:
    tree = boot(
        tmp_path, "debian_version", "vmlinuz-6.1.0-9-amd64", "vmlinuz-6.1.0-10-amd64", "initrd.img-6.1.0-10-amd64"
    )
    assert kernel(tree) == (0, ["vmlinuz-6.1.0-10-amd64", "initrd.img-6.1.0-10-amd64"])
    boot(tree, "debian_version", "vmlinuz-5.4.0-1-generic", "initrd.img-5.4.0-1-generic")
    assert kernel(tree) == (0, ["vmlinuz-5.4.0-1-generic", "initrd.img-5.4.0-1-generic"])


def test_kernel_of_the_red_hat_family(tmp_path: Path) -> None:
    tree = boot(tmp_path, "redhat-release", "vmlinuz-5.14.el9", "vmlinuz-5.15.el9.debug", "vmlinuz-0-rescue-1")
    assert kernel(tree)[0] == 1, "it has no ramdisk"
    boot(tree, "redhat-release", "initramfs-5.14.el9.img")
    assert kernel(tree) == (0, ["vmlinuz-5.14.el9", "initramfs-5.14.el9.img"])


def test_kernel_of_alpine_and_arch(tmp_path: Path) -> None:
    alpine = boot(tmp_path / "alpine", "alpine-release", "vmlinuz-lts", "initramfs-lts", "config-6.6.52-0-lts")
    assert kernel(alpine) == (0, ["vmlinuz-lts", "initramfs-lts"])
    arch = boot(tmp_path / "arch", "arch-release", "vmlinuz-linux", "initramfs-linux-fallback.img")
    assert kernel(arch)[0] == 1, "the fallback is no ramdisk of choice"
    boot(arch, "arch-release", "initramfs-linux.img")
    assert kernel(arch) == (0, ["vmlinuz-linux", "initramfs-linux.img"])


def test_kernel_of_suse(tmp_path: Path) -> None:
    names = ("vmlinuz-6.4.0-1-default", "initrd-6.4.0-1-default", "vmlinuz-6.4.0-2-default", "initrd-6.4.0-2-default")
    tree = boot(tmp_path, "x", *names)
    assert kernel(tree, DISTRO_NAME="opensuse") == (0, ["vmlinuz-6.4.0-2-default", "initrd-6.4.0-2-default"])
    for name in ("vmlinuz", "initrd"):
        (tree / "boot" / name).symlink_to(f"{name}-6.4.0-1-default")
    assert kernel(tree, DISTRO_NAME="opensuse") == (0, ["vmlinuz-6.4.0-1-default", "initrd-6.4.0-1-default"])


def test_kernel_by_pattern(tmp_path: Path) -> None:
    tree = boot(tmp_path, "x", "vmlinuz-a", "vmlinuz-b", "ramdisk-b")
    patterns = {"DIB_BAREMETAL_KERNEL_PATTERN": "vmlinuz*", "DIB_BAREMETAL_INITRD_PATTERN": "ramdisk*"}
    assert kernel(tree, **patterns) == (0, ["vmlinuz-b", "ramdisk-b"])


def test_kernel_of_an_unknown_system(tmp_path: Path) -> None:
    assert kernel(boot(tmp_path, "x"))[0] == 1


# -- paths in the guest's tree


def test_paths_in_the_tree(tmp_path: Path) -> None:
    tree = tmp_path / "mnt"
    (tree / "real").mkdir(parents=True)
    (tree / "inside").symlink_to("real")
    (tree / "outside").symlink_to("/etc")
    (tree / "up").symlink_to("../../..")

    def path(name: str) -> subprocess.CompletedProcess[str]:
        return bash(f'. "$_LIB/tree-functions"; path_in_tree {name}', TMP_MOUNT_PATH=str(tree))

    assert path("/inside/new").stdout == f"{tree}/real/new\n"
    assert path("/").stdout == f"{tree}\n"
    for name in ("/outside", "/outside/passwd", "/up/x", "/../x"):
        assert path(name).returncode == 1, name


# -- dib-run-parts


@pytest.fixture
def hooks(tmp_path: Path) -> Path:
    for name in ("20-y", "100-x", "10-B", "10-a", "abc", "-5neg", "1e1-q", "no.run", "020-w"):
        path = tmp_path / "install.d" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f'#!/bin/sh\necho {name} "$GREETING"\n')
        path.chmod(0o755)
    (tmp_path / "install.d/30-data").write_text("")
    (tmp_path / "environment.d").mkdir()
    (tmp_path / "environment.d/20-last.bash").write_text("export GREETING=hello\n")
    (tmp_path / "environment.d/100-first").write_text("export GREETING=early\n")
    return tmp_path / "install.d"


ORDER = ["-5neg", "abc", "1e1-q", "10-B", "10-a", "020-w", "20-y", "100-x"]


def test_hooks_run_in_their_order(hooks: Path) -> None:
    result = bash(f'"$_LIB/dib-run-parts" {hooks}')
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines() == [f"{name} hello" for name in ORDER]
    assert "dib-run-parts Target: install.d" in result.stderr
    assert result.stderr.count(" completed\n") == len(ORDER)
    listed = bash(f'"$_LIB/dib-run-parts" --list {hooks}').stdout.splitlines()
    assert listed == [f"{hooks}/{name}" for name in ORDER]


def test_the_first_failure_ends_the_phase(hooks: Path) -> None:
    (hooks / "10-B").write_text("#!/bin/sh\nexit 7\n")
    result = bash(f'"$_LIB/dib-run-parts" {hooks}')
    assert result.returncode == 7
    assert "10-a" not in result.stdout
    assert "PROFILING" not in result.stderr


def test_bad_arguments_of_dib_run_parts(hooks: Path) -> None:
    for arguments in ("", f"{hooks}/none"):
        assert bash(f'"$_LIB/dib-run-parts" {arguments}').returncode == 1


# -- element-info


def test_element_info() -> None:
    def info(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, LIBRARY / "element-info.py", *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    names = info("debian-minimal").stdout.split()
    assert {"debian-minimal", "dpkg", "sysprep"} <= set(names)
    text = info("--env", "debian-minimal").stdout
    result = bash(
        f'{text}\neval "declare -A paths=($(get_image_element_array))"; echo "$IMAGE_ELEMENT" "${{paths[dpkg]}}"'
    )
    assert result.stdout.split() == [*names, str(ROOT / "elements/dpkg")]
    unknown = info("no-such-element")
    assert unknown.returncode == 1
    assert "no-such-element" in unknown.stderr
