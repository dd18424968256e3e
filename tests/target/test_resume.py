"""Targets go on where others stopped: from the layer of any checkpoint, of the same target or of the other one."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dib_py.disk import Disk
from dib_py.disk.layout import Filesystem, Layout, Partition, PartitionTable
from dib_py.target import Target
from dib_py.target.guestfs import GuestfsTarget
from dib_py.target.host import HostTarget
from tests.target.contract import hooks, host_script
from tests.target.machines import guestfs_target, host_target

pytestmark = [pytest.mark.root, pytest.mark.timeout(900)]
__all__ = ["hooks"]

MIB = 1024**2
GIB = 1024**3
START = 2 * GIB
BOOT_CODE = b"what a bootloader writes"
Opened = Callable[..., AbstractContextManager[tuple[Disk, Target]]]


def layout() -> Layout:
    partitions = (
        Partition("BSP", 1, 8 * MIB, "EF02"),
        Partition("boot", 2, 64 * MIB, "8300"),
        Partition("root", 3, None, "8300"),
    )
    uuid = "7e2f5e9c-2c3d-4d1e-9f53-1c8f0c4ad00{}"
    filesystems = (
        Filesystem("mkfs_boot", "boot", "ext2", "boots", uuid.format(1), mount_point="/boot"),
        Filesystem("mkfs_root", "root", "ext4", "roots", uuid.format(2), mount_point="/"),
    )
    return Layout("image0", START, table=PartitionTable("gpt", MIB, partitions), filesystems=filesystems)


class ResumeContract:
    """``opened`` opens a target on a disk for which it takes the arguments of :meth:`Disk.create`; ``capacity`` is one
    of them, for a disk that may grow."""

    opened: Opened
    capacity: int | None = None

    def put_boot_code(self, target: Target, device: str) -> None:
        """Write BOOT_CODE at the start of the disk, as a program would."""
        raise NotImplementedError(device)

    def test_from_each_checkpoint(self, tmp_path: Path, hooks: Path) -> None:
        layers, names = self._build(tmp_path, hooks)
        self._look_at_each(layers, tmp_path)
        layers.append(self._go_on_with_the_other(layers, tmp_path))
        layers.append(self._go_on(layers, names, hooks, tmp_path))
        self._look_at_the_end(layers, tmp_path)

    def _build(self, tmp_path: Path, hooks: Path) -> tuple[list[Path], set[str]]:
        with type(self).opened(_fresh(tmp_path / "first"), size=START, capacity=self.capacity) as (disk, target):

            def checkpoint() -> None:
                target.sync()
                disk.snapshot(tmp_path / f"{len(disk.chain())}.qcow2")

            target.create(layout())
            root, boot = target.layout_mounts(layout())
            target.mount([root])
            with target.tree() as tree:
                _do(target, tree, "mkdir -p srv/d boot; echo 1 > srv/one; echo 1 > srv/d/one; ln srv/one srv/linked")
                checkpoint()
                _do(target, tree, "rm srv/linked; mv srv/d srv/e; echo 2 > srv/two")
                checkpoint()
                _do(target, tree, "echo 3 > srv/three")
            target.mount([boot])
            with target.tree() as tree:
                _do(target, tree, "rm -r srv/e; echo e > srv/e; mkdir srv/f; echo > srv/f/1; echo > boot/kernel")
                checkpoint()
                _do(target, tree, "rm srv/f/1 srv/one; echo > srv/f/2")
                target.write("/srv/three", b"33")
                checkpoint()
                _do(target, tree, "mkdir srv/one")
            names = target.expose_devices(layout())
            with target.guest_mounts(hooks):
                target.write("/srv/inside", b"")
                self.put_boot_code(target, names["image0"])
                checkpoint()
                target.write("/srv/late", b"")
            return disk.chain()[:0:-1], set(names)

    def _look_at_each(self, layers: list[Path], tmp_path: Path) -> None:
        expected = (
            {"d/one": "1\n", "linked": "1\n", "one": "1\n"},
            {"e/one": "1\n", "one": "1\n", "two": "2\n"},
            {"e": "e\n", "f/1": "\n", "one": "1\n", "three": "3\n", "two": "2\n"},
            {"e": "e\n", "f/2": "\n", "three": "33", "two": "2\n"},
            {"e": "e\n", "f/2": "\n", "inside": "", "three": "33", "two": "2\n"},
        )
        for number, wanted in enumerate(expected, start=1):
            directory = _fresh(tmp_path / f"look{number}")
            with host_target(directory, layers=layers[:number], size=START) as (_, target):
                target.mount(target.layout_mounts(layout()))
                srv = target.root / "srv"
                assert {str(path.relative_to(srv)): path.read_text() for path in _files(srv)} == wanted
                assert target.exists("/boot/kernel") == (number > 2)
                if number == 1:
                    assert (srv / "linked").samefile(srv / "one")
                else:
                    assert (srv / "two").stat().st_nlink == 1
                starts = target._devices.whole.open("rb").read(len(BOOT_CODE))
                assert (starts == BOOT_CODE) == (number == 5)

    def _go_on_with_the_other(self, layers: list[Path], tmp_path: Path) -> Path:
        with host_target(_fresh(tmp_path / "other"), layers=layers, size=START) as (disk, target):
            target.mount(target.layout_mounts(layout()))
            target.write("/srv/other", b"")
            target.sync()
            return disk.top

    def _go_on(self, layers: list[Path], names: set[str], hooks: Path, tmp_path: Path) -> Path:
        with type(self).opened(_fresh(tmp_path / "again"), layers=layers, size=START, capacity=self.capacity) as (
            disk,
            target,
        ):
            mounts = target.layout_mounts(layout())
            assert [mount.path for mount in mounts] == ["/", "/boot"]
            target.mount(mounts)
            assert set(target.listdir("/srv")) == {"e", "f", "inside", "one", "other", "three", "two"}
            assert target.exists("/boot/kernel")
            assert target.exists("/tmp/in_target.d")  # the layer is of a checkpoint in between
            with target.guest_mounts(hooks):
                assert target.read("/tmp/in_target.d/data")
            assert not target.exists("/tmp/in_target.d")
            assert {"proc", "dev", "sys", "tmp"} <= set(target.listdir("/"))
            assert set(target.expose_devices(layout())) == names
            before = target.usage().size
            disk.resize(START + GIB)
            target.grow()
            assert target.usage().size - before > 0.9 * GIB
            target.shrink(GIB)
            disk.resize(GIB)
            assert 0.8 * GIB < target.usage().size < GIB
            assert target.exists("/boot/kernel")
            target.write("/srv/again", b"x" * MIB)
            target.sync()
            target.unmount()
            return disk.top

    def _look_at_the_end(self, layers: list[Path], tmp_path: Path) -> None:
        with host_target(_fresh(tmp_path / "end"), layers=layers, size=GIB) as (_, target):
            target.mount(target.layout_mounts(layout()))
            assert len(target.read("/srv/again")) == MIB
            target.unmount()
            _verify(target)


def _verify(target: HostTarget) -> None:
    argv = ["sfdisk", "--verify", target._devices.whole]
    checked = subprocess.run(argv, capture_output=True, text=True, timeout=60)
    assert (checked.returncode, checked.stderr) == (0, "")


def _fresh(directory: Path) -> Path:
    directory.mkdir()
    return directory


def _do(target: Target, tree: Path, text: str) -> None:
    code, printed = host_script(target, f'set -eu; cd "$TREE"; {text}', TREE=str(tree))
    assert code == 0, printed


def _files(directory: Path) -> list[Path]:
    return [path for path in directory.rglob("*") if path.is_file()]


class TestHost(ResumeContract):
    opened = host_target

    def put_boot_code(self, target: Target, device: str) -> None:
        with Path(device).open("r+b") as disk:
            disk.write(BOOT_CODE)


def test_a_table_that_ends_behind_the_disk(tmp_path: Path) -> None:
    """As on a disk that was served with more capacity than its size, by NBD."""
    smaller = replace(
        layout(),
        table=PartitionTable("gpt", MIB, (Partition("boot", 1, 64 * MIB, "8300"), Partition("root", 2, GIB, "8300"))),
    )
    with host_target(_fresh(tmp_path / "first"), size=2 * START) as (disk, target):
        target.create(smaller)
        layer = disk.top
    with host_target(_fresh(tmp_path / "again"), layers=[layer], size=START) as (_, target):
        target.mount(target.layout_mounts(smaller))
        assert set(target.listdir("/")) == {"boot", "lost+found"}
        _verify(target)


@pytest.mark.appliance
@pytest.mark.slow
class TestGuestfs(ResumeContract):
    opened = guestfs_target
    capacity = 64 * GIB

    def put_boot_code(self, target: Any, device: str) -> None:
        assert isinstance(target, GuestfsTarget)
        target._appliance.engine_runner.check('dd of="$1" conv=notrunc status=none', device, input=BOOT_CODE)
