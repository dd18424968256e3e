"""Builds that move a base image to another layout, on the host target: what comes over, what is new, what is kept."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.building import add_hook, build, content, describe, left_behind

pytestmark = [pytest.mark.root, pytest.mark.timeout(600)]

# what is hard to copy, made where xattrs and ACLs can be made
ODD = r"""
[ -z "${DIB_BASE_IMAGE:-}" ] || exit 0
cd "$TARGET_ROOT"
mkdir -p odd/d var/odd boot/efi
echo x > odd/f; ln odd/f odd/g; ln odd/f var/odd/h; ln -s f odd/l; chown 5:6 odd/f; chown -h 7:8 odd/l; chmod 4755 odd/f
setfattr -n security.selinux -v system_u:object_r:etc_t:s0 odd/f
setfattr -h -n security.selinux -v system_u:object_r:lnk_t:s0 odd/l
setfattr -n user.foo -v bar odd/f; setfacl -m u:33:r odd/f
echo y > odd/d/before; setfacl -d -m u:33:rx odd/d
cp /bin/true odd/cap; setcap cap_net_raw+ep odd/cap; touch -d '2020-01-01 00:00:00.123456789' odd/cap
truncate -s 50M odd/sparse; echo end >> odd/sparse; mkfifo odd/p; mknod odd/c c 1 3
"""
FSTAB = "# kept\nLABEL=cloudimg-rootfs / ext4 defaults 0 1\nUUID=1-2 none swap sw 0 0\ntmpfs /tmp tmpfs nosuid 0 0\n"
SPLIT = """\
- local_loop: {name: image0}
- partitioning:
    base: image0
    label: gpt
    partitions:
      - {name: BSP, type: EF02, size: 8MiB}
      - name: swap
        size: 64MiB
        mkfs: {type: swap, label: more-memory, mount: {mount_point: none, fstab: {}}}
      - name: var
        size: 400MiB
        mkfs: {type: xfs, label: var, mount: {mount_point: /var, fstab: {options: nodev}}}
      - name: root
        size: 100%
        mkfs: {type: btrfs, label: new-root, mount: {mount_point: /, fstab: {fsck-passno: 1}}}
"""
MBR = """\
- local_loop: {name: image0}
- partitioning:
    base: image0
    label: mbr
    partitions:
      - name: root
        flags: [boot, primary]
        size: 100%
        mkfs: {type: ext4, label: old-root, mount: {mount_point: /, fstab: {}}}
