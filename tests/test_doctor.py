"""The doctor looks at trees that stand for machines, healthy and ill, and at this one."""

from __future__ import annotations

import json
import os
import platform
import re
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from dib_py import doctor, host_programs
from dib_py.cli.doctor import command
from dib_py.doctor import FAIL, OK, WARN, Finding, Machine
from dib_py.host_programs import BOTH, GUESTFS, HOST, PROGRAMS, VERIFY
from dib_py.layers.store import Store
from dib_py.target import choose
from dib_py.verify import firmware


def machine(root: Path, *, is_root: bool = True, os_release: str = "ID=debian\n", path: str = "") -> Machine:
    for directory in ("dev", "proc", "boot", "etc", "bin"):
        (root / directory).mkdir()
    (root / "dev" / "fuse").touch()
    (root / "dev" / "loop-control").touch()
    (root / "proc" / "filesystems").write_text("nodev\toverlay\n\text4\n\tvfat\n\txfs\n\tbtrfs\n")
    (root / "etc" / "os-release").write_text(os_release)
    return Machine(root, {"PATH": path or str(root / "bin"), "DIB_PY_KVM": "no"}, is_root)


def verdicts(findings: list[Finding]) -> dict[str, str]:
    return {finding.name: finding.verdict for finding in findings}


@pytest.mark.parametrize(
    ("os_release", "mend"),
    [
        ("ID=debian\n", "apt-get install supermin"),
        ('ID=mint\nID_LIKE="ubuntu debian"\n', "apt-get install supermin"),
        ('ID="rocky"\nID_LIKE="rhel centos fedora"\n', "dnf install supermin"),
        ("ID=arch\n", "install the package supermin (Debian, Ubuntu) or supermin (Fedora)"),
    ],
)
def test_a_missing_program_comes_with_its_package(os_release: str, mend: str, tmp_path: Path) -> None:
    findings = list(doctor.programs(machine(tmp_path, os_release=os_release)))
    missing = next(finding for finding in findings if finding.name == "supermin")
    if missing.verdict == OK:
        pytest.skip("supermin is in /usr/sbin here")
    assert (missing.verdict, missing.mend) == (FAIL, mend)


@pytest.mark.parametrize("missing", [one.name for one in PROGRAMS if one.required])
def test_a_build_refuses_the_host_target_where_the_doctor_does(
    missing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host_programs, "find", lambda name, _environ=None: None if name == missing else f"/bin/{name}")
    for module in (doctor, choose):
        monkeypatch.setattr(module, "find", host_programs.find)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(choose, "HOST_DEVICES", ())
    can_work = "host" in doctor.working_targets(list(doctor.programs(machine(tmp_path))))
    assert choose.why_no_host() == ("" if can_work else f"{missing} not installed")


@pytest.mark.parametrize(("column", "os_release"), [(1, "ID=debian\n"), (2, "ID=fedora\n")])
def test_the_page_of_installing_has_the_packages_that_the_doctor_names(
    column: int, os_release: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = (Path(__file__).parents[1] / "docs" / "install.rst").read_text()
    rows = page[page.index("   * - every build") : page.index("   * - the tests")].split("   * - ")[1:]
    cells = "".join(row.split("\n     - ")[column] for row in rows)
    listed = {name for words in re.findall("``([^`]+)``", cells) for name in words.split()} - {"linux-image-virtual"}
    monkeypatch.setattr(firmware, "_OVMF", ())
    for module in ("guestfs", "hivex", "nbd"):
        monkeypatch.setitem(sys.modules, module, None)
    ill = machine(tmp_path, os_release=os_release)
    findings = [check(ill) for check in (doctor.guestfs_target, doctor.elements, doctor.windows, doctor.verify)]
    named = {found for one in findings for each in one for found in re.findall(r"install ([a-z0-9+-]+)", each.mend)}
    named |= {one.debian if column == 1 else one.fedora for one in PROGRAMS}
    assert listed == named


def test_what_only_some_elements_need_is_a_warning(tmp_path: Path) -> None:
    found = verdicts(list(doctor.programs(machine(tmp_path))))
    assert (found["git"], found["qemu-img"]) == (WARN, FAIL)


@pytest.mark.parametrize(
    ("os_release", "expected"),
    [
        ("ID=debian\n", {"hivex": OK}),
        ("ID=fedora\n", {"hivex": OK}),
        ('ID="rhel"\n', {"hivex": OK, "the appliance": WARN}),
        ('ID="rocky"\nID_LIKE="rhel centos fedora"\n', {"hivex": OK, "the appliance": WARN}),
    ],
)
def test_what_windows_images_need(os_release: str, expected: dict[str, str], tmp_path: Path) -> None:
    pytest.importorskip("hivex")
    assert verdicts(list(doctor.windows(machine(tmp_path, os_release=os_release)))) == expected


def test_without_hivex_there_are_no_windows_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "hivex", None)
    [found] = doctor.windows(machine(tmp_path))
    assert found.verdict == WARN
    assert found.mend.startswith("apt-get install python3-hivex")


