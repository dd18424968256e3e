"""The disk against the real qemu-storage-daemon: what goes in through an export is what qemu-img finds afterwards."""

from __future__ import annotations

import json
import os
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from dib_py.disk import GROWING_CAPACITY, Disk
from dib_py.errors import DiskError

MIB = 1024**2
GIB = 1024**3


def uri(disk: Disk) -> str:
    return f"nbd+unix:///?socket={disk.nbd()}"


def qemu_io(image: str | Path, *commands: str, image_format: str = "raw") -> str:
    argv = ["qemu-io", "-f", image_format, str(image)]
    for command in commands:
        argv += ["-c", command]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    assert "failed" not in done.stdout + done.stderr, done.stdout + done.stderr
    return done.stdout


def info(image: str | Path, *options: str) -> Any:
    argv = ["qemu-img", "info", "--output=json", *options, str(image)]
    return json.loads(subprocess.run(argv, capture_output=True, check=True).stdout)


def holds(image: Path, pattern: int, offset: int, length: int) -> bool:
    """Whether a closed image has only ``pattern`` there."""
    out = qemu_io(image, f"read -P {pattern} {offset} {length}", image_format="qcow2")
    return "Pattern verification failed" not in out


def allocated(path: Path) -> int:
    return path.stat().st_blocks * 512


# -- overlays


def test_writes_through_nbd_land_in_the_overlay_and_never_in_the_base(daemon: Any, tmp_path: Path) -> None:
    base = tmp_path / "base.img"
    base.write_bytes(b"\xaa" * (4 * MIB))
    with Disk.create(daemon.client, daemon.directory, base=base, base_format="raw") as disk:
        assert disk.size == 4 * MIB
        qemu_io(uri(disk), f"write -P 0xbb {MIB} 64k", "read -P 0xaa 0 64k")
        assert disk.chain() == [disk.top, base]
        top = disk.top
    assert base.read_bytes() == b"\xaa" * (4 * MIB)
    assert holds(top, 0xBB, MIB, 64 * 1024)
    assert holds(top, 0xAA, 0, MIB)
    assert info(top)["full-backing-filename"] == str(base)
    assert info(top)["backing-filename-format"] == "raw"


def test_a_larger_disk_than_its_base_reads_zeros_behind_it(daemon: Any, tmp_path: Path) -> None:
    base = tmp_path / "base.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", base, "4M"], check=True)
    with Disk.create(daemon.client, daemon.directory, base=base, base_format="qcow2", size=8 * MIB) as disk:
        assert "8 MiB" in qemu_io(uri(disk), "length")
        qemu_io(uri(disk), f"read -P 0 {4 * MIB} {4 * MIB}")


def test_a_smaller_disk_than_its_base_is_refused(daemon: Any, tmp_path: Path) -> None:
    base = tmp_path / "base.img"
    base.write_bytes(bytes(4 * MIB))
    with pytest.raises(DiskError, match="can't be 2 MiB large: its base image has 4 MiB"):
        Disk.create(daemon.client, daemon.directory, base=base, base_format="raw", size=2 * MIB)
    with Disk.create(daemon.client, daemon.directory, base=base, base_format="raw") as disk:  # nothing was left open
        assert disk.size == 4 * MIB


def test_a_snapshot_under_load_freezes_the_layer_below(daemon: Any) -> None:
    with Disk.create(daemon.client, daemon.directory, size=256 * MIB) as disk:
        commands = "".join(f"write -P {n % 250 + 1} {n}M 1M\n" for n in range(200))
        argv = ["qemu-io", "-f", "raw", uri(disk)]
        with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as writer:
            assert writer.stdin is not None and writer.stdout is not None
            writer.stdin.write(commands)
            writer.stdin.flush()
            writer.stdout.readline()
            for number in range(1, 6):
                disk.snapshot(daemon.directory / f"layer{number}.qcow2")
            writer.stdin.close()
            assert "failed" not in writer.stdout.read()
        frozen = [(path, path.stat().st_mtime_ns) for path in disk.chain()[1:]]
        qemu_io(uri(disk), "write -P 0xee 255M 1M")
        assert [(path, path.stat().st_mtime_ns) for path in disk.chain()[1:]] == frozen
        assert len(disk.chain()) == 6
        top = disk.top
    assert top.name == "layer5.qcow2"
    assert [Path(one["filename"]).name for one in info(top, "--backing-chain")][-1] == "disk.qcow2"
    assert info(top)["backing-filename"] == "layer4.qcow2"  # relative: the directory can move
    for n in range(200):
        assert holds(top, n % 250 + 1, n * MIB, MIB)


