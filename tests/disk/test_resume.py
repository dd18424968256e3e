"""A disk on layers of earlier builds: what they hold is there, whatever their sizes, and none of them is written."""

from __future__ import annotations

import hashlib
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from dib_py.disk import Disk
from dib_py.disk.chain import Chain
from dib_py.errors import DiskError

MIB = 1024**2
GIB = 1024**3


def qemu_io(image: str, *commands: str) -> str:
    argv = ["qemu-io", *(["-f", "raw"] if image.startswith("nbd") else [])]
    for command in commands:
        argv += ["-c", command]
    done = subprocess.run([*argv, image], capture_output=True, text=True, check=True)
    assert "failed" not in done.stdout + done.stderr, done.stdout + done.stderr
    return done.stdout


def uri(disk: Disk) -> str:
    return f"nbd+unix:///?socket={disk.nbd()}"


def info(chain: Chain) -> Any:
    argv = ["qemu-img", "info", "--output=json", chain.name]
    return json.loads(subprocess.run(argv, capture_output=True, check=True).stdout)


def digests(files: list[Path]) -> list[str]:
    return [hashlib.blake2b(path.read_bytes()).hexdigest() for path in files]


def build(daemon: Any, store: Path, base: Path | None, *, size: int, **options: Any) -> list[Path]:
    """Three layers in ``store``, as a build commits them: frozen somewhere, renamed to what the headers say."""
    layers = []
    origin = {"base": base, "base_format": "raw"} if base else {}
    with Disk.create(daemon.client, daemon.directory, **origin, size=size, **options) as disk:
        for number in range(3):
            qemu_io(uri(disk), f"write -P {number + 1} {number}M 1M", f"write -P {number + 1} 16M 1M")
            frozen = disk.top
            disk.snapshot(daemon.directory / f"building{number}", backing_name=f"key{number}.qcow2")
            layers.append(frozen.rename(store / f"key{number}.qcow2"))
    (daemon.directory / "building2").unlink()
    return layers


@pytest.fixture
def store(tmp_path: Path) -> Path:
    (tmp_path / "store").mkdir()
    return tmp_path / "store"


@pytest.fixture
def base(tmp_path: Path) -> Path:
    base = tmp_path / "base.img"
    base.write_bytes(b"\xaa" * (32 * MIB))
    return base


def test_a_build_goes_on_from_any_layer(daemon: Any, store: Path, base: Path) -> None:
    layers = build(daemon, store, base, size=64 * MIB)
    before = digests([base, *layers])
    for kept in (3, 2, 1):
        overlay = store / f"next{kept}"
        with Disk.create(
            daemon.client,
            daemon.directory,
            base=base,
            base_format="raw",
            layers=layers[:kept],
            overlay=overlay,
            backing_name=f"key{kept - 1}.qcow2",
            size=64 * MIB,
        ) as disk:
            assert disk.top == overlay
            assert disk.chain() == [overlay, *reversed(layers[:kept]), base]
            reads = [f"read -P {n + 1} {n}M 1M" for n in range(kept)]
            qemu_io(uri(disk), *reads, f"read -P {kept} 16M 1M", "read -P 0xaa 17M 15M", "read -P 0 32M 32M")
            qemu_io(uri(disk), "write -P 0xbb 0 32M", "discard 40M 1M")
            image = disk.image()
        assert info(image)["virtual-size"] == 64 * MIB
        assert json.loads(image.name.removeprefix("json:")).keys() == {"driver", "file"}  # all headers lead to it
        qemu_io(image.name, "read -P 0xbb 0 32M")
        assert digests([base, *layers]) == before
    assert disk.image() == image  # known behind its end


def test_two_builds_go_on_from_the_same_layers_while_their_maker_still_runs(
    daemon: Any, other_daemon: Any, tmp_path: Path
) -> None:
    with Disk.create(daemon.client, daemon.directory, size=16 * MIB) as first:
        qemu_io(uri(first), "write -P 1 0 1M")
        frozen = first.top
        first.snapshot(daemon.directory / "next.qcow2")
        with Disk.create(other_daemon.client, other_daemon.directory, layers=[frozen], size=16 * MIB) as second:
            qemu_io(uri(second), "read -P 1 0 1M", "write -P 2 0 1M")
            qemu_io(uri(first), "read -P 1 0 1M", "write -P 3 0 1M")
            qemu_io(uri(second), "read -P 2 0 1M")


