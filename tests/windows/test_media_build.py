"""A medium for Windows Setup, from the command line to the file."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pycdlib
import pytest

from tests.windows import virtio_media

pytestmark = pytest.mark.root


def run(directory: Path, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environ = {**os.environ, "HOME": str(directory), **variables}
    argv = [sys.executable, "-m", "dib_py", *words]
    return subprocess.run(argv, cwd=directory, env=environ, capture_output=True, text=True, timeout=300, check=False)


@pytest.fixture
def media(tmp_path: Path) -> Path:
    return virtio_media.write_iso(virtio_media.media(["2k22"]), tmp_path / "virtio-win.iso")


def test_one_command_makes_the_medium_and_says_how_to_use_it(tmp_path: Path, media: Path) -> None:
    done = run(
        tmp_path,
        *("-o", "server.iso", "windows-autounattend", "virtio"),
        DIB_WINDOWS_GENERATION="2022",
        DIB_WINDOWS_ISO="windows server.iso",
        DIB_VIRTIO_WIN=str(media),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    image = pycdlib.PyCdlib()
    image.open(str(tmp_path / "server.iso"))
    names = [name for name, _, _ in image.walk(udf_path="/")]
    image.close()
    assert {"/drivers/viostor", "/$OEM$/$$/Setup/FirstBoot/scripts"} <= set(names)
    assert {path.name for path in tmp_path.iterdir() if path.suffix} - {".cache"} == {"server.iso", "virtio-win.iso"}
    text = done.stdout + done.stderr
    for program in ("virt-install", "qemu-system-x86_64"):
        command = text[text.index(f"\n{program} ") :].split("\n", 1)[1].split("\n20", 1)[0]
        words = shlex.split(command.replace("\\\n", " "))
        assert any("windows server.iso" in word for word in words)
        assert any(str(tmp_path / "server.iso") in word for word in words)
    assert "bus=virtio" in text
    assert "-monitor stdio" in text and "sendkey ret" in text
    assert "do virsh send-key server KEY_ENTER;" in text
    assert "no answer file has a password" not in text  # where none is given at all


def test_a_key_is_asked_for_under_uefi_only_and_a_password_that_is_missing_told(tmp_path: Path) -> None:
    given = {"DIB_WINDOWS_GENERATION": "2025", "DIB_WINDOWS_FIRMWARE": "bios"}
    done = run(tmp_path, "-o", "server.iso", "windows-autounattend", "unattend", **given)
    text = done.stdout + done.stderr
    assert done.returncode == 0, text
    assert "send-key" not in text and "sendkey" not in text
    assert "no answer file has a password for Administrator: Windows Server 2025" in text


@pytest.mark.parametrize(
    ("words", "variables", "told"),
    [
        ((), {}, "DIB_WINDOWS_GENERATION does not say which Windows"),
        ((), {"DIB_WINDOWS_GENERATION": "2021"}, "did you mean 20"),
        ((), {"DIB_WINDOWS_GENERATION": "11", "DIB_WINDOWS_FIRMWARE": "coreboot"}, "uefi or bios"),
        ((), {"DIB_WINDOWS_GENERATION": "11", "DIB_WINDOWS_DISK_SIZE": "much"}, "'much' is no size"),
        (("--base", "x.qcow2"), {"DIB_WINDOWS_GENERATION": "11"}, "starts from no image"),
        (("windows",), {"DIB_WINDOWS_GENERATION": "11"}, "two operating systems: windows and windows-autounattend"),
        (("-t", "raw"), {"DIB_WINDOWS_GENERATION": "11"}, "makes an ISO"),
        (("--verify",), {"DIB_WINDOWS_GENERATION": "11"}, "no image that could be booted"),
        (("-o", "missing/x"), {"DIB_WINDOWS_GENERATION": "11"}, "missing does not exist"),
    ],
)
def test_what_makes_no_medium_is_said_before_anything_starts(
    tmp_path: Path, words: tuple[str, ...], variables: dict[str, str], told: str
) -> None:
    done = run(tmp_path, "-o", "x", *words, "windows-autounattend", **variables)
    assert done.returncode == 1
    assert told in done.stderr
    assert not list(tmp_path.glob("*.iso"))


def test_boot_entries_are_left_out_of_the_plan_and_told(tmp_path: Path) -> None:
    done = run(tmp_path, "plan", "-o", "x", "windows-autounattend", "ems", DIB_WINDOWS_GENERATION="11")
    assert done.returncode == 0, done.stderr
    assert "ems/bcd.yaml is left out" in done.stderr
    assert "ems/bcd.yaml" not in done.stdout