def test_discard_and_zeroes_give_the_blocks_back(daemon: Any) -> None:
    with Disk.create(daemon.client, daemon.directory, size=GIB) as disk:
        qemu_io(uri(disk), "write -P 1 0 64M")
        assert disk.allocated() >= 64 * MIB
        qemu_io(uri(disk), "discard 0 32M", "write -P 0 32M 32M")
        assert disk.allocated() < 2 * MIB


def test_snapshots_go_on_discarding(daemon: Any) -> None:
    with Disk.create(daemon.client, daemon.directory, size=GIB) as disk:
        disk.snapshot(daemon.directory / "next.qcow2")
        qemu_io(uri(disk), "write -P 1 0 64M")
        qemu_io(uri(disk), "discard 0 64M")
        assert allocated(disk.top) < 2 * MIB


# -- size


def test_a_disk_with_spare_capacity_grows_under_an_nbd_client_and_is_cut_at_the_end(daemon: Any) -> None:
    with Disk.create(daemon.client, daemon.directory, size=GIB, capacity=GROWING_CAPACITY) as disk:
        qemu_io(uri(disk), "write -P 7 0 1M")
        disk.resize(2 * GIB)
        qemu_io(uri(disk), f"write -P 8 {2 * GIB - MIB} 1M")
        top = disk.top
    assert info(top)["virtual-size"] == 2 * GIB
    assert holds(top, 8, 2 * GIB - MIB, MIB)
    assert allocated(top) < 4 * MIB


def test_without_capacity_an_nbd_client_forbids_growing(daemon: Any) -> None:
    with Disk.create(daemon.client, daemon.directory, size=GIB) as disk:
        disk.nbd()
        with pytest.raises(DiskError, match="capacity"):
            disk.resize(2 * GIB)
        assert disk.size == GIB


@pytest.mark.parametrize("sector_size", [512, 4096])
def test_the_second_gpt_moves_with_the_end_of_the_disk(daemon: Any, tmp_path: Path, sector_size: int) -> None:
    blank = tmp_path / "table.img"
    with blank.open("wb") as file:
        file.truncate(8 * GIB)
    fdisk = ["fdisk", "-b", str(sector_size), blank]
    subprocess.run(fdisk, input="g\nn\n1\n2048\n+1G\nw\n", text=True, capture_output=True, check=True)
    with Disk.create(daemon.client, daemon.directory, size=4 * GIB, capacity=8 * GIB, sector_size=sector_size) as disk:
        subprocess.run(["qemu-img", "convert", "-n", "-f", "raw", "-O", "raw", blank, uri(disk)], check=True)
        top = disk.top
    raw = tmp_path / "out.img"
    subprocess.run(["qemu-img", "convert", "-f", "qcow2", "-O", "raw", top, raw], check=True)
    assert raw.stat().st_size == 4 * GIB
    done = subprocess.run(["fdisk", "-b", str(sector_size), "-l", raw], capture_output=True, text=True, check=True)
    assert done.stderr == ""  # fdisk complains here of a broken or misplaced backup
    assert "1G Linux filesystem" in done.stdout
    if sector_size == 512:
        done = subprocess.run(["sgdisk", "-v", raw], capture_output=True, text=True, check=True)
        assert "No problems found" in done.stdout


