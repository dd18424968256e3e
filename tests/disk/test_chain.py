"""A chain is what it says it is, and no header can make it another; long ones open fast."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dib_py.disk.chain import Chain
from dib_py.errors import DiskError
from tests.output.chains import qemu_img

KIB = 1024
MIB = 1024**2

Overlay = Callable[..., Path]


def holds(chain: Chain, pattern: int, offset: int, length: int) -> bool:
    argv = ["qemu-io", "-r", "-c", f"read -P {pattern} {offset} {length}", chain.name]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.stdout.startswith("read") or "Pattern" in done.stdout, done.stderr
    return "Pattern verification failed" not in done.stdout


@pytest.fixture
def overlay(tmp_path: Path) -> Overlay:
    """Makes a qcow2 file with a pattern at an offset, whose header calls its backing file what it is told to."""

    def make(
        name: str, backing: str = "", backing_format: str = "qcow2", *, pattern: int = 0, at: int = 0, size: int = MIB
    ) -> Path:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        options = ["-u", "-b", backing, "-F", backing_format] if backing else []
        qemu_img("create", "-q", "-f", "qcow2", *options, path, size)
        if pattern:
            alone = {"driver": "qcow2", "backing": None, "file": {"driver": "file", "filename": str(path)}}
            argv = ["qemu-io", "-c", f"write -q -P {pattern} {at} 64k", f"json:{json.dumps(alone)}"]
            subprocess.run(argv, check=True, stdout=subprocess.DEVNULL)
        return path

    return make


def is_said(chain: Chain) -> list[str]:
    """The files that are named to qemu, from the top down; the headers lead to the others."""
    named = []
    node: Any = chain.node()
    while node:
        named.append(Path(node["file"]["filename"]).name)
        node = node.get("backing")
    return named


def test_headers_that_lead_through_the_chain_are_followed(overlay: Overlay, tmp_path: Path) -> None:
    base = tmp_path / "base.img"
    base.write_bytes(b"\x11" * MIB)
    layers = [
        overlay("1.qcow2", str(base), "raw", pattern=0x22, at=0),
        overlay("2.qcow2", "1.qcow2", pattern=0x33, at=64 * KIB),
        overlay("3.qcow2", "2.qcow2", pattern=0x44, at=128 * KIB),
    ]
    chain = Chain.of(layers, base, "raw")
    assert is_said(chain) == ["3.qcow2"]
    for number, pattern in enumerate((0x22, 0x33, 0x44, 0x11)):
        assert holds(chain, pattern, number * 64 * KIB, 64 * KIB)


@pytest.mark.parametrize(
    ("backing", "backing_format"),
    [
        ("other.qcow2", "qcow2"),
        ("1.qcow2", "raw"),
        ("./1.qcow2", "qcow2"),
        ("nbd://host/1.qcow2", "raw"),
        ("", ""),
        ("gone/1.qcow2", "qcow2"),
    ],
)
def test_a_header_that_leads_elsewhere_counts_for_nothing(overlay: Overlay, backing: str, backing_format: str) -> None:
    overlay("other.qcow2", pattern=0x66)
    layers = [
        overlay("1.qcow2", pattern=0x22),
        overlay("2.qcow2", backing, backing_format, pattern=0x33, at=64 * KIB),
        overlay("3.qcow2", "2.qcow2", pattern=0x44, at=128 * KIB),
    ]
    chain = Chain.of(layers)
    assert is_said(chain) == ["3.qcow2", "2.qcow2", "1.qcow2"]
    assert [holds(chain, pattern, n * 64 * KIB, 64 * KIB) for n, pattern in enumerate((0x22, 0x33, 0x44, 0))]


def test_a_chain_that_ends_does_not_go_on_by_its_last_header(overlay: Overlay) -> None:
    overlay("below.qcow2", pattern=0x55)
    chain = Chain.of([overlay("1.qcow2", "below.qcow2", pattern=0x22, at=64 * KIB), overlay("2.qcow2", "1.qcow2")])
    assert is_said(chain) == ["2.qcow2", "1.qcow2"]
    assert holds(chain, 0, 0, 64 * KIB) and holds(chain, 0x22, 64 * KIB, 64 * KIB)


def test_files_that_moved_are_named(overlay: Overlay, tmp_path: Path) -> None:
    """The usual end of a build: the top is still where it was written, what it lies on was committed."""
    overlay("layers/1.qcow2", pattern=0x22)
    overlay("layers/2.qcow2", "1.qcow2", pattern=0x33, at=64 * KIB)
    frozen = [tmp_path / "build" / "a", tmp_path / "build" / "b", overlay("build/top", "2.qcow2")]
    places = dict(zip(frozen, (tmp_path / "layers/1.qcow2", tmp_path / "layers/2.qcow2"), strict=False))
    chain = Chain.of(frozen).moved(lambda path: places.get(path, path))
    assert is_said(chain) == ["top", "2.qcow2"]
    assert holds(chain, 0x22, 0, 64 * KIB) and holds(chain, 0x33, 64 * KIB, 64 * KIB)


def test_any_name_is_a_file_s_name(overlay: Overlay, tmp_path: Path) -> None:
    layer = overlay("nbd: a,b\"c'é", pattern=0x22)
    assert holds(Chain.of([layer]), 0x22, 0, 64 * KIB)
    out = tmp_path / "out.raw"
    qemu_img("convert", "-O", "raw", Chain.of([layer]).name, out)
    assert out.read_bytes()[: 64 * KIB] == b"\x22" * 64 * KIB


def test_a_base_is_never_guessed(tmp_path: Path) -> None:
    with pytest.raises(DiskError, match="never guessed"):
        Chain.of([], tmp_path / "base")


@pytest.mark.parametrize("moved", [False, True])
def test_a_long_chain_opens(daemon: Any, overlay: Overlay, tmp_path: Path, moved: bool) -> None:
    """150 layers on a base; where the base moved, each file must be named."""
    base = overlay("base.qcow2", pattern=0xEE, at=900 * KIB)
    blank = overlay("blank.qcow2", "x").read_bytes()
    layers = []
    below = "gone/base.qcow2" if moved else str(base)
    for number in range(150):
        layer = tmp_path / f"{number}.qcow2"
        layer.write_bytes(blank)
        qemu_img("rebase", "-u", "-f", "qcow2", "-b", below, "-F", "qcow2", layer)
        layers.append(layer)
        below = layer.name
    chain = Chain.of(layers, base, "qcow2")
    assert len(is_said(chain)) == (151 if moved else 1)
    daemon.client.execute("blockdev-add", node_name="lower", read_only=True, **chain.node())
    assert holds(chain, 0xEE, 900 * KIB, 64 * KIB)