"""


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory, debian_tree: Path) -> Path:
    """A qcow2 with one ext4 on the bare disk, and beside it ``base.raw`` of the same content."""
    directory = tmp_path_factory.mktemp("base")
    add_hook(directory, "odd", "root.d/50-odd", ODD)
    add_hook(directory, "odd", "finalise.d/50-fstab", f"cat > /etc/fstab << 'END'\n{FSTAB}END")
    code, output = build(directory, debian_tree, "-t", "qcow2,raw", "--image-size", "1", "tiny", "odd")
    assert code == 0, output[-3000:]
    for kind in ("qcow2", "raw"):
        (directory / f"out.{kind}").rename(directory / f"base.{kind}")
    return directory / "base.qcow2"


@contextmanager
def mounted(image: Path, *points: tuple[int, str]) -> Iterator[Path]:
    """Partitions of a raw image, by number, mounted for reading."""
    table = json.loads(subprocess.run(["sfdisk", "--json", image], capture_output=True, check=True).stdout)
    parts = table["partitiontable"]["partitions"]
    tree = image.with_suffix(".mounted")
    tree.mkdir(exist_ok=True)
    try:
        for number, path in points:
            one = parts[number - 1]
            options = f"loop,ro,offset={one['start'] * 512},sizelimit={one['size'] * 512}"
            subprocess.run(["mount", "-o", options, image, f"{tree}{path}"], check=True)
        yield tree
    finally:
        subprocess.run(["umount", "-R", tree], check=True)


def files(tree: Path) -> dict[str, tuple[object, ...]]:
    """As :func:`tests.building.content`, of a tree that is mounted."""
    found = {}
    for directory, names, others in os.walk(tree):
        for name in [*names, *others]:
            path = Path(directory, name)
            *most, attributes = describe(path)
            assert isinstance(attributes, dict)
            kept = {name: value for name, value in attributes.items() if "SGI_ACL" not in name}  # what xfs calls ACLs
            found["/" + str(path.relative_to(tree))] = (*most, kept)
    return found


def described(image: Path) -> str:
    return subprocess.run(["sfdisk", "--dump", image], capture_output=True, text=True, check=True).stdout


def test_everything_comes_over(base: Path, tmp_path: Path, debian_tree: Path) -> None:
    add_hook(
        tmp_path, "late", "finalise.d/50-late", 'echo "moved=$DIB_BASE_IMAGE_MOVED $DIB_ROOT_LABEL|$DIB_MOUNTPOINTS"'
    )
    arguments = ("-t", "raw", "--base", str(base), "--trust-base", "late")
    code, output = build(tmp_path, debian_tree, *arguments, DIB_BLOCK_DEVICE_CONFIG=SPLIT)
    assert code == 0, output[-3000:]
    assert "moved=1 new-root|/|/var" in output
    assert "no bootloader is put there" in output  # a warning
    assert left_behind(tmp_path) == []
    before = content(base.with_suffix(".raw"))
    image = tmp_path / "out.raw"
    assert image.stat().st_size > base.with_suffix(".raw").stat().st_size + 472 * 1024**2
    assert 'name="var"' in described(image)
    with mounted(image, (4, "/"), (3, "/var")) as tree:
        after = files(tree)
        status = (tree / "odd/sparse").stat()
        assert (tree / "odd/f").stat().st_ino == (tree / "odd/g").stat().st_ino
        assert (tree / "odd/cap").stat().st_mtime_ns == 1577836800123456789
        assert (tree / "etc/fstab").read_text() == (
            "LABEL=new-root / btrfs defaults 0 1\nLABEL=var /var xfs nodev 0 2\nLABEL=more-memory none swap sw 0 0\n"
            "# kept\ntmpfs /tmp tmpfs nosuid 0 0\n"
        )
    assert status.st_size == 50 * 1024**2 + 4
    assert status.st_blocks * 512 < 1024**2
    linked = {"/odd/f", "/odd/g", "/var/odd/h"}  # /var is another filesystem now, so one of the three is a copy
    changed = {path for path in {*before, *after} if before.get(path) != after.get(path)}
    assert changed - {"/etc/machine-id", "/lost+found", "/var/lib/apt/extended_states"} == {*linked, "/etc/fstab"}
    for path in linked:
        assert before[path][:3] == after[path][:3]
        assert before[path][4] == after[path][4]


def test_the_new_layout_may_be_smaller_than_the_base(base: Path, tmp_path: Path, debian_tree: Path) -> None:
    (tmp_path / "elements/noop").mkdir(parents=True)
    arguments = ("-t", "raw", "--base", str(base), "--trust-base", "noop")
    small = ("--image-size", "0.5")
    code, output = build(tmp_path, debian_tree, *small, *arguments, DIB_BLOCK_DEVICE_CONFIG=MBR)
    assert code == 0, output[-3000:]
    assert (tmp_path / "out.raw").stat().st_size < base.with_suffix(".raw").stat().st_size
    with mounted(tmp_path / "out.raw", (1, "/")) as tree:
        assert (tree / "odd/f").read_text() == "x\n"


@pytest.mark.parametrize(
    ("config", "size", "expected"),
    [
        (MBR.replace("ext4", "ext4, opts: -J size=8"), "0.125", "config: what the base image has at / takes"),
        (SPLIT, "0.25", "config:11: partition var needs 400 MiB, and the disk has"),
        (
            SPLIT.replace("400MiB", "300MiB").replace("btrfs", "ext4, opts: -J size=8"),
            "0.4375",
            "what the base image has at / takes",
        ),
        (SPLIT.replace("/var,", "/bin,"), "2", "the filesystem mkfs_var is for /bin, which is a symbolic link"),
    ],
)
def test_what_does_not_fit_is_told_and_nothing_is_left(
    config: str, size: str, expected: str, base: Path, tmp_path: Path, debian_tree: Path
) -> None:
    (tmp_path / "elements/noop").mkdir(parents=True)
    arguments = ("-t", "raw", "--base", str(base), "--trust-base", "--image-size", size, "noop")
    code, output = build(tmp_path, debian_tree, *arguments, DIB_BLOCK_DEVICE_CONFIG=config)
    assert code == 1
    assert expected.replace("config", "DIB_BLOCK_DEVICE_CONFIG") in output
    assert left_behind(tmp_path) == []
    assert not (tmp_path / "out.raw").exists()


def test_layers_know_of_the_layout(base: Path, tmp_path: Path, debian_tree: Path) -> None:
    """A rebuild goes on behind the move; another layout, and none, are other builds."""
    for number in (1, 2):
        add_hook(tmp_path, "steps", f"install.d/5{number}-step", f"echo step {number} runs")

    def run(config: str) -> str:
        arguments = ("-t", "raw", "--base", str(base), "--trust-base", "steps")
        code, output = build(tmp_path, debian_tree, *arguments, DIB_BLOCK_DEVICE_CONFIG=config)
        assert code == 0, output[-3000:]
        return output

    assert "moves to another layout" in run(MBR)
    add_hook(
        tmp_path, "steps", "install.d/52-step", "echo step 2 is another; findmnt -no SOURCE,LABEL /; cat /etc/fstab"
    )
    again = run(MBR)
    assert "step 1 runs" not in again
    assert "step 2 is another" in again
    assert "moves to another layout" not in again
    assert "LABEL=old-root / ext4" in again
    with mounted(tmp_path / "out.raw", (1, "/")) as tree:
        assert (tree / "odd/f").read_text() == "x\n"
    assert "step 2" not in run(MBR)
    for config in (SPLIT, ""):
        output = run(config)
        assert "step 1 runs" in output
        assert ("moves to another layout" in output) == bool(config)
    assert (tmp_path / "out.raw").stat().st_size == base.with_suffix(".raw").stat().st_size
