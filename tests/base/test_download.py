"""Base images from a server on loopback that lies, stalls and cuts off: right in the end, or not used at all."""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import lzma
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dib_py.base import BaseImage, BaseSpec, obtain
from dib_py.base.download import Patience
from dib_py.errors import BaseError
from dib_py.events import Event, Events, Progress
from dib_py.settings import Settings

Publisher = Any  # of conftest.py
HTML = b"<!DOCTYPE html><html><body>Please accept our cookies</body></html>" * 20


@pytest.fixture
def get(publisher: Publisher, settings: Settings, events: Events, patience: Patience) -> Callable[..., BaseImage]:
    """Obtain a file of the publisher's, ``checksum`` being a file of it too or a digest."""

    def obtained(name: str = "debian.qcow2", checksum: str = "", **changes: Any) -> BaseImage:
        where = publisher.url(checksum) if checksum in publisher.files else checksum
        spec = BaseSpec(publisher.url(name), where, "a test")
        return obtain(spec, dataclasses.replace(settings, **changes), events, patience)

    return obtained


Get = Callable[..., BaseImage]


@pytest.fixture(autouse=True)
def published(publisher: Publisher, image: bytes) -> None:
    digest = hashlib.sha512(image).hexdigest()
    publisher.files["debian.qcow2"] = image
    publisher.files["SHA512SUMS"] = f"{digest}  debian.qcow2\n{'0' * 128}  other.qcow2\n".encode()


def cached(settings: Settings) -> list[str]:
    """Names of the files of images in the cache, whole or not."""
    assert settings.cache_dir
    ignored = {"lock", "current.json", "partial.json"}
    files = settings.cache_dir.glob("base/*/**/*")
    return sorted(
        path.name for path in files if path.is_file() and path.name not in ignored and "digests" not in path.parts
    )


def test_verified_by_the_publishers_list(get: Get, image: bytes, publisher: Publisher, seen: list[Event]) -> None:
    base = get(checksum="SHA512SUMS")
    assert base.path.read_bytes() == image
    assert (base.format, base.size, base.verified) == ("qcow2", 16 * 1024**2, True)
    assert base.digest == f"sha256:{hashlib.sha256(image).hexdigest()}"
    [*_, last] = [event for event in seen if isinstance(event, Progress) and event.task == "download debian.qcow2"]
    assert (last.done, last.total) == (len(image), len(image))
    assert "digest debian.qcow2" in {event.task for event in seen if isinstance(event, Progress)}
    assert not [event for event in seen if isinstance(event, Progress) and "partial" in event.task]


def test_unverified_without_a_checksum(get: Get) -> None:
    assert not get().verified


def test_a_weak_checksum_finds_accidents_but_vouches_for_nothing(get: Get, image: bytes) -> None:
    assert not get(checksum=hashlib.md5(image).hexdigest()).verified
    with pytest.raises(BaseError, match="does not have the checksum md5:"):
        get(checksum="md5:" + "0" * 32)


