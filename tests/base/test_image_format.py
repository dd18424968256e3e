"""What a file is, from its bytes alone."""

from __future__ import annotations

import struct
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dib_py.base.image_format import PREFIX, compression, detect, examine, read_prefix
from dib_py.errors import BaseError, HostError


def at(offset: int, data: bytes) -> bytes:
    return bytes(offset) + data + bytes(PREFIX)


@pytest.mark.parametrize("image_format", ["qcow2", "vpc", "vhdx", "vdi"])
def test_images_that_qemu_makes(image_format: str, tmp_path: Path) -> None:
    path = tmp_path / "image"
    subprocess.run(["qemu-img", "create", "-q", "-f", image_format, str(path), "32M"], check=True)
    found, size = examine(path)
    assert found == image_format
    assert 32 * 1024**2 <= size < 33 * 1024**2


@pytest.mark.parametrize(
    "start",
    [
        at(510, b"\x55\xaa"),
        at(512, b"EFI PART"),
        at(4096, b"EFI PART"),
        at(1080, b"\x53\xef"),
        at(0, b"XFSB"),
        at(0x10040, b"_BHRfS_M"),
        at(512, b"LABELONE"),
        at(0, b"LUKS\xba\xbe"),
    ],
)
def test_raw_has_partitions_or_a_filesystem(start: bytes) -> None:
    assert detect(start[:PREFIX]) == "raw"


def test_filesystems_that_are_made(tmp_path: Path) -> None:
    path = tmp_path / "image.raw"
    with path.open("wb") as file:
        file.truncate(4 * 1024**2)
    subprocess.run(["mkfs.ext4", "-q", str(path)], check=True)
    assert examine(path) == ("raw", 4 * 1024**2)


@pytest.mark.parametrize(
    ("start", "what"),
    [
        (b"", "it is empty"),
        (bytes(PREFIX), "it begins with zeros"),
        (b"\n<!DOCTYPE HTML>", "an HTML page"),
        (b"hello " * 100, "no header of a known format"),
        (at(0x8001, b"CD001"), "a CD image"),
        (at(257, b"ustar"), "a tar archive"),
        (b"PK\x03\x04", "a zip archive"),
        (b"# Disk DescriptorFile\n", "the descriptor of a VMDK"),
    ],
)
def test_no_images(start: bytes, what: str) -> None:
    with pytest.raises(BaseError, match=f"is no disk image.*{what}"):
        detect(start)


def test_a_cd_with_a_partition_table_is_still_a_cd() -> None:
    start = bytearray(at(0x8001, b"CD001"))
    start[510:512] = b"\x55\xaa"
    with pytest.raises(BaseError, match="a CD image"):
        detect(bytes(start))


def test_an_image_that_names_a_file_of_this_machine(tmp_path: Path) -> None:
    path = tmp_path / "evil.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", str(path), "1M"], check=True)
    data = bytearray(path.read_bytes())
    name = b"/etc/shadow"
    data[8:20] = struct.pack(">QI", 0x200, len(name))
    data[0x200 : 0x200 + len(name)] = name
    path.write_bytes(data)
    with pytest.raises(BaseError, match="backing file") as caught:
        examine(path)
    assert caught.value.where == str(path)


def test_an_image_with_its_data_elsewhere(tmp_path: Path) -> None:
    subprocess.run(
        ["qemu-img", "create", "-q", "-f", "qcow2", "-o", "data_file=data.raw", "image.qcow2", "1M"],
        cwd=tmp_path,
        check=True,
    )
    with pytest.raises(BaseError, match="another file"):
        examine(tmp_path / "image.qcow2")


def test_a_header_without_an_image(tmp_path: Path) -> None:
    path = tmp_path / "cut.qcow2"
    path.write_bytes(b"QFI\xfb" + struct.pack(">I", 3) + bytes(100))
    with pytest.raises(BaseError, match="is no whole qcow2 image: "):
        examine(path)


def test_a_damaged_image(image: bytes, tmp_path: Path) -> None:
    path = tmp_path / "image.qcow2"
    marked = bytearray(image)
    marked[79] |= 2  # the corrupt bit of the incompatible features
    path.write_bytes(marked)
    with pytest.raises(BaseError, match="is a damaged qcow2 image"):
        examine(path)


@pytest.mark.parametrize("name", ["a:b.qcow2", "nbd:x.qcow2", "json:{}.qcow2"])
def test_a_name_is_no_address(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", str(tmp_path / name), "1M"], check=True)
    assert examine(Path(name)) == ("qcow2", 1024**2)


def test_an_image_that_is_being_written_is_not_called_broken(tmp_path: Path) -> None:
    path = tmp_path / "image.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", str(path), "1M"], check=True)
    with subprocess.Popen(["qemu-io", str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as writer:
        assert writer.stdin is not None and writer.stdout is not None
        writer.stdin.write(b"read 0 512\n")
        writer.stdin.flush()
        writer.stdout.readline()  # it is open, and locked
        with pytest.raises(HostError, match="is in use: another program writes it"):
            examine(path)
        writer.stdin.close()
        writer.stdout.read()


def test_a_machine_that_can_not_look_says_nothing_of_the_image(
    image: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "image.qcow2").write_bytes(image)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(HostError, match="is not installed"):
        examine(tmp_path / "image.qcow2")


def test_a_file_that_can_not_be_read(tmp_path: Path) -> None:
    with pytest.raises(BaseError, match="can't be read"):
        read_prefix(tmp_path)


@given(st.binary(max_size=2048))
def test_any_bytes_are_judged_without_a_crash(start: bytes) -> None:
    compression(start)
    try:
        detect(start)
    except BaseError as error:
        assert "is no disk image" in error.message


def test_an_image_that_was_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "image.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", str(path), "32M"], check=True)
    subprocess.run(["qemu-io", "-c", "write -P 7 0 8M", str(path)], check=True, stdout=subprocess.DEVNULL)
    assert examine(path)[0] == "qcow2"
    with path.open("r+b") as file:
        file.truncate(4 * 1024**2)
    with pytest.raises(BaseError, match="is no whole qcow2 image: its tables lead to data that is not in it"):
        examine(path)
