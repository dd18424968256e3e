"""The digest of what a guest can see: the same for one disk however it is written down, another for another disk."""

from __future__ import annotations

import hashlib
import os
import subprocess
import time
from pathlib import Path

import pytest

from dib_py import digest
from dib_py.digest import Memory
from dib_py.errors import DiskError
from dib_py.process import run
from dib_py.verify import content
from dib_py.verify.content import BLOCK, content_digest

MIB = 1024**2
SIZE = 8 * MIB + 512  # the last block is not a whole one


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    """A raw disk with data at both ends, a hole between, and zeros that take room."""
    path = tmp_path / "disk.raw"
    with path.open("wb") as file:
        file.write(os.urandom(BLOCK + 700))
        file.seek(3 * MIB + 5)
        file.write(b"in the middle of a block")
        file.seek(5 * MIB)
        file.write(bytes(MIB))
        file.seek(SIZE - 3)
        file.write(b"end")
    return path


def of(path: Path, image_format: str) -> str:
    return content_digest(path, image_format, Memory(None))


def converted(disk: Path, image_format: str, *options: str) -> Path:
    made = disk.with_name(f"{len(list(disk.parent.iterdir()))}.{image_format}")
    run(["qemu-img", "convert", "-f", "raw", "-O", image_format, *options, disk, made])
    return made


@pytest.mark.parametrize(
    ("image_format", "options"),
    [
        ("qcow2", []),
        ("qcow2", ["-c", "-o", "compression_type=zstd"]),
        ("qcow2", ["-S", "0"]),
        ("qcow2", ["-o", "cluster_size=4k"]),
        ("vdi", []),
        ("vhdx", []),
    ],
)
def test_one_disk_has_one_digest(disk: Path, image_format: str, options: list[str]) -> None:
    assert of(converted(disk, image_format, *options), image_format) == of(disk, "raw")


def test_the_digest_is_what_its_definition_says(disk: Path) -> None:
    """Worked out from the file's bytes, so that another version of this code has to keep to it."""
    known = hashlib.blake2b(SIZE.to_bytes(8, "big"), digest_size=32)
    content = disk.read_bytes()
    for number, start in enumerate(range(0, SIZE, BLOCK)):
        block = content[start : start + BLOCK]
        if block.strip(b"\0"):
            known.update(number.to_bytes(8, "big") + block)
    # qemu rounds the size of a raw disk up to sectors, which SIZE is already
    assert of(disk, "raw") == f"blake2b:{known.hexdigest()}"


@pytest.mark.parametrize("offset", [0, 3 * MIB, 5 * MIB + 1, 7 * MIB, SIZE - 1])
def test_a_single_bit_makes_another(disk: Path, offset: int) -> None:
    before = of(disk, "raw")
    with disk.open("r+b") as file:
        file.seek(offset)
        (byte,) = file.read(1)
        file.seek(offset)
        file.write(bytes([byte ^ 1]))
    assert of(disk, "raw") != before


def test_the_size_and_the_place_of_data_count(tmp_path: Path) -> None:
    made = {}
    for name, start, size in (("one", 0, MIB), ("moved", BLOCK, MIB), ("larger", 0, 2 * MIB)):
        path = tmp_path / name
        with path.open("wb") as file:
            file.seek(start)
            file.write(b"x" * BLOCK)
            file.truncate(size)
        made[of(path, "raw")] = name
    assert len(made) == 3


def test_an_image_that_was_read_is_remembered(disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(digest, "TICK", -1.0)  # or the file would be too young
    first = content_digest(disk, "raw", Memory(tmp_path / "memory"))
    monkeypatch.setenv("PATH", "")  # nothing can read it now
    assert content_digest(disk, "raw", Memory(tmp_path / "memory")) == first


def test_what_refers_to_another_file_is_not_opened(disk: Path) -> None:
    overlay = disk.with_name("overlay.qcow2")
    run(["qemu-img", "create", "-q", "-f", "qcow2", "-b", disk, "-F", "raw", overlay])
    with pytest.raises(DiskError, match="backing file"):
        of(overlay, "qcow2")


@pytest.mark.parametrize("left", [100, 400_000])  # bytes: of the header, and of the data
def test_an_image_that_was_cut_off_has_no_digest_and_leaves_no_process(tmp_path: Path, left: int) -> None:
    disk = tmp_path / "disk.raw"
    disk.write_bytes(os.urandom(MIB // 2).hex().encode())
    image = converted(disk, "qcow2", "-c")
    os.truncate(image, left)
    with pytest.raises(DiskError, match="can't be read"):
        of(image, "qcow2")
    found = subprocess.run(["pgrep", "-f", str(image)], capture_output=True, text=True, check=False).stdout
    assert not found


def test_reading_has_its_time_and_tells_how_far_it_is(disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DiskError, match="longer than the verification may"):
        content_digest(disk, "raw", Memory(None), deadline=time.monotonic() - 1)
    told: list[tuple[int, int]] = []
    monkeypatch.setattr(content, "_TOLD", MIB)
    size = disk.stat().st_size
    content_digest(disk, "raw", Memory(None), told=lambda done, total: told.append((done, total)))
    assert told and all(0 < done < total == size for done, total in told) and told == sorted(told)
