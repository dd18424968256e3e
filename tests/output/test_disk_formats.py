"""Images of the disk in every format: what is in them is the disk, as qemu's own tools and their headers say."""

from __future__ import annotations

import struct
import subprocess
from pathlib import Path

import pytest

from dib_py import output
from dib_py.disk.chain import Chain
from dib_py.errors import UsageError
from dib_py.events import Event, Events, Progress
from dib_py.settings import Settings
from tests.output.chains import MIB, info, make_chain, qemu_img

QEMU = {"qcow2": "qcow2", "raw": "raw", "vdi": "vdi", "vhd": "vpc", "vhd-fixed": "vpc", "vhdx": "vhdx", "vmdk": "vmdk"}
CHECKED = ("qcow2", "vdi", "vhdx", "vmdk")  # qemu-img check knows no others


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Chain:
    return make_chain(tmp_path_factory.mktemp("disk"))


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(disk: Chain, *types: str, **more: object) -> list[Path]:
    settings = Settings(image_types=types, **more)
    output.check_output(settings)
    return output.write_all(disk, settings, Events())


@pytest.mark.parametrize("name", QEMU)
def test_one_format(name: str, disk: Chain, here: Path) -> None:
    [image] = write(disk, name)
    assert qemu_img("compare", "-F", QEMU[name], disk.name, image) == "Images are identical.\n"
    found = info(image, QEMU[name])
    assert "backing-filename" not in found
    assert found["virtual-size"] == 64 * MIB
    if name in CHECKED:
        qemu_img("check", "-q", "-f", QEMU[name], image)


def test_a_name_is_no_address(disk: Chain, here: Path) -> None:
    images = write(disk, "qcow2", "vhd", "raw", image_name="nbd:image")
    assert sorted(map(str, images)) == ["nbd:image.qcow2", "nbd:image.raw", "nbd:image.vhd"]
    for image in images:
        assert qemu_img("compare", "-F", QEMU[image.suffix[1:]], disk.name, here / image) == "Images are identical.\n"


def test_all_at_once_with_raw_read_by_the_others(disk: Chain, here: Path) -> None:
    names = ["qcow2", "vmdk", "vhd", "vhdx", "vdi", "raw"]
    images = write(disk, *names)
    assert [image.name for image in images] == [f"image.{name}" for name in names]
    for name, image in zip(names, images, strict=True):
        assert qemu_img("compare", "-F", QEMU[name], disk.name, image) == "Images are identical.\n"
        assert image.stat().st_mode & 0o777 == 0o644
    assert sorted(path.name for path in here.iterdir()) == sorted(image.name for image in images)


