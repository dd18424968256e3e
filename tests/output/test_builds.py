"""Whole builds into several formats: the same files in each, from new steps and from layers, and after an interrupt."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import tarfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.building import add_hook, build, left_behind, start

pytestmark = [pytest.mark.root]

TWO_FILESYSTEMS = """
- local_loop: {name: image0}
- partitioning:
    base: image0
    label: gpt
    partitions:
      - {name: %s, size: 64MiB, mkfs: {type: %s, label: OTHER, mount: {mount_point: %s, fstab: {options: defaults}}}}
      - {name: root, size: 100%%, mkfs: {mount: {mount_point: /, fstab: {options: defaults}}}}
"""
BOOT = TWO_FILESYSTEMS % ("boot", "ext4", "/boot")
EFI = TWO_FILESYSTEMS % ("ESP", "vfat", "/boot/efi")
FAST = {"DIB_SQUASHFS_COMPRESSION": "lz4", "DIB_GZIP_BIN": "gzip -1"}
HOOK = (
    "mkdir -p /boot/efi; echo kernel > /boot/efi/kernel; cd /srv; truncate -s 20M sparse; echo x >> sparse;"
    " mknod null c 1 3; touch one; ln one two; chown 123:456 one; chmod 4755 one"
)


def members(archive: Path) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(archive, errors="surrogateescape") as opened:
        return {member.name: member for member in opened}


def outlines(archive: Path) -> dict[str, tuple[object, ...]]:
    """What all kinds of archive have alike of their members, by path."""
    return {
        f"./{name.removeprefix('./')}".rstrip("/"): (one.type, one.mode, one.uid, one.gid, one.size, one.mtime)
        for name, one in members(archive).items()
    }


@contextmanager
def mounted(image: Path, offset: int = 0) -> Iterator[Path]:
    point = image.with_suffix(".mounted")
    point.mkdir()
    subprocess.run(["mount", "-o", f"loop,ro,offset={offset}", image, point], check=True)
    try:
        yield point
    finally:
        subprocess.run(["umount", point], check=True)
        point.rmdir()


def check_files(directory: Path, boot: str) -> None:
    """out.tar and out.squash have what the hook made, on both filesystems."""
    found = members(directory / "out.tar")
    assert f"{boot}/kernel" in found
    assert found["./srv/sparse"].issparse() and found["./srv/sparse"].size == 20 * 1024**2 + 2
    assert found["./srv/null"].ischr()
    one, two = found["./srv/one"], found["./srv/two"]
    assert (one.uid, one.gid, one.mode) == (123, 456, 0o4755)
    assert two.islnk() and two.linkname == "./srv/one"
    assert "./etc/fstab" in found and "./usr/bin/bash" in found
    assert not [name for name in found if name.endswith("/lost+found") or "in_target.d" in name]
    assert not [name for name in found if name.startswith(("./proc/", "./sys/", "./dev/pts/"))]
    with mounted(directory / "out.squash") as tree:
        assert (tree / boot / "kernel").read_text() == "kernel\n"
        there = {os.fsencode(path.relative_to(tree)) for path in tree.rglob("*")}
    assert there == {name.removeprefix("./").encode(errors="surrogateescape") for name in found if name != "."}


def test_several_formats_of_an_image_with_two_filesystems(tmp_path: Path, debian_tree: Path) -> None:
    add_hook(tmp_path, "filled", "install.d/50-fill", HOOK)
    arguments = ("-t", "tar,squashfs,qcow2,raw,docker,vmdk", "tiny", "filled")
    code, printed = build(tmp_path, debian_tree, *arguments, DIB_BLOCK_DEVICE_CONFIG=BOOT, **FAST)
    assert code == 0, printed[-3000:]
    check_files(tmp_path, "./boot/efi")
    for name in ("qcow2", "vmdk"):
        subprocess.run(["qemu-img", "compare", "-q", f"out.{name}", "out.raw"], cwd=tmp_path, check=True)
    subprocess.run(["skopeo", "inspect", f"docker-archive:{tmp_path}/out.docker.tar"], check=True, capture_output=True)
    assert left_behind(tmp_path) == []


def test_layers_make_further_formats_without_running_a_step(tmp_path: Path, debian_tree: Path) -> None:
    add_hook(tmp_path, "filled", "install.d/50-fill", f"{HOOK}; date +%N > /srv/when")
    code, printed = build(tmp_path, debian_tree, "-t", "tar", "tiny", "filled", **FAST)
    assert code == 0, printed[-3000:]
    first = (tmp_path / "out.tar").stat()

    code, printed = build(tmp_path, debian_tree, "-t", "tar", "tiny", "filled", **FAST)
    assert code == 0 and "Image file" in printed and "out.tar is up to date" in printed
    assert (tmp_path / "out.tar").stat() == first

    (tmp_path / "out.tar").rename(tmp_path / "first.tar")
    code, printed = build(tmp_path, debian_tree, "-t", "tar,tgz,squashfs,vhd-fixed", "tiny", "filled", **FAST)
    assert code == 0, printed[-3000:]
    assert "dib-run-parts Running" not in printed
    check_files(tmp_path, "./boot/efi")
    assert outlines(tmp_path / "out.tar") == outlines(tmp_path / "first.tar") == outlines(tmp_path / "out.tgz")
    assert (tmp_path / "out.vhd").stat().st_size % 1024**2 == 512

    (tmp_path / "out.squash").unlink()
    code, printed = build(tmp_path, debian_tree, "-t", "tar,tgz,squashfs,vhd-fixed", "tiny", "filled", **FAST)
    assert code == 0 and "up to date" not in printed and (tmp_path / "out.squash").exists()

    changed = {"DIB_SQUASHFS_COMPRESSION": "gzip"}
    code, printed = build(tmp_path, debian_tree, "-t", "squashfs", "tiny", "filled", **changed)
    assert code == 0 and "up to date" not in printed
    code, printed = build(tmp_path, debian_tree, "-t", "squashfs", "tiny", "filled", **changed)
    assert code == 0 and "out.squash is up to date" in printed
    assert left_behind(tmp_path) == []


def test_without_layers_and_on_a_base_image(tmp_path: Path, debian_tree: Path) -> None:
    add_hook(tmp_path, "filled", "install.d/50-fill", HOOK)
    code, printed = build(tmp_path, debian_tree, "--no-cache", "-t", "qcow2,tar,squashfs", "tiny", "filled", **FAST)
    assert code == 0, printed[-3000:]
    check_files(tmp_path, "./boot/efi")
    (tmp_path / "out.qcow2").rename(tmp_path / "base.qcow2")
    (tmp_path / "out.tar").rename(tmp_path / "base.tar")

    add_hook(tmp_path, "more", "install.d/50-more", "echo more > /srv/more")
    arguments = ("--base", "base.qcow2", "--trust-base", "-t", "tar,squashfs", "more")
    code, printed = build(tmp_path, debian_tree, *arguments, **FAST)
    assert code == 0, printed[-3000:]
    check_files(tmp_path, "./boot/efi")
    assert "./srv/more" in members(tmp_path / "out.tar")
    assert members(tmp_path / "out.tar").keys() >= members(tmp_path / "base.tar").keys()
    assert left_behind(tmp_path) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupt_while_images_are_written_leaves_what_was_there(
    number: signal.Signals, tmp_path: Path, debian_tree: Path
) -> None:
    gzip = tmp_path / "slow-gzip"
    gzip.write_text("#!/bin/sh\nhead -c 1000000 > /dev/null\ntouch here\nsleep 300\n")
    gzip.chmod(0o755)
    code, printed = build(tmp_path, debian_tree, "-t", "raw,tar", "tiny")
    assert code == 0, printed[-3000:]
    before = {name: _digest(tmp_path / name) for name in ("out.raw", "out.tar")}

    process = start(
        *(tmp_path, debian_tree, "-t", "raw,tar,tgz,docker,squashfs", "--checksum", "tiny"), DIB_GZIP_BIN=str(gzip)
    )
    try:
        _wait_for(tmp_path / "here", process)
        process.send_signal(number)
        process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == (130 if number == signal.SIGINT else -9)
    if number == signal.SIGKILL:  # nobody was left to clean up: the next build does
        code, printed = build(tmp_path, debian_tree, "-o", "other", "-t", "raw", "tiny")
        assert code == 0, printed[-3000:]
    assert left_behind(tmp_path) == []
    assert {name: _digest(tmp_path / name) for name in before} == before
    assert not [path.name for path in tmp_path.glob("out.*") if path.name not in before]


def _wait_for(file: Path, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 300
    while not file.exists():
        assert process.poll() is None, "the build ended early"
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.slow
@pytest.mark.appliance
def test_files_from_the_appliance_with_an_efi_system_partition(tmp_path: Path, debian_tree: Path) -> None:
    add_hook(tmp_path, "filled", "install.d/50-fill", HOOK)
    arguments = ("--target", "guestfs", "-t", "tar,squashfs,docker,qcow2", "tiny", "filled")
    code, printed = build(tmp_path, debian_tree, *arguments, DIB_BLOCK_DEVICE_CONFIG=EFI, **FAST)
    assert code == 0, printed[-3000:]
    check_files(tmp_path, "./boot/efi")
    listed = subprocess.run(["tar", "-tvf", "out.tar", "./boot/efi/kernel"], cwd=tmp_path, check=True)
    assert listed.returncode == 0
    subprocess.run(["skopeo", "inspect", f"docker-archive:{tmp_path}/out.docker.tar"], check=True, capture_output=True)
    assert left_behind(tmp_path) == []
