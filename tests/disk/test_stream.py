"""Layers that became one file are the same disk, whatever was written, zeroed, discarded, cut and grown in them."""

from __future__ import annotations

import random
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from dib_py.disk import Disk
from dib_py.disk.chain import Chain
from dib_py.disk.image import header_backing, header_size
from dib_py.disk.stream import stream
from dib_py.errors import DiskError

KIB = 1024
MIB = 1024**2


def qemu_io(image: str, commands: Sequence[str]) -> None:
    argv = ["qemu-io", "-f", "raw", "-d", "unmap", image]
    text = "\n".join(commands) + "\n"
    done = subprocess.run(argv, input=text, capture_output=True, text=True, check=True)
    assert "failed" not in done.stdout + done.stderr, done.stdout + done.stderr


def same(one: Chain, other: Chain) -> bool:
    argv = ["qemu-img", "compare", one.name, other.name]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1), done.stderr
    return done.returncode == 0


def some_layers(daemon: Any, directory: Path, base: Path | None, seed: int) -> list[Path]:
    """Layers of sizes that differ, of which some end within a cluster, each with anything that can be done to it."""
    chance = random.Random(seed)
    layers: list[Path] = []
    origin: dict[str, Any] = {"base": base, "base_format": "qcow2"} if base else {}
    for number in range(6):
        size = max(chance.randrange(2 * MIB, 8 * MIB, 512), 8 * MIB if base and not number else 0)
        layer = directory / f"{number}.qcow2"
        with Disk.create(
            daemon.client, daemon.directory, **origin, layers=layers, overlay=layer, size=size, capacity=8 * MIB
        ) as disk:
            commands = []
            for _ in range(chance.randint(0, 8)):
                length = chance.randrange(512, MIB, 512)
                where = f"{chance.randrange(0, size - length, 512)} {length}"
                write = f"write -P {chance.randrange(1, 255)} {where}"
                commands.append(chance.choice([write, write, f"write -z {where}", f"discard {where}"]))
            qemu_io(f"nbd+unix:///?socket={disk.nbd()}", commands)
        layers.append(layer)
    return layers


@pytest.fixture
def base(tmp_path: Path) -> Path:
    raw, base = tmp_path / "base.raw", tmp_path / "base.qcow2"
    raw.write_bytes(b"\xee" * (8 * MIB))
    subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", raw, base], check=True)
    return base


@pytest.mark.parametrize("seed", range(12))
def test_the_disk_is_the_same(daemon: Any, base: Path, tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    own_base, base_format = (base, "qcow2") if seed % 3 else (None, None)
    layers = some_layers(daemon, tmp_path, own_base, seed)
    first = chance.randrange(0, 5)
    last = chance.randrange(first + 1, 6)
    below, run, above = layers[:first], layers[first : last + 1], layers[last + 1 :]
    merged = tmp_path / "merged.qcow2"
    before = {path: path.read_bytes() for path in layers}
    stream(daemon.client, Chain.of(below, own_base, base_format), run, merged, "what-is-below")

    assert {path: path.read_bytes() for path in layers} == before
    assert header_size(merged) == header_size(run[-1])
    on_nothing = not below and own_base is None
    assert header_backing(merged) == (("", "") if on_nothing else ("what-is-below", "qcow2"))
    assert same(Chain.of([*below, merged], own_base, base_format), Chain.of([*below, *run], own_base, base_format))
    whole = Chain.of([*below, merged, *above], own_base, base_format)
    assert same(whole, Chain.of(layers, own_base, base_format))
    # a kill can leave it on the layers that it holds already
    assert same(
        Chain.of([*layers[:last], merged], own_base, base_format), Chain.of(layers[: last + 1], own_base, base_format)
    )
    subprocess.run(["qemu-img", "check", "-q", Chain.of([merged]).name], check=True)
    Disk.create(daemon.client, daemon.directory, size=MIB).close()  # nothing was left open


def test_it_holds_nothing_of_what_is_below(daemon: Any, base: Path, tmp_path: Path) -> None:
    layers = some_layers(daemon, tmp_path, base, 7)
    merged = tmp_path / "merged.qcow2"
    stream(daemon.client, Chain.of([], base, "qcow2"), layers[:2], merged, str(base))
    content = sum(path.stat().st_blocks * 512 for path in layers[:2])
    assert 0 < merged.stat().st_blocks * 512 <= content < 6 * MIB  # the base has 8 MiB


@pytest.mark.root
def test_a_full_disk_leaves_nothing(daemon: Any, tmp_path: Path) -> None:
    layer = tmp_path / "1.qcow2"
    with Disk.create(daemon.client, daemon.directory, overlay=layer, size=64 * MIB) as disk:
        qemu_io(f"nbd+unix:///?socket={disk.nbd()}", ["write -P 1 0 32M"])
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "none", small], check=True)
    try:
        with pytest.raises(DiskError, match="No space left"):
            stream(daemon.client, Chain(()), [layer], small / "merged", "")
        assert list(small.iterdir()) == []
        stream(daemon.client, Chain(()), [layer], tmp_path / "merged", "")  # nothing was left open
    finally:
        subprocess.run(["umount", small], check=True)


def test_layers_that_are_none(daemon: Any, tmp_path: Path) -> None:
    (tmp_path / "none").write_bytes(b"no image" * 64)
    with pytest.raises(DiskError, match="not in qcow2 format"):
        stream(daemon.client, Chain(()), [tmp_path / "none"], tmp_path / "merged", "")
    assert not (tmp_path / "merged").exists()
    with pytest.raises(DiskError, match="can't be written: No such file"):
        stream(daemon.client, Chain(()), [tmp_path / "none"], tmp_path / "gone" / "merged", "")