def test_the_chain_is_read_once_where_raw_is_asked_for(
    disk: Chain, here: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path_factory.mktemp("bin") / "log"
    fake = log.with_name("qemu-img")
    fake.write_text(f'#!/bin/sh\necho "$*" >> {log}\nexec /usr/bin/qemu-img "$@"\n')
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{fake.parent}:/usr/bin:/bin")
    output.write_all(disk, Settings(image_types=("qcow2", "vdi", "raw")), Events())
    converted = [line for line in log.read_text().splitlines() if line.startswith("convert ")]
    assert [str(disk.top) in line for line in converted] == [True, False, False]
    assert "-O raw " in converted[0]


class TestVmdk:
    def test_is_one_compressed_stream(self, disk: Chain, here: Path) -> None:
        [image] = write(disk, "vmdk")
        found = info(image, "vmdk")["format-specific"]["data"]
        assert found["create-type"] == "streamOptimized"
        assert image.stat().st_size < MIB  # 2.5 MiB of patterns

    def test_blocks_are_in_the_order_of_the_disk(self, disk: Chain, here: Path) -> None:
        """As readers of a stream need it: each compressed grain begins with its sector and size."""
        [image] = write(disk, "vmdk")
        data = image.read_bytes()
        assert data[:4] == b"KDMV"
        version, flags = struct.unpack_from("<II", data, 4)
        assert (version, flags & 0x30000) == (3, 0x30000)  # compressed grains, with markers
        grain, _, _, _, _, _, overhead = struct.unpack_from("<QQQIQQQ", data, 20)
        sectors, at = [], overhead * 512
        while at < len(data) - 12:
            sector, size = struct.unpack_from("<QI", data, at)
            if size == 0:  # another kind of marker: the grains are over
                break
            sectors.append(sector)
            at += -(-(12 + size) // 512) * 512
        assert sectors == sorted(sectors)
        assert sectors[0] == 0 and 8 * MIB // 512 in sectors
        assert all(sector % grain == 0 for sector in sectors)

    def test_another_single_file_may_be_asked_for(self, disk: Chain, here: Path) -> None:
        [image] = write(disk, "vmdk", qemu_img_options="subformat=monolithicSparse,adapter_type=lsilogic")
        assert info(image, "vmdk")["format-specific"]["data"]["create-type"] == "monolithicSparse"
        assert b'ddb.adapterType = "lsilogic"' in image.read_bytes()[: 64 * 1024]

    @pytest.mark.parametrize("subformat", ["monolithicFlat", "twoGbMaxExtentSparse", "twoGbMaxExtentFlat"])
    def test_several_files_may_not(self, subformat: str, here: Path) -> None:
        with pytest.raises(UsageError, match="makes more than one file"):
            output.check_output(Settings(image_types=("vmdk",), qemu_img_options=f"subformat={subformat}"))


class TestVhd:
    """The footer of the format's specification, in the last 512 bytes."""

    def footer(self, image: Path) -> tuple[bytes, int, int]:
        """Cookie, size of the disk, and the kind: 2 is fixed, 3 is growing."""
        data = image.read_bytes()[-512:]
        checksum = struct.unpack_from(">I", data, 64)[0]
        assert checksum == ~(sum(data) - sum(data[64:68])) & 0xFFFFFFFF
        return data[:8], struct.unpack_from(">Q", data, 48)[0], struct.unpack_from(">I", data, 60)[0]

    def test_grows(self, disk: Chain, here: Path) -> None:
        [image] = write(disk, "vhd")
        assert self.footer(image) == (b"conectix", 64 * MIB, 3)
        assert image.stat().st_size < 16 * MIB

    def test_fixed_is_the_disk_and_a_footer(self, disk: Chain, here: Path) -> None:
        [image] = write(disk, "vhd-fixed")
        assert image.name == "image.vhd"
        assert self.footer(image) == (b"conectix", 64 * MIB, 2)
        assert image.stat().st_size == 64 * MIB + 512
        assert image.stat().st_blocks * 512 < 8 * MIB  # holes

    def test_fixed_by_an_option(self, disk: Chain, here: Path) -> None:
        [image] = write(disk, "vhd", qemu_img_options="subformat=fixed")
        assert self.footer(image) == (b"conectix", 64 * MIB, 2)

    @pytest.mark.parametrize("name", ["vhd", "vhd-fixed"])
    @pytest.mark.parametrize("odd", [512, MIB - 512, 3 * MIB // 2])
    def test_a_disk_has_whole_mebibytes_as_azure_requires(
        self, name: str, odd: int, here: Path, tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        """A size that cylinders, heads and sectors can't say; what is beyond the disk is zero."""
        size = 50 * MIB + odd
        chain = make_chain(tmp_path_factory.mktemp("odd"), size)
        [image] = write(chain, name)
        whole = -(-size // MIB) * MIB
        assert self.footer(image)[1] == whole
        assert info(image, "vpc")["virtual-size"] == whole
        said = qemu_img("compare", "-F", "vpc", chain.name, image)
        assert said.splitlines()[-1] == "Images are identical."

    def test_one_name_for_two_images_is_refused(self, here: Path) -> None:
        with pytest.raises(UsageError, match=r"the output formats vhd and vhd-fixed would both be image\.vhd"):
            output.check_output(Settings(image_types=("vhd", "vhd-fixed")))

    def test_a_contradiction(self, here: Path) -> None:
        with pytest.raises(UsageError, match=r"vhd-fixed and subformat=dynamic .* contradict"):
            output.check_output(Settings(image_types=("vhd-fixed",), qemu_img_options="subformat=dynamic"))

    def test_a_disk_that_the_format_can_not_hold_is_refused_before_the_build(self, here: Path) -> None:
        with pytest.raises(UsageError, match="qemu-img refuses the options for vhd"):
            output.check_output(Settings(image_types=("vhd",), image_size=3 * 1024**4))


class TestOptions:
    def test_each_goes_to_the_formats_that_know_it(self, disk: Chain, here: Path) -> None:
        options = "compat=0.10,adapter_type=lsilogic,static=on"
        qcow2, vmdk, vdi = write(disk, "qcow2", "vmdk", "vdi", qemu_img_options=options)
        assert info(qcow2, "qcow2")["format-specific"]["data"]["compat"] == "0.10"
        assert b'ddb.adapterType = "lsilogic"' in vmdk.read_bytes()[: 64 * 1024]
        assert vdi.stat().st_size > 64 * MIB

    def test_one_that_no_format_knows_is_refused(self, here: Path) -> None:
        with pytest.raises(UsageError, match=r"qemu-img refuses the options for qcow2: .*colour"):
            output.check_output(Settings(image_types=("qcow2", "vmdk"), qemu_img_options="colour=blue"))

    @pytest.mark.parametrize("name", ["vmdk", "qcow2"])
    def test_no_image_needs_another_file(self, name: str, here: Path) -> None:
        with pytest.raises(UsageError, match="backing_file would make an image that needs another"):
            output.check_output(Settings(image_types=(name, "vdi"), qemu_img_options="backing_file=/etc/shadow"))

    @pytest.mark.parametrize("name", ["qcow2", "vmdk", "vhd", "vhdx", "vdi"])
    def test_the_size_is_not_one_of_them(self, name: str, here: Path) -> None:
        with pytest.raises(UsageError, match="takes no size"):
            output.check_output(Settings(image_types=(name,), qemu_img_options="size=1G"))

    def test_a_value_with_a_comma_stays_one(self) -> None:
        from dib_py.output.qemu_options import arguments, parse

        assert parse("a=x,,y,b") == {"a": "x,y", "b": "on"}
        assert arguments({"a": "x,y", "b": "on"}) == ["-o", "a=x,,y,b=on"]


def test_an_error_in_one_ends_the_others(
    disk: Chain, here: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one for vdi would tell of its progress for a minute; the one for vhdx fails at once."""
    fake = tmp_path_factory.mktemp("bin") / "qemu-img"
    fake.write_text(
        "#!/bin/bash\n"
        'case "$*" in\n'
        '*"-O vdi"*) for percent in {1..99}; do echo -n "    ($percent.00/100%)"; sleep 0.6; done; exit 1;;\n'
        '*"-O vhdx"*) echo "qemu-img: No space left on device" >&2; exit 1;;\n'
        "esac\n"
        'exec /usr/bin/qemu-img "$@"\n'
    )
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{fake.parent}:/usr/bin:/bin")
    seen: list[Event] = []
    with pytest.raises(output.OutputError, match=r"the vhdx image can't be written: .*No space left"):
        output.write_all(disk, Settings(image_types=("vdi", "vhdx", "qcow2")), Events(seen.append))
    assert not [event for event in seen if isinstance(event, Progress) and "vdi" in event.task and event.done > 10]
    assert list(here.iterdir()) == []


def test_the_disk_is_not_written_to(disk: Chain, here: Path) -> None:
    def sums() -> str:
        files = [str(file.path) for file in disk.files]
        return subprocess.run(["sha256sum", *files], check=True, capture_output=True, text=True).stdout

    before = sums()
    write(disk, "qcow2", "vhd", "vmdk")
    assert sums() == before
