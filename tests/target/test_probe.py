"""The proof that KVM works: against fake qemus of every temper, and the real boot sector under the real one."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path

import pytest

from dib_py.target import probe
from dib_py.target.probe import Verdict, kvm_works, race

FAKE = """#!/bin/sh
case "$*" in *accel=tcg*) {tcg} ;; *) {kvm} ;; esac
exit 85
"""


@pytest.fixture
def qemu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Puts a fake qemu on PATH that does as told under each accelerator."""
    monkeypatch.setattr(probe.platform, "machine", lambda: "x86_64")
    directory = tmp_path / "bin"
    directory.mkdir()
    monkeypatch.setenv("PATH", f"{directory}:/usr/bin:/bin")

    def make(*, tcg: str, kvm: str) -> None:
        program = directory / "qemu-system-x86_64"
        program.write_text(FAKE.format(tcg=tcg, kvm=kvm))
        program.chmod(0o755)

    return make


@pytest.fixture
def device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "kvm"
    path.touch()
    monkeypatch.setattr(probe, "KVM", path)
    return path


def test_good_kvm(qemu) -> None:
    qemu(tcg="exec sleep 600", kvm=":")
    verdict = race()
    assert verdict.works
    assert "KVM ran the test" in verdict.reason


def test_kvm_that_crawls(qemu) -> None:
    qemu(tcg="sleep 0.1", kvm="exec sleep 600")
    started = time.monotonic()
    verdict = race()
    assert not verdict.works
    assert "slower" in verdict.reason
    assert time.monotonic() - started < 60  # it is not waited for


def test_kvm_that_fails_at_once(qemu) -> None:
    qemu(tcg="exec sleep 600", kvm="exit 1")
    assert race() == Verdict(False, "KVM could not run the test")


def test_everything_hangs(qemu, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "_HARD_LIMIT", 0.5)
    qemu(tcg="exec sleep 600", kvm="exec sleep 600")
    started = time.monotonic()
    assert not race().works
    assert time.monotonic() - started < 60


def test_no_qemu(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(probe.platform, "machine", lambda: "x86_64")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert race() == Verdict(False, "qemu-system-x86_64 is not installed")


def test_other_architecture(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe.platform, "machine", lambda: "riscv64")
    assert not race().works


def test_verdict_is_remembered_until_the_next_boot(
    qemu, device: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "cache" / "kvm.json"
    qemu(tcg="exec sleep 600", kvm=":")
    assert kvm_works({}, cache).works
    qemu(tcg=":", kvm="exit 1")
    assert kvm_works({}, cache).works
    boot_id = tmp_path / "boot_id"
    boot_id.write_text("another\n")
    monkeypatch.setattr(probe, "BOOT_ID", boot_id)
    assert not kvm_works({}, cache).works
    assert json.loads(cache.read_text())["boot_id"] == "another"


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"boot_id": 1', '{"boot_id": "BOOT", "odd": true}'])
def test_broken_cache_is_no_verdict(qemu, device: Path, tmp_path: Path, content: str) -> None:
    cache = tmp_path / "kvm.json"
    cache.write_text(content.replace("BOOT", probe.BOOT_ID.read_text().strip()))
    qemu(tcg="exec sleep 600", kvm=":")
    assert kvm_works({}, cache).works


def test_cache_that_can_not_be_written(qemu, device: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    qemu(tcg="exec sleep 600", kvm=":")
    assert kvm_works({}, tmp_path / "file" / "kvm.json").works


def test_override(device: Path, tmp_path: Path) -> None:
    assert kvm_works({"DIB_PY_KVM": "yes"}, tmp_path / "c") == Verdict(True, "DIB_PY_KVM=yes")
    assert kvm_works({"DIB_PY_KVM": "no"}, tmp_path / "c") == Verdict(False, "DIB_PY_KVM=no")


def test_no_device(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(probe, "KVM", tmp_path / "none")
    assert kvm_works({}, tmp_path / "c") == Verdict(False, f"there is no {tmp_path / 'none'}")


def test_boot_sector_is_one() -> None:
    assert len(probe.BOOT_SECTOR) == 512
    assert probe.BOOT_SECTOR.endswith(b"\x55\xaa")


@pytest.mark.skipif(shutil.which("qemu-system-x86_64") is None, reason="needs qemu-system-x86_64")
def test_boot_sector_ends_a_real_machine(tmp_path: Path) -> None:
    sector = tmp_path / "sector"
    sector.write_bytes(probe.BOOT_SECTOR)
    with probe._machine("qemu-system-x86_64", "tcg", sector) as machine:
        assert machine.wait(60) == 85
