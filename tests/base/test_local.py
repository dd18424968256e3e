"""Base images that are files of this machine."""

from __future__ import annotations

import gzip
import hashlib
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from dib_py.base import BaseImage, BaseSpec, obtain
from dib_py.digest import TICK
from dib_py.errors import BaseError
from dib_py.events import Event, Events, Progress
from dib_py.settings import Settings

Get = Callable[..., BaseImage]


@pytest.fixture
def get(settings: Settings, events: Events) -> Get:
    return lambda location, checksum="": obtain(BaseSpec(str(location), checksum, "--base"), settings, events)


@pytest.fixture
def file(tmp_path: Path, image: bytes) -> Path:
    path = tmp_path / "debian image.qcow2"
    path.write_bytes(image)
    return path


def test_a_path_and_its_address_are_the_same(get: Get, file: Path, image: bytes) -> None:
    base = get(file)
    assert (base.path, base.verified) == (file, False)
    assert base.digest == f"sha256:{hashlib.sha256(image).hexdigest()}"
    assert get(file.as_uri()).path == file


def test_verified_by_a_digest_or_a_list(get: Get, file: Path, image: bytes, tmp_path: Path) -> None:
    digest = hashlib.sha256(image).hexdigest()
    sums = tmp_path / "SHA256SUMS"
    sums.write_text(f"{digest}  {file.name}\n")
    assert get(file, digest).verified
    assert get(file, str(sums)).verified
    assert get(file, sums.as_uri()).verified


def test_another_checksum(get: Get, file: Path) -> None:
    with pytest.raises(BaseError, match="does not have the checksum sha256:0000"):
        get(file, "0" * 64)


def test_a_checksum_file_that_is_not_there(get: Get, file: Path) -> None:
    with pytest.raises(BaseError, match="neither a digest nor a file that can be read"):
        get(file, "SUMS.missing")


def test_not_there(get: Get, tmp_path: Path) -> None:
    with pytest.raises(BaseError, match="missing does not exist") as caught:
        get(tmp_path / "missing")
    assert caught.value.hint == "asked for by --base"
    with pytest.raises(BaseError, match="is no file"):
        get(tmp_path)
    with pytest.raises(BaseError, match="names a file of another machine"):
        get("file://elsewhere/x.qcow2")


def test_no_disk_image(get: Get, tmp_path: Path) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("buy milk\n" * 1000)
    with pytest.raises(BaseError, match="is no disk image") as caught:
        get(file)
    assert caught.value.where == str(file)


def test_compressed(get: Get, tmp_path: Path, image: bytes) -> None:
    file = tmp_path / "debian.qcow2.gz"
    file.write_bytes(gzip.compress(image))
    base = get(file, hashlib.sha256(file.read_bytes()).hexdigest())
    assert (base.path.name, base.format, base.verified) == ("debian.qcow2", "qcow2", True)
    assert base.path.read_bytes() == image


def test_what_is_unpacked_is_told_by_its_own_name(get: Get, image: bytes, tmp_path: Path, seen: list[Event]) -> None:
    file = tmp_path / "debian.qcow2.gz"
    file.write_bytes(gzip.compress(image))
    get(file)
    told = {event.task for event in seen if isinstance(event, Progress)}
    assert told == {"digest debian.qcow2.gz", "digest debian.qcow2"}


def test_a_compressed_page(get: Get, tmp_path: Path) -> None:
    file = tmp_path / "page.gz"
    file.write_bytes(gzip.compress(b"<html>hello</html>"))
    with pytest.raises(BaseError, match="an HTML page"):
        get(file)


def test_the_digest_is_remembered_until_the_file_changes(get: Get, file: Path, seen: list[Event]) -> None:
    time.sleep(TICK + 0.1)
    first = get(file)
    seen.clear()
    assert get(file) == first
    assert not [event for event in seen if isinstance(event, Progress)]
    with file.open("ab") as opened:
        opened.write(bytes(512))
    assert get(file).digest != first.digest