@pytest.mark.root
def test_fuse_shows_writes_growth_and_holes(daemon: Any) -> None:
    with Disk.create(daemon.client, daemon.directory, size=256 * MIB) as disk:
        file = disk.fuse()
        with file.open("r+b") as stream:
            stream.write(b"\x05" * (32 * MIB))
            stream.flush()
            os.fsync(stream.fileno())
            assert disk.allocated() >= 32 * MIB
            subprocess.run(["fallocate", "-p", "-o", "0", "-l", str(16 * MIB), file], check=True)
            assert disk.allocated() < 18 * MIB
            disk.snapshot(daemon.directory / "next.qcow2")
            disk.resize(GIB)
            stream.seek(GIB - MIB)
            stream.write(b"\x06" * MIB)
        assert file.stat().st_size == GIB
        top = disk.top
    assert not os.path.ismount(file)
    assert info(top)["virtual-size"] == GIB
    assert holds(top, 5, 16 * MIB, 16 * MIB)
    assert holds(top, 6, GIB - MIB, MIB)


def test_sizes_are_whole_sectors(daemon: Any) -> None:
    with pytest.raises(DiskError, match="4096-byte sectors"):
        Disk.create(daemon.client, daemon.directory, size=GIB + 512, sector_size=4096)
    with (
        Disk.create(daemon.client, daemon.directory, size=GIB, sector_size=4096) as disk,
        pytest.raises(DiskError, match="4096"),
    ):
        disk.resize(GIB + 512)


# -- what must be refused


def test_a_base_is_never_probed(daemon: Any, tmp_path: Path) -> None:
    """A raw image whose first bytes look like a qcow2 header stays raw."""
    secret = tmp_path / "secret"
    secret.write_bytes(b"s" * MIB)
    tricky = tmp_path / "tricky.raw"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-b", secret, "-F", "raw", tricky], check=True)
    size = tricky.stat().st_size
    with Disk.create(daemon.client, daemon.directory, base=tricky, base_format="raw") as disk:
        assert disk.size == -(-size // 512) * 512
        assert "QFI" in qemu_io(uri(disk), "read -v 0 512")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (["-b", "other.raw", "-F", "raw"], "backing file"),
        (["-o", "data_file=data.raw"], "another file"),
        (["-o", "compat=0.10", "-b", "other.raw", "-F", "raw"], "backing file"),
    ],
)
def test_a_base_that_names_other_files_is_refused(daemon: Any, tmp_path: Path, make: list[str], message: str) -> None:
    (tmp_path / "other.raw").write_bytes(bytes(MIB))
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", *make, "base.qcow2", "1M"], cwd=tmp_path, check=True)
    with pytest.raises(DiskError, match=message) as caught:
        Disk.create(daemon.client, daemon.directory, base=tmp_path / "base.qcow2", base_format="qcow2")
    assert "qemu-img convert" in caught.value.hint


@pytest.mark.parametrize(
    ("content", "image_format", "message"),
    [
        (b"not an image" * 100, "qcow2", "no qcow2"),
        (b"", "qcow2", "no qcow2"),
        (b"QFI\xfb" + b"\0\0\0\3" + bytes(200), "qcow2", "can't be opened as qcow2"),
        (b"x" * 4096, "vhdx", "can't be opened as vhdx"),
        (b"KDMV", "vmdk", "vmdk can't be used"),
        (b"x" * 4096, None, "never guessed"),
    ],
)
def test_a_base_that_is_no_image(
    daemon: Any, tmp_path: Path, content: bytes, image_format: str | None, message: str
) -> None:
    base = tmp_path / "base"
    base.write_bytes(content)
    with pytest.raises(DiskError, match=message) as caught:
        Disk.create(daemon.client, daemon.directory, base=base, base_format=image_format)
    assert caught.value.where == str(base)
    Disk.create(daemon.client, daemon.directory, size=MIB).close()  # nothing was left behind


