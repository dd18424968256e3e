"""Whole results from a real chain of overlays: what is in them, what is beside them, what failure leaves."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from dib_py import output
from dib_py.disk.chain import Chain
from dib_py.errors import OutputError
from dib_py.events import Event, Events, OutputWritten, Progress
from dib_py.settings import Settings
from tests.output.chains import MIB, qemu_img


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Chain:
    """A chain: a base with a pattern at 0, an overlay with another at 8 MiB."""
    directory = tmp_path_factory.mktemp("disk")
    base, top = directory / "base.qcow2", directory / "top.qcow2"
    qemu_img("create", "-q", "-f", "qcow2", base, "64M")
    subprocess.run(["qemu-io", "-f", "qcow2", "-c", "write -q -P 0x11 0 1M", base], check=True)
    qemu_img("create", "-q", "-f", "qcow2", "-b", base.name, "-F", "qcow2", top)
    subprocess.run(["qemu-io", "-f", "qcow2", "-c", "write -q -P 0x22 8M 1M", top], check=True)
    return Chain.of([base, top])


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def info(path: Path) -> dict[str, object]:
    found = json.loads(qemu_img("info", "--output=json", path))
    return {**found, **found.get("format-specific", {}).get("data", {})}


def test_qcow2_holds_the_chain_and_needs_no_other_file(disk: Chain, here: Path) -> None:
    seen: list[Event] = []
    settings = Settings(image_name="debian")
    output.check_output(settings)
    [image] = output.write_all(disk, settings, Events(seen.append))

    assert image == Path("debian.qcow2")
    assert qemu_img("compare", "-F", "qcow2", disk.name, image) == "Images are identical.\n"
    found = info(image)
    assert "backing-filename" not in found
    assert found["compression-type"] == "zstd"
    assert names(here) == ["debian.qcow2"]
    [written] = [event for event in seen if isinstance(event, OutputWritten)]
    assert (written.path, written.format, written.bytes) == ("debian.qcow2", "qcow2", image.stat().st_size)
    assert [event.done for event in seen if isinstance(event, Progress)][-1] == 100


@pytest.mark.parametrize(
    ("settings", "compat", "compression"),
    [
        (Settings(compression="zlib"), "1.1", "zlib"),
        (Settings(qemu_img_options="compat=0.10"), "0.10", "zlib"),
        (Settings(qemu_img_options="compression_type=zlib"), "1.1", "zlib"),
        (Settings(qemu_img_options="cluster_size=128k,lazy_refcounts"), "1.1", "zstd"),
    ],
)
def test_compression_follows_the_options(
    disk: Chain, here: Path, settings: Settings, compat: str, compression: str
) -> None:
    output.check_output(settings)
    [image] = output.write_all(disk, settings, Events())
    found = info(image)
    assert (found["compat"], found.get("compression-type", "zlib")) == (compat, compression)
    assert image.stat().st_size < MIB  # 2 MiB of patterns: compressed in every case


@pytest.mark.parametrize("settings", [Settings(compress=False), Settings(compression="none")])
def test_uncompressed(disk: Chain, here: Path, settings: Settings) -> None:
    [image] = output.write_all(disk, settings, Events())
    assert image.stat().st_size > 2 * MIB


def test_two_types_with_checksums(disk: Chain, here: Path) -> None:
    (here / "out").mkdir()
    settings = Settings(image_name="out/debian", image_types=("raw", "qcow2"), checksum=("md5", "sha256"))
    images = output.write_all(disk, settings, Events())

    assert images == [Path("out/debian.raw"), Path("out/debian.qcow2")]
    raw = images[0].read_bytes()
    assert len(raw) == 64 * MIB
    assert raw[:MIB] == b"\x11" * MIB and raw[8 * MIB : 9 * MIB] == b"\x22" * MIB
    assert images[0].stat().st_blocks * 512 < 3 * MIB
    for image in images:
        for kind in ("md5", "sha256"):
            digest = hashlib.new(kind, image.read_bytes()).hexdigest()
            assert Path(f"{image}.{kind}").read_text() == f"{digest}  {image}\n"
        subprocess.run(["sha256sum", "--quiet", "-c", f"{image}.sha256"], check=True)
    assert len(names(here / "out")) == 6


def test_one_type_in_the_name_is_cut(disk: Chain, here: Path) -> None:
    output.write_all(disk, Settings(image_name="debian.raw", image_types=("raw",)), Events())
    assert names(here) == ["debian.raw"]


def test_results_have_the_rights_that_the_umask_gives(disk: Chain, here: Path) -> None:
    before = os.umask(0o027)
    try:
        [image] = output.write_all(disk, Settings(), Events())
    finally:
        os.umask(before)
    assert image.stat().st_mode & 0o777 == 0o640


class TestAnExistingImage:
    @pytest.fixture(autouse=True)
    def old(self, here: Path) -> None:
        (here / "image.qcow2").write_text("old")
        (here / "image.qcow2.md5").write_text("old sum")
        (here / "image.qcow2.verdict.json").write_text("old verdict")

    def test_is_replaced_with_what_is_told_of_it(self, disk: Chain, here: Path) -> None:
        output.write_all(disk, Settings(), Events())
        assert names(here) == ["image.qcow2"]
        assert info(here / "image.qcow2")["format"] == "qcow2"

    def test_is_moved_aside_with_what_is_told_of_it(self, disk: Chain, here: Path) -> None:
        output.write_all(disk, Settings(overwrite=False, checksum=("sha256",)), Events())
        moved, sums, verdict, *new = names(here)
        assert re.fullmatch(r"image-\d{4}\.\d\d\.\d\d-\d\d\.\d\d\.\d\d\.qcow2", moved)
        assert (here / moved).read_text() == "old"
        assert sums == f"{moved}.md5" and (here / sums).read_text() == "old sum"
        assert verdict == f"{moved}.verdict.json" and (here / verdict).read_text() == "old verdict"
        assert new == ["image.qcow2", "image.qcow2.sha256"]

    def test_stays_when_the_new_one_fails(
        self, disk: Chain, here: Path, tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        broken = tmp_path_factory.mktemp("broken") / "top.qcow2"
        broken.write_bytes(b"no image" * 1024)
        with pytest.raises(OutputError, match="the raw image can't be written: qemu-img: ") as caught:
            output.write_all(Chain.of([broken]), Settings(image_types=("raw",)), Events())
        assert str(broken) in str(caught.value) and "json:" not in str(caught.value)
        assert names(here) == ["image.qcow2", "image.qcow2.md5", "image.qcow2.verdict.json"]

    def test_leaves_the_verdict_of_the_new_one(self, disk: Chain, here: Path) -> None:
        def judge(images: Sequence[output.Written]) -> Path:
            [image] = images
            Path(f"{image.destination}.verdict.json").write_text("new verdict")
            return image.destination

        output.write_all(disk, Settings(), Events(), judge=judge)
        assert names(here) == ["image.qcow2", "image.qcow2.verdict.json"]
        assert (here / "image.qcow2.verdict.json").read_text() == "new verdict"


def test_one_failing_type_keeps_the_other_from_its_name(disk: Chain, here: Path, fake_qemu_img: None) -> None:
    with pytest.raises(OutputError, match=r"the raw image can't be written: .*No space left on device") as caught:
        output.write_all(disk, Settings(image_types=("qcow2", "raw"), checksum=("md5",)), Events())
    assert "free space" in caught.value.hint
    assert names(here) == []


@pytest.fixture
def fake_qemu_img(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """A qemu-img that finds the disk full when it writes raw."""
    binary = tmp_path_factory.mktemp("bin") / "qemu-img"
    binary.write_text(
        "#!/bin/sh\n"
        'case "$*" in *"-O raw"*) echo "qemu-img: error while writing: No space left on device" >&2; exit 1;; esac\n'
        'exec /usr/bin/qemu-img "$@"\n'
    )
    binary.chmod(0o755)
    monkeypatch.setenv("PATH", f"{binary.parent}:{os.environ['PATH']}")


def test_a_build_says_what_a_file_is_called_until_it_is_whole(disk: Chain, here: Path) -> None:
    named: list[Path] = []

    def naming(final: Path) -> Path:
        named.append(final)
        return final.with_name(f"unfinished-{final.name}")

    output.write_all(disk, Settings(checksum=("md5",)), Events(), naming)
    assert named == [Path("image.qcow2"), Path("image.qcow2.md5")]
    assert names(here) == ["image.qcow2", "image.qcow2.md5"]