class TestTheCache:
    def test_is_asked_about_and_used(self, get: Get, publisher: Publisher) -> None:
        first, second = get(), get()
        assert first == second
        assert [("If-None-Match" in headers) for headers in publisher.asked("debian.qcow2")] == [False, True]

    def test_with_a_matching_checksum_needs_no_question(self, get: Get, publisher: Publisher) -> None:
        get(checksum="SHA512SUMS")
        get(checksum="SHA512SUMS")
        assert len(publisher.asked("debian.qcow2")) == 1

    def test_follows_the_publisher(self, get: Get, publisher: Publisher, image: bytes) -> None:
        old = get()
        publisher.files["debian.qcow2"] = image + b"\0" * 512
        new = get()
        assert new.path.read_bytes() == image + b"\0" * 512
        assert old.path.read_bytes() == image, "another build may be about to open it"

    def test_offline(self, get: Get, publisher: Publisher) -> None:
        with pytest.raises(BaseError, match="can't be had, and is not in the cache") as caught:
            get(offline=True)
        assert caught.value.hint == "build once without --offline"
        get(checksum="SHA512SUMS")
        publisher.requests.clear()
        assert get(checksum="SHA512SUMS", offline=True).verified
        assert publisher.requests == []

    def test_offline_with_another_checksum(self, get: Get) -> None:
        get()
        with pytest.raises(BaseError, match="does not have the checksum sha256:0000"):
            get(checksum="0" * 64, offline=True)

    def test_stands_in_for_a_server_in_trouble(self, get: Get, publisher: Publisher, said: Callable[[], str]) -> None:
        first = get()
        for _ in range(3):
            publisher.answer(503)
        assert get() == first
        assert "the server answers 503; looking into the cache" in said()

    def test_damaged_is_downloaded_again(self, get: Get, image: bytes, said: Callable[[], str]) -> None:
        with get().path.open("r+b") as file:
            file.seek(70000)
            file.write(b"rot")
        assert get().path.read_bytes() == image
        assert "was damaged in the cache" in said()

    def test_is_shared_by_builds_at_once(self, get: Get, publisher: Publisher, image: bytes) -> None:
        publisher.stall(1000, 0.3)
        found: list[BaseImage] = []
        threads = [threading.Thread(target=lambda: found.append(get(checksum="SHA512SUMS"))) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert [base.path.read_bytes() == image for base in found] == [True] * 3
        whole = [headers for headers in publisher.asked("debian.qcow2") if "Range" not in headers]
        assert len(whole) == 1


def interrupt(get: Get, publisher: Publisher) -> None:
    """A build that gets the first 100,000 bytes and gives up."""
    publisher.cut(100_000)
    publisher.cut(0)
    publisher.cut(0)
    with pytest.raises(BaseError, match="can't be had") as caught:
        get()
    assert "goes on where this one stopped" in caught.value.hint
    publisher.requests.clear()


class TestATransferThatEndsEarly:
    def test_is_resumed(self, get: Get, publisher: Publisher, image: bytes) -> None:
        publisher.cut(100_000)
        publisher.cut(50_000)
        assert get().path.read_bytes() == image
        ranges = [headers.get("Range") for headers in publisher.asked("debian.qcow2")]
        assert ranges == [None, "bytes=100000-", "bytes=150000-"]

    def test_is_resumed_by_the_next_build(self, get: Get, publisher: Publisher, image: bytes) -> None:
        interrupt(get, publisher)
        assert get().path.read_bytes() == image
        assert [headers.get("Range") for headers in publisher.asked("debian.qcow2")] == ["bytes=100000-"]

    def test_begins_again_where_the_server_ignores_ranges(self, get: Get, publisher: Publisher, image: bytes) -> None:
        publisher.ranges = False
        publisher.cut(100_000)
        assert get().path.read_bytes() == image

    def test_begins_again_where_nothing_tells_versions_apart(
        self, get: Get, publisher: Publisher, image: bytes
    ) -> None:
        publisher.validators = False
        publisher.cut(100_000)
        assert get().path.read_bytes() == image
        assert all("Range" not in headers for headers in publisher.asked("debian.qcow2"))

    def test_begins_again_when_the_file_has_changed(self, get: Get, publisher: Publisher, image: bytes) -> None:
        interrupt(get, publisher)
        publisher.files["debian.qcow2"] = changed = image + b"\0" * 512
        assert get().path.read_bytes() == changed

    def test_is_not_mixed_with_another_version(self, get: Get, publisher: Publisher, image: bytes) -> None:
        interrupt(get, publisher)
        publisher.files["debian.qcow2"] = changed = image[:50_000] + bytes(1000) + image[51_000:]
        publisher.rest_of_another_version()
        assert get().path.read_bytes() == changed

    def test_pieces_that_make_the_wrong_whole_are_dropped(
        self, get: Get, publisher: Publisher, image: bytes, settings: Settings, said: Callable[[], str]
    ) -> None:
        interrupt(get, publisher)
        assert settings.cache_dir
        [partial] = settings.cache_dir.glob("base/*/partial")
        partial.write_bytes(b"\xff" * 100_000)
        assert get(checksum="SHA512SUMS").path.read_bytes() == image
        assert "the pieces do not make the right whole" in said()

    def test_that_nobody_took_is_complete(
        self, get: Get, publisher: Publisher, image: bytes, settings: Settings
    ) -> None:
        """The build was killed between the last byte and the renaming."""
        interrupt(get, publisher)
        assert settings.cache_dir
        [partial] = settings.cache_dir.glob("base/*/partial")
        partial.write_bytes(image)
        assert get().path.read_bytes() == image
        [headers] = publisher.asked("debian.qcow2")
        assert "Range" not in headers and "If-None-Match" in headers


class TestAServerThatLies:
    def test_wrong_checksum(self, get: Get, settings: Settings) -> None:
        with pytest.raises(BaseError, match="does not have the checksum sha256:0000"):
            get(checksum="sha256:" + "0" * 64)
        assert cached(settings) == []

    def test_an_html_page(self, get: Get, publisher: Publisher, settings: Settings) -> None:
        publisher.files["debian.qcow2"] = HTML
        with pytest.raises(BaseError, match="is no disk image but an HTML page") as caught:
            get()
        assert caught.value.where.startswith("http")  # not where it would have been in the cache
        assert cached(settings) == []

    def test_an_html_page_does_not_replace_the_cache(self, get: Get, publisher: Publisher, image: bytes) -> None:
        get()
        publisher.answer(200, HTML)
        with pytest.raises(BaseError, match="HTML page"):
            get()
        assert get(offline=True).path.read_bytes() == image

    def test_no_length_and_no_checksum(self, get: Get, publisher: Publisher) -> None:
        publisher.no_length()
        with pytest.raises(BaseError, match="does not say how long the file is"):
            get()

    def test_no_length_but_a_checksum(self, get: Get, publisher: Publisher, image: bytes) -> None:
        digest = hashlib.sha256(image).hexdigest()
        publisher.no_length()
        assert get(checksum=digest).path.read_bytes() == image

    def test_a_part_for_the_whole(self, get: Get, publisher: Publisher) -> None:
        publisher.answer(206, b"abc", Content_Range="bytes 5-7/8")
        with pytest.raises(BaseError, match="sends a part where the whole was asked for"):
            get()

    def test_a_list_without_the_file(self, get: Get, publisher: Publisher) -> None:
        publisher.files["SHA512SUMS"] = b"0" * 128 + b"  debian-12.qcow2\n"
        with pytest.raises(BaseError, match=r"SHA512SUMS lists no debian\.qcow2") as caught:
            get(checksum="SHA512SUMS")
        assert "debian-12.qcow2" in caught.value.hint

    def test_a_page_for_the_list(self, get: Get, publisher: Publisher) -> None:
        publisher.files["SHA512SUMS"] = HTML
        with pytest.raises(BaseError, match="SHA512SUMS is an HTML page"):
            get(checksum="SHA512SUMS")


class TestAServerInTrouble:
    def test_that_recovers(self, get: Get, publisher: Publisher, image: bytes, said: Callable[[], str]) -> None:
        publisher.answer(503, Retry_After="0")
        publisher.answer(429)
        assert get().path.read_bytes() == image
        assert "the server answers 503; trying again" in said()

    def test_that_does_not(self, get: Get, publisher: Publisher, said: Callable[[], str]) -> None:
        for _ in range(9):
            publisher.answer(500)
        with pytest.raises(BaseError, match="can't be had"):
            get()
        assert len(publisher.requests) == 3
        assert "the server answers 500" in said()

    @pytest.mark.parametrize("status", [401, 403, 410])
    def test_a_refusal_is_final(self, get: Get, publisher: Publisher, status: int) -> None:
        publisher.answer(status)
        with pytest.raises(BaseError, match=f"the server answers {status}"):
            get()
        assert len(publisher.requests) == 1

    def test_not_there(self, get: Get, publisher: Publisher) -> None:
        with pytest.raises(BaseError, match=r"/missing\.qcow2 is not there \(404\)"):
            get("missing.qcow2")
        assert len(publisher.requests) == 1

    def test_that_stalls(self, get: Get, publisher: Publisher, image: bytes, said: Callable[[], str]) -> None:
        publisher.stall(100_000, 600)
        started = time.monotonic()
        assert get().path.read_bytes() == image
        assert time.monotonic() - started < 60
        assert "nothing came for 2 s" in said() or "the connection" in said()

    def test_that_trickles(self, get: Get, publisher: Publisher, image: bytes, said: Callable[[], str]) -> None:
        publisher.trickle(30)
        assert get().path.read_bytes() == image
        assert "less than 1024 bytes a second" in said()

    def test_nobody_listens(self, settings: Settings, events: Events, patience: Patience) -> None:
        with pytest.raises(BaseError, match="can't be had"):
            obtain(BaseSpec("http://127.0.0.1:9/x.qcow2", "", "a test"), settings, events, patience)


class TestCompressed:
    @pytest.mark.parametrize("suffix", ["xz", "gz", "zst", "bz2"])
    def test_images_are_unpacked_once(
        self, get: Get, publisher: Publisher, image: bytes, suffix: str, tmp_path: Path
    ) -> None:
        raw = tmp_path / "raw"
        (tmp_path / "in.qcow2").write_bytes(image)
        subprocess.run(["qemu-img", "convert", "-O", "raw", "in.qcow2", "raw"], cwd=tmp_path, check=True)
        with raw.open("r+b") as file:
            file.seek(510)
            file.write(b"\x55\xaa")
        packed = packer(suffix)(raw.read_bytes())
        publisher.files[f"disk.raw.{suffix}"] = packed
        base = get(f"disk.raw.{suffix}", checksum=hashlib.sha256(packed).hexdigest())
        assert (base.path.name, base.format, base.verified) == ("disk.raw", "raw", True)
        assert base.path.read_bytes() == raw.read_bytes()
        assert base.path.stat().st_blocks * 512 < 2 * 1024**2
        assert base.digest == f"sha256:{hashlib.sha256(raw.read_bytes()).hexdigest()}"
        before = base.path.stat().st_ino
        assert get(f"disk.raw.{suffix}").path.stat().st_ino == before

    @pytest.mark.parametrize("suffix", ["xz", "gz", "zst", "bz2"])
    def test_and_cut_off(self, get: Get, publisher: Publisher, image: bytes, suffix: str, settings: Settings) -> None:
        publisher.files[f"disk.{suffix}"] = packer(suffix)(image)[:-20]
        with pytest.raises(BaseError, match="can't be unpacked"):
            get(f"disk.{suffix}")
        publisher.files[f"disk.{suffix}"] = packer(suffix)(image)
        assert get(f"disk.{suffix}").path.read_bytes() == image


def packer(suffix: str) -> Callable[[bytes], bytes]:
    def zstd(data: bytes) -> bytes:
        return subprocess.run(["zstd", "-qc"], input=data, stdout=subprocess.PIPE, check=True).stdout

    def bzip2(data: bytes) -> bytes:
        return subprocess.run(["bzip2", "-c"], input=data, stdout=subprocess.PIPE, check=True).stdout

    return {"xz": lzma.compress, "gz": gzip.compress, "zst": zstd, "bz2": bzip2}[suffix]