@pytest.mark.parametrize("capacity", [None, 2 * GIB])
def test_layers_may_be_larger_or_smaller_than_what_is_built_on_them(
    daemon: Any, store: Path, capacity: int | None
) -> None:
    """Cut short and grown again, a disk reads zeros where it had been cut, not what is below."""
    large = build(daemon, store, None, size=GIB)
    with Disk.create(daemon.client, daemon.directory, layers=large, size=8 * MIB, capacity=capacity) as disk:
        assert disk.size == 8 * MIB
        qemu_io(uri(disk), "read -P 3 2M 1M")
        cut = disk.top
    assert info(disk.image())["virtual-size"] == 8 * MIB
    again = daemon.directory / "again.qcow2"
    with Disk.create(
        daemon.client, daemon.directory, layers=[*large, cut], overlay=again, size=8 * MIB, capacity=GIB
    ) as disk:
        disk.resize(32 * MIB)
        qemu_io(uri(disk), "read -P 3 2M 1M", "read -P 0 16M 1M", "write -P 9 31M 1M")
    image = disk.image()
    assert info(image)["virtual-size"] == 32 * MIB
    raw = store / "out.raw"
    subprocess.run(["qemu-img", "convert", "-O", "raw", image.name, raw], check=True)
    content = raw.read_bytes()
    assert [content[n * MIB] for n in (0, 1, 2, 3, 8, 16, 31)] == [1, 2, 3, 0, 0, 0, 9]


def test_only_the_top_is_written_when_the_table_s_end_moves(daemon: Any, store: Path, tmp_path: Path) -> None:
    blank = tmp_path / "table.img"
    with blank.open("wb") as file:
        file.truncate(4 * GIB)
    subprocess.run(["fdisk", blank], input="g\nn\n1\n2048\n+1G\nw\n", text=True, capture_output=True, check=True)
    layers = []
    with Disk.create(daemon.client, daemon.directory, size=2 * GIB, capacity=4 * GIB) as disk:
        subprocess.run(["qemu-img", "convert", "-n", "-f", "raw", "-O", "raw", blank, uri(disk)], check=True)
        for number in range(2):
            layers.append(disk.top)
            disk.snapshot(daemon.directory / f"building{number}")
    before = digests(layers)
    top = store / "top.qcow2"
    with Disk.create(
        daemon.client, daemon.directory, layers=layers, overlay=top, size=3 * GIB, capacity=4 * GIB
    ) as disk:
        disk.snapshot(store / "last.qcow2")
        disk.resize(2 * GIB)
    assert digests(layers) == before
    raw = tmp_path / "out.img"
    subprocess.run(["qemu-img", "convert", "-O", "raw", disk.image().name, raw], check=True)
    assert raw.stat().st_size == 2 * GIB
    done = subprocess.run(["fdisk", "-l", raw], capture_output=True, text=True, check=True)
    assert done.stderr == "" and "1G Linux filesystem" in done.stdout


@pytest.mark.root
def test_a_resumed_disk_is_served_by_fuse(daemon: Any, store: Path, base: Path) -> None:
    layers = build(daemon, store, base, size=64 * MIB)
    with (
        Disk.create(
            daemon.client, daemon.directory, base=base, base_format="raw", layers=layers, size=64 * MIB
        ) as disk,
        disk.fuse().open("r+b") as file,
    ):
        assert file.read(2 * MIB) == b"\x01" * MIB + b"\x02" * MIB
        disk.resize(128 * MIB)
        file.seek(127 * MIB)
        file.write(b"\x07" * MIB)
    qemu_io(disk.image().name, "read -P 7 127M 1M", "read -P 3 16M 1M")


def test_without_a_size_it_is_that_of_the_layers(daemon: Any, store: Path, base: Path) -> None:
    layers = build(daemon, store, base, size=64 * MIB)
    with Disk.create(daemon.client, daemon.directory, base=base, base_format="raw", layers=layers) as disk:
        assert disk.size == 64 * MIB


def test_layers_that_are_none(daemon: Any, store: Path, base: Path) -> None:
    (store / "broken.qcow2").write_bytes(b"no image" * 1024)
    for path, message in ((store / "broken.qcow2", "not in qcow2 format"), (store / "gone.qcow2", "No such file")):
        with pytest.raises(DiskError, match=f"the layers can't be opened: .*{message}") as caught:
            Disk.create(daemon.client, daemon.directory, base=base, base_format="raw", layers=[path], size=64 * MIB)
        assert caught.value.where == str(path)
    Disk.create(daemon.client, daemon.directory, size=MIB).close()  # nothing was left behind
