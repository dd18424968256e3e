"""Images read in the appliance: what is in them, what state they are in, and what can't be booted here."""

from __future__ import annotations

import os
import struct
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dib_py.errors import DiskError
from dib_py.target.guestfs_appliance import load_bindings
from dib_py.target.probe import kvm_works
from dib_py.verify.checks import Unreachable
from dib_py.verify.limits import TCG
from dib_py.verify.offline import Offline
from dib_py.verify.result import Outcome, Stage
from dib_py.windows.hive import Value
from dib_py.windows.new_hive import hive
from tests.verify.verifying import checks, verdict_of, with_outcome

pytestmark = [pytest.mark.slow, pytest.mark.appliance]

MIB = 1024**2
X86_64, AARCH64 = 62, 183
LIMITS = replace(TCG, login=300, silence=60, total=900)
PLACES = {"efi": (1, 34), "root": (35, 48), "var": (83, 16)}  # in MiB: start and size
SIZE = 100
_TYPES = {"efi": "U", "root": "L", "var": "L"}
STATE, GENERALIZED = r"Microsoft\Windows\CurrentVersion\Setup\State", "IMAGE_STATE_GENERALIZE_RESEAL_TO_OOBE"


def program(machine: int) -> bytes:
    """The first bytes of one for this kind of processor."""
    return b"\x7fELF\x02\x01\x01".ljust(16, b"\0") + struct.pack("<HH", 3, machine) + b"\0" * 44


def linux(path: Path, machine: int = X86_64) -> Path:
    """An image with an EFI system partition, a root and a filesystem of its own for /var; made without root."""
    root, var = path.with_name(f"{path.name}.root"), path.with_name(f"{path.name}.var")
    for directory in (root / "etc/ssh", root / "bin", root / "var", root / "boot/efi", root / "tmp", var / "log/apt"):
        directory.mkdir(parents=True)
    (root / "etc/os-release").write_text('ID=debian\nVERSION_ID="12"\n')
    (root / "etc/fstab").write_text("LABEL=root / ext4 defaults 0 1\nLABEL=var /var ext4 defaults 0 2\n")
    (root / "etc/machine-id").touch()
    (root / "etc/hosts").write_text("127.0.0.1 inside\n")
    (root / "etc/escape").symlink_to("../../../../../../etc/hosts")
    (root / "etc/resolv.conf").symlink_to("/run/nowhere")
    (root / "bin/sh").write_bytes(program(machine))
    os.mkfifo(root / "etc/pipe")
    (var / "log/empty.log").touch()
    (var / "log/apt/history.log").write_text("built\n")
    with path.open("wb") as file:
        file.truncate(SIZE * MIB)
    table = "".join(f"start={start}MiB, size={size}MiB, type={_TYPES[n]}\n" for n, (start, size) in PLACES.items())
    _run(["sfdisk", "--quiet", path], input=f"label: gpt\n{table}")
    parts = {name: path.with_name(f"{path.name}.{name}.part") for name in PLACES}
    for name, part in parts.items():
        with part.open("wb") as file:
            file.truncate(PLACES[name][1] * MIB)
    _run(["mkfs.vfat", "-n", "EFI", parts["efi"]])
    # without checksums, so that a test can write a flag into the superblock
    ext4 = ["mkfs.ext4", "-q", "-O", "^metadata_csum"]
    _run([*ext4, "-L", "root", "-d", root, parts["root"]])
    _run([*ext4, "-L", "var", "-d", var, parts["var"]])
    with path.open("r+b") as file:
        for name, part in parts.items():
            file.seek(PLACES[name][0] * MIB)
            file.write(part.read_bytes())
            part.unlink()
    return path


def windows(path: Path) -> Path:
    """An NTFS that holds what tells a Windows, under names in the case that Windows has given them."""
    with path.open("wb") as file:
        file.truncate(64 * MIB)
    handle = load_bindings().GuestFS(python_return_dict=True)
    try:
        handle.set_backend("direct")
        if not kvm_works().works:
            handle.set_backend_setting("force_tcg", "1")
        handle.add_drive_opts(str(path), format="raw")
        handle.launch()
        handle.part_disk("/dev/sda", "mbr")
        handle.mkfs("ntfs", "/dev/sda1")
        handle.mount("/dev/sda1", "/")
        _write(handle, "/WINDOWS/system32/NTOSKRNL.EXE", _nt_program(0xAA64))
        _write(handle, "/WINDOWS/system32/config/SOFTWARE", hive({STATE: [Value.string("ImageState", GENERALIZED)]}))
        _write(handle, "/Windows.old/hello.txt", b"hello")
        _write(handle, "/hiberfil.sys", b"\0" * 4096)
        handle.shutdown()
    finally:
        handle.close()
    return path


def _nt_program(machine: int) -> bytes:
    return b"MZ".ljust(0x3C, b"\0") + struct.pack("<I", 0x80) + b"\0" * 0x40 + b"PE\0\0" + struct.pack("<H", machine)