def test_what_verify_needs_keeps_no_build_from_working(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(firmware, "_OVMF", ())
    monkeypatch.setitem(sys.modules, "nbd", None)
    there = machine(tmp_path)
    findings = [*doctor.verify(there), *doctor.programs(there)]
    found = {finding.name: finding for finding in findings if finding.group == VERIFY}
    assert {finding.verdict for finding in found.values()} <= {OK, WARN}
    assert found["libnbd"].mend == "apt-get install python3-libnbd"
    assert found["UEFI firmware"].mend == "apt-get install ovmf"
    assert found["ssh"].mend == "apt-get install openssh-client"
    assert {"qemu-nbd", "ip", "ssh-keygen"} <= set(found)


def test_a_program_on_the_path_is_found(tmp_path: Path) -> None:
    there = machine(tmp_path)
    (tmp_path / "bin" / "git").write_text("#!/bin/sh\n")
    (tmp_path / "bin" / "git").chmod(0o755)
    assert Finding("elements", "git", OK, str(tmp_path / "bin" / "git")) in list(doctor.programs(there))


def test_the_host_target_needs_root_and_its_devices(tmp_path: Path) -> None:
    ill = machine(tmp_path, is_root=False)
    (tmp_path / "dev" / "fuse").unlink()
    found = {finding.name: finding for finding in doctor.host_target(ill)}
    assert found["root"].verdict == FAIL
    assert found["/dev/fuse"].mend == "modprobe fuse; in a container, give it /dev/fuse"
    assert found["/dev/loop-control"].verdict == OK
    assert found["namespaces"].verdict == WARN
    assert found["storage daemon's FUSE export"].verdict == FAIL


def test_a_filesystem_may_be_a_module(tmp_path: Path) -> None:
    there = machine(tmp_path)
    (tmp_path / "proc" / "filesystems").write_text("\text4\n")
    modules = tmp_path / "lib/modules" / platform.release()
    modules.mkdir(parents=True)
    (modules / "modules.dep").write_text("kernel/fs/xfs/xfs.ko: \nkernel/fs/overlayfs/overlay.ko.zst:\n")
    found = verdicts([finding for finding in doctor.host_target(there) if finding.name.startswith("filesystem")])
    assert found == {
        "filesystem ext4": OK,
        "filesystem overlay": OK,
        "filesystem vfat": WARN,
        "filesystem xfs": OK,
        "filesystem btrfs": WARN,
    }


def test_the_appliance_needs_a_kernel_that_can_be_read(tmp_path: Path) -> None:
    there = machine(tmp_path)
    name = "kernel for the appliance"
    found = {finding.name: finding for finding in doctor.guestfs_target(there)}
    assert (found[name].verdict, found[name].mend) == (FAIL, "apt-get install linux-image-cloud-amd64")
    (tmp_path / "boot" / "vmlinuz-6.1").touch()
    found = {finding.name: finding for finding in doctor.guestfs_target(there)}
    assert (found[name].verdict, found[name].detail) == (OK, str(tmp_path / "boot" / "vmlinuz-6.1"))
    assert found["KVM"].verdict == WARN


def test_little_space_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    places = {"build directory": tmp_path / "not" / "there"}
    monkeypatch.setattr(doctor, "SPACE_ENOUGH", 0)
    assert [finding.verdict for finding in doctor.space(places)] == [OK]
    monkeypatch.setattr(doctor, "SPACE_ENOUGH", 2**62)
    assert [finding.verdict for finding in doctor.space(places)] == [WARN]
    monkeypatch.setattr(doctor, "SPACE_LEAST", 2**62)
    (told,) = doctor.space(places)
    assert (told.verdict, told.mend) == (FAIL, "make room, or name a roomier directory in TMPDIR")


@pytest.mark.parametrize(
    ("failed", "working"),
    [
        ([], ["guestfs", "host"]),
        ([GUESTFS], ["host"]),
        ([HOST], ["guestfs"]),
        ([BOTH], []),
        ([HOST, GUESTFS], []),
        (["space"], ["guestfs", "host"]),
    ],
)
def test_a_target_works_when_nothing_it_needs_failed(failed: list[str], working: list[str]) -> None:
    findings = [Finding(group, "x", FAIL, "") for group in failed] + [Finding(HOST, "y", WARN, "")]
    assert doctor.working_targets(findings) == working


def test_this_machine_as_json_and_as_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DIB_PY_KVM", "no")
    told = CliRunner().invoke(command, ["--json"], standalone_mode=False)
    report = json.loads(told.output)
    assert told.return_value == (0 if report["targets"] else 1)
    assert {finding["verdict"] for finding in report["findings"]} <= {OK, WARN, FAIL}
    lines = CliRunner().invoke(command, [], standalone_mode=False).output
    for finding in report["findings"]:
        assert finding["name"] in lines
        if finding["verdict"] != OK and finding["mend"]:
            assert f"to mend it: {finding['mend']}" in lines
    assert ("No target can work here" in lines) == (not report["targets"])


def test_the_layer_store(tmp_path: Path) -> None:
    directory = tmp_path / "layers"
    assert doctor.layer_store(directory, 2**30).detail == f"none yet at {directory}"
    assert not directory.exists()
    Store.open(directory)
    told = doctor.layer_store(directory, 2**30)
    assert (told.verdict, told.detail) == (OK, f"0 layers, 0 B of at most 1.0 GiB in {directory}")
    directory.chmod(0o755)
    told = doctor.layer_store(directory, 2**30)
    assert told.verdict == WARN and "mode 0755" in told.detail and "chmod 0700" in told.mend
