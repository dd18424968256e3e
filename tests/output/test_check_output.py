"""What would keep a result from being written is known before a build starts, as one clear message."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from configparser import ConfigParser
from pathlib import Path

import pytest

from dib_py.errors import HostError, OutputError, UsageError
from dib_py.extensions import FORMATS, extension
from dib_py.output import check_output, load
from dib_py.settings import Settings


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_leaves_nothing_behind(here: Path) -> None:
    check_output(Settings(image_types=("qcow2", "raw")))
    assert list(here.iterdir()) == []


def test_what_plans_and_completion_know_of_formats_is_what_drivers_say() -> None:
    config = ConfigParser()
    config.read(Path(__file__).parents[2] / "setup.cfg")
    assert sorted(re.findall(r"^(\S+) =", config["options.entry_points"]["dib_py.output"], re.MULTILINE)) == [*FORMATS]
    drivers = load(FORMATS)
    assert [driver.name for driver in drivers] == [*FORMATS]
    assert [driver.suffix for driver in drivers] == [extension(name) for name in FORMATS]


def test_unknown_format_names_the_known_ones() -> None:
    with pytest.raises(UsageError, match="unknown output format 'qcow'") as caught:
        check_output(Settings(image_types=("raw", "qcow")))
    assert caught.value.hint.startswith("did you mean qcow2? there are ")
    assert "raw" in caught.value.hint


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (Settings(image_types=()), "no output format"),
        (Settings(image_types=("raw", "qcow2", "raw")), "asked for twice: raw"),
        (Settings(image_name="some/"), "-o names no file: 'some/'"),
        (Settings(image_name="some/.."), "-o names no file: 'some/..'"),
        (Settings(image_name=".raw", image_types=("raw",)), "-o names no file"),
        (Settings(compress=False, compression="zstd"), "-u and --compression zstd contradict"),
        (Settings(compression="zstd", qemu_img_options="compat=0.10"), "compat=0.10 .* knows no zstd"),
        (Settings(qemu_img_options="compat=0.10,compression_type=zstd"), "compat=0.10 .* knows no zstd"),
        (Settings(compression="zlib", qemu_img_options="compression_type=zstd"), "contradict each other"),
        (Settings(qemu_img_options="backing_file=/etc/shadow"), "backing_file would make an image that needs another"),
        (Settings(qemu_img_options="preallocation=full"), "preallocation and compression exclude"),
        (Settings(qemu_img_options="colour=blue"), "qemu-img refuses .*: .*colour"),
        (Settings(qemu_img_options="cluster_size=3"), "qemu-img refuses .*: .*[Cc]luster size"),
    ],
)
def test_contradictions(settings: Settings, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        check_output(settings)


def test_options_that_go_together() -> None:
    check_output(Settings(compress=False, compression="none"))
    check_output(Settings(compress=False, qemu_img_options="preallocation=metadata,compat=0.10"))


def test_missing_directory() -> None:
    with pytest.raises(OutputError, match="the output directory missing does not exist") as caught:
        check_output(Settings(image_name="missing/image"))
    assert caught.value.hint == "mkdir -p missing"


def test_file_for_a_directory(here: Path) -> None:
    (here / "file").touch()
    with pytest.raises(OutputError, match="the output directory file is no directory"):
        check_output(Settings(image_name="file/image"))


def test_directory_in_the_way(here: Path) -> None:
    (here / "image.qcow2").mkdir()
    with pytest.raises(OutputError, match=r"the output image\.qcow2 is a directory"):
        check_output(Settings())


def test_special_file_in_the_way(here: Path) -> None:
    (here / "image.qcow2").symlink_to("/dev/null")
    with pytest.raises(OutputError, match="a device or another special file"):
        check_output(Settings())


@pytest.mark.root
def test_read_only_directory(here: Path) -> None:
    (here / "out").mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "ro", "none", "out"], check=True)
    try:
        with pytest.raises(OutputError, match="the output directory out can't be written: Read-only file system"):
            check_output(Settings(image_name="out/image"))
    finally:
        subprocess.run(["umount", "out"], check=True)


def test_missing_qemu_img(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(here))
    with pytest.raises(HostError, match="qemu-img is not installed"):
        check_output(Settings(image_types=("raw",)))


def test_formats_of_third_parties(here: Path) -> None:
    """A distribution on the path with an entry point in ``dib_py.output`` is all that a format needs."""
    (here / "floppy.py").write_text(
        "class Floppy:\n"
        "    name = 'floppy'\n"
        "    suffix = 'img'\n"
        "    def check(self, settings):\n"
        "        print('asked')\n"
        "    def write(self, source, destination, settings, events): ...\n"
    )
    metadata = here / "floppy-1.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: floppy\nVersion: 1\n")
    (metadata / "entry_points.txt").write_text("[dib_py.output]\nfloppy = floppy:Floppy\n")
    program = "from dib_py.output import *; check_output(Settings(image_types=('floppy', 'raw')))"
    environment = {**os.environ, "PYTHONPATH": str(here), "XDG_CACHE_HOME": str(here / "cache")}
    done = subprocess.run([sys.executable, "-c", program], env=environment, check=True, stdout=subprocess.PIPE)
    assert done.stdout == b"asked\n"


def test_the_way_out_can_be_pasted() -> None:
    with pytest.raises(OutputError, match="the output directory my images does not exist") as caught:
        check_output(Settings(image_name="my images/x"))
    assert caught.value.hint == "mkdir -p 'my images'"


@pytest.mark.parametrize("name", ["n" * 256, "n" * 240, "n" * 256 + "/x"])
def test_a_name_that_is_too_long_for_itself_or_for_what_is_beside_it(name: str, here: Path) -> None:
    with pytest.raises(OutputError, match="can't be written: File name too long"):
        check_output(Settings(image_name=name))
    assert list(here.iterdir()) == []


@pytest.mark.parametrize("kind", ["tar", "squashfs", "docker"])
def test_what_has_an_images_files_is_refused_where_only_its_disk_counts(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=f"-t {kind} has the files of an image, and this is Windows") as raised:
        check_output(Settings(image_types=("qcow2", kind)), "Windows")
    assert raised.value.hint.startswith("qcow2, raw, vmdk")
    check_output(Settings(image_types=("qcow2", "vhdx")), "Windows")