def _write(handle: Any, path: str, data: bytes) -> None:
    handle.mkdir_p(str(Path(path).parent))
    handle.write(path, data)


def _run(argv: list[str | Path], input: str = "") -> None:
    subprocess.run(argv, input=input, text=True, check=True, capture_output=True)


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Offline]]:
    directory = tmp_path_factory.mktemp("offline")
    image = linux(directory / "image.raw")
    with Offline(image, "raw", directory, kvm=kvm_works().works, limit=120) as offline:
        yield image, offline


def test_what_is_in_an_image(opened: tuple[Path, Offline]) -> None:
    image, offline = opened
    before = image.read_bytes()
    reader = offline.image()
    assert (reader.system, reader.arch, reader.problem) == ("linux", "x86_64", "")
    seen = {one.path: (one.fstype, one.label, one.state.clean) for one in reader.filesystems}
    assert seen == {"/": ("ext4", "root", True), "/var": ("ext4", "var", True), "": ("vfat", "EFI", True)}
    assert reader.read("/etc/os-release").startswith(b"ID=debian")
    assert reader.listing("/etc/ssh") == [] and "fstab" in reader.listing("/etc")
    assert [(file.path, file.size) for file in reader.files("/var/log")] == [
        ("/var/log/apt/history.log", 6),
        ("/var/log/empty.log", 0),
    ]
    assert reader.exists("/etc/machine-id") and not reader.exists("/etc/nothing")
    assert reader.link("/etc/resolv.conf") == "/run/nowhere" and reader.link("/etc/hosts") == ""
    assert reader.exists("/etc/resolv.conf")
    assert reader.read("/etc/escape") == b"127.0.0.1 inside\n"  # not this machine's
    for path in ("/etc/pipe", "/etc/nothing", "/etc/ssh", "/etc/resolv.conf"):
        with pytest.raises(FileNotFoundError):
            reader.read(path)
    for missing in ("/srv/nothing", "/etc/hosts"):
        with pytest.raises(FileNotFoundError):
            reader.listing(missing)
        with pytest.raises(FileNotFoundError):
            reader.files(missing)
    assert image.read_bytes() == before


def test_the_state_of_a_machines_disk(opened: tuple[Path, Offline]) -> None:
    image, offline = opened
    disk = image.with_name("after.qcow2")
    _run(["qemu-img", "create", "-q", "-f", "qcow2", "-b", image, "-F", "raw", disk, "200M"])
    place = PLACES["root"][0] * MIB + 1024 + 0x60  # incompatible features, of which needs_recovery becomes one
    with image.open("rb") as file:
        file.seek(place)
        (features,) = file.read(1)
    _run(["qemu-io", "-f", "qcow2", "-c", f"write -P {features | 4} {place} 1", disk])
    before = disk.read_bytes()
    reader = offline.attach(disk)
    states = {one.path: one.state for one in reader.filesystems}
    assert states["/"].why == "its journal must be replayed (needs_recovery)"
    assert states["/var"].clean and not states["/"].clean
    assert reader.read("/etc/hosts") == b"127.0.0.1 inside\n"
    assert disk.read_bytes() == before


def test_an_appliance_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    image = tmp_path / "image.raw"
    image.write_bytes(b"\0" * MIB)
    offline = Offline(image, "raw", tmp_path, kvm=kvm_works().works, limit=1)
    with pytest.raises(Unreachable, match=r"the appliance's start took longer than 1 s"), offline:
        pass
    assert str(tmp_path) not in _command_lines()


def test_an_image_that_names_other_files_is_not_opened(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"secret".ljust(MIB))
    image = tmp_path / "image.qcow2"
    _run(["qemu-img", "create", "-q", "-f", "qcow2", "-b", secret, "-F", "raw", image])
    with pytest.raises(DiskError, match="backing file"), Offline(image, "qcow2", tmp_path, kvm=False, limit=60):
        pass


@pytest.mark.root
@pytest.mark.parametrize("kind", ["windows", "aarch64"])
def test_what_can_not_be_booted_here_is_only_read(tmp_path: Path, kind: str) -> None:
    image = windows(tmp_path / "image.raw") if kind == "windows" else linux(tmp_path / "image.raw", AARCH64)
    verdict = verdict_of(image, tmp_path, checks(), LIMITS)
    assert with_outcome(verdict, Outcome.FAILED) == {"no-leftovers"}
    assert with_outcome(verdict, Outcome.PASSED) == set()
    reasons = {result.check: result.reason for result in verdict.results}
    left = "what was written out of memory" if kind == "windows" else "logs"
    assert reasons.pop("no-leftovers") == f"left in the image: {left}"
    expected = "images of Windows" if kind == "windows" else "images for aarch64"
    assert set(reasons.values()) == {f"{expected} can't be booted here, only read"}
    assert verdict.stage <= Stage.BOOTLOADER


def _command_lines() -> str:
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found.append(file.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
        except OSError:  # it has ended
            continue
    return "\n".join(found)