def test_a_missing_base(daemon: Any, tmp_path: Path) -> None:
    with pytest.raises(DiskError, match="No such file") as caught:
        Disk.create(daemon.client, daemon.directory, base=tmp_path / "gone", base_format="raw")
    assert caught.value.where == str(tmp_path / "gone")


def test_a_snapshot_that_fails_can_be_tried_again(daemon: Any) -> None:
    with Disk.create(daemon.client, daemon.directory, size=16 * MIB) as disk:
        for _ in range(2):
            with pytest.raises(DiskError, match="can't be made: No such file"):
                disk.snapshot(daemon.directory / "missing" / "next.qcow2")
        qemu_io(uri(disk), "write -P 1 0 1M")
        disk.snapshot(daemon.directory / "next.qcow2")
        assert disk.top == daemon.directory / "next.qcow2"


# -- daemons


def test_two_daemons_side_by_side(daemon: Any, other_daemon: Any) -> None:
    with (
        Disk.create(daemon.client, daemon.directory, size=16 * MIB) as one,
        Disk.create(other_daemon.client, other_daemon.directory, size=16 * MIB) as two,
    ):
        qemu_io(uri(one), "write -P 1 0 1M")
        qemu_io(uri(two), "write -P 2 0 1M")
        qemu_io(uri(one), "read -P 1 0 1M")
        tops = one.top, two.top
    assert holds(tops[0], 1, 0, MIB)
    assert holds(tops[1], 2, 0, MIB)


def test_a_killed_daemon_is_a_clear_error(daemon: Any) -> None:
    disk = Disk.create(daemon.client, daemon.directory, size=16 * MIB)
    daemon.process.kill()
    daemon.process.wait()
    started = time.monotonic()
    with pytest.raises(DiskError, match="blockdev-add: the daemon has ended"):
        disk.snapshot(daemon.directory / "next.qcow2")
    assert time.monotonic() - started < 60


def test_the_build_s_own_error_survives_a_dead_daemon(daemon: Any) -> None:
    with pytest.raises(ZeroDivisionError), Disk.create(daemon.client, daemon.directory, size=16 * MIB):
        daemon.process.kill()
        daemon.process.wait()
        raise ZeroDivisionError


# -- a base image whose content moves


@pytest.mark.parametrize("kind", ["nbd", "fuse"])
def test_a_source_is_served_beside_the_disk_and_may_be_written_to(daemon: Any, tmp_path: Path, kind: str) -> None:
    base = tmp_path / "base.img"
    base.write_bytes(b"\xaa" * (4 * MIB))
    with Disk.create(daemon.client, daemon.directory, size=8 * MIB) as disk:
        disk.open_source(base, "raw")
        source = disk.source
        assert source is not None
        names = []
        for one in (disk, source):
            place = f"nbd+unix:///{one.nbd_name}?socket={one.nbd()}" if kind == "nbd" else str(one.fuse())
            names.append(place)
        assert names[0] != names[1]
        qemu_io(names[0], "write -P 0xcc 0 64k")
        qemu_io(names[1], "read -P 0xaa 0 4M", "write -P 0xbb 0 64k", "read -P 0xbb 0 64k")
        qemu_io(names[0], "read -P 0xcc 0 64k")
        disk.close_source()
        assert disk.source is None
        qemu_io(names[0], "read -P 0xcc 0 64k")
        assert not source.top.exists()
        assert disk.chain() == [disk.top]
    assert base.read_bytes() == b"\xaa" * (4 * MIB)


def test_a_source_goes_with_its_disk(daemon: Any, tmp_path: Path) -> None:
    base = tmp_path / "base.img"
    base.write_bytes(b"\xaa" * MIB)
    with Disk.create(daemon.client, daemon.directory, size=MIB) as disk:
        disk.open_source(base, "raw")
        disk.nbd()
        assert disk.source is not None
        disk.source.nbd()
    assert daemon.client.execute("query-named-block-nodes", flat=True) == []
