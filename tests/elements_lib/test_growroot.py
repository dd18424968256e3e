"""growroot on machines of many kinds, played by a directory and fake programs."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "elements/growroot/static/usr/local/sbin/growroot"
CLOUD_CFG = "cloud_init_modules:\n - migrator\n - growpart\n - resizefs\n"


@dataclass
class Machine:
    root: Path
    number: str = "8:1"
    fstype: str = "ext4"
    source: str = "/dev/root"
    growpart: int = 0

    def write(self, name: str, text: str = "") -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def device(self, number: str, path: str, **files: str) -> None:
        """A device as the kernel shows it in /sys, at a path below /sys/devices."""
        real = self.root / "sys/devices" / path
        real.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (real / name).write_text(text)
        link = self.root / "sys/dev/block" / number
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(f"../../devices/{path}")

    def run(self, status: int = 0) -> list[str]:
        """What it called."""
        log = self.root / "calls"
        fakes = self.root / "fakes"
        fakes.mkdir(exist_ok=True)
        scripts = {
            "findmnt": f"""case "$*" in
                *FSTYPE*) echo {self.fstype} ;;
                *SOURCE*) echo {self.source} ;;
                *) echo " {self.number}" ;;
            esac""",
            "lsblk": f'echo "  {self.number} "',
            "growpart": f'echo "growpart $*" >> {log}; exit {self.growpart}',
            **{name: f'echo "{name} $*" >> {log}' for name in ("resize2fs", "xfs_growfs", "btrfs")},
        }
        for name, script in scripts.items():
            (fakes / name).write_text(f"#!/bin/sh\n{script}\n")
            (fakes / name).chmod(0o755)
        log.unlink(missing_ok=True)
        environment = {"PATH": f"{fakes}:{os.environ['PATH']}", "GROWROOT_ROOT": str(self.root)}
        result = subprocess.run([SCRIPT], env=environment, capture_output=True, text=True, check=False)
        assert result.returncode == status, result.stderr
        return log.read_text().splitlines() if log.exists() else []


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    machine = Machine(tmp_path)
    machine.device("8:1", "pci0/block/sda/sda1", partition="1\n")
    return machine


@pytest.mark.parametrize(
    ("fstype", "call"),
    [
        ("ext4", "resize2fs /dev/sda1"),
        ("xfs", "xfs_growfs /"),
        ("btrfs", "btrfs filesystem resize max /"),
    ],
)
def test_partition_and_filesystem_grow(machine: Machine, fstype: str, call: str) -> None:
    machine.fstype = fstype
    assert machine.run() == ["growpart /dev/sda 1", call]


def test_disks_whose_name_ends_with_a_digit(machine: Machine) -> None:
    machine.number = "259:3"
    machine.device("259:3", "pci0/nvme/nvme0n1/nvme0n1p2", partition="2\n")
    assert machine.run() == ["growpart /dev/nvme0n1 2", "resize2fs /dev/nvme0n1p2"]


def test_again_when_the_partition_fills_its_disk(machine: Machine) -> None:
    machine.growpart = 1
    assert machine.run() == ["growpart /dev/sda 1", "resize2fs /dev/sda1"]


def test_a_partition_that_cannot_grow_is_an_error(machine: Machine) -> None:
    machine.growpart = 2
    assert machine.run(status=1) == ["growpart /dev/sda 1"]


def test_a_filesystem_on_the_bare_disk(machine: Machine) -> None:
    machine.number = "8:0"
    machine.device("8:0", "pci0/block/sda")
    assert machine.run() == ["resize2fs /dev/sda"]


@pytest.mark.parametrize("kind", ["dm", "md"])
def test_volumes_stay_as_they_are(machine: Machine, kind: str) -> None:
    machine.number = "253:0"
    machine.device("253:0", "virtual/block/x-0")
    (machine.root / "sys/devices/virtual/block/x-0" / kind).mkdir()
    assert machine.run() == []


@pytest.mark.parametrize(
    ("files", "does_it"),
    [
        ({"run/cloud-init/enabled": "", "etc/cloud/cloud.cfg": CLOUD_CFG}, False),
        ({"run/cloud-init/enabled": "", "etc/cloud/cloud.cfg": CLOUD_CFG + "growpart:\n  mode: auto\n"}, False),
        ({"run/cloud-init/enabled": "", "etc/cloud/cloud.cfg": CLOUD_CFG.replace("- g", "- [g")}, False),
        ({"etc/cloud/cloud.cfg": CLOUD_CFG}, True),
        ({"run/cloud-init/disabled": "", "etc/cloud/cloud.cfg": CLOUD_CFG}, True),
        ({"run/cloud-init/enabled": "", "etc/cloud/cloud.cfg": "cloud_init_modules:\n - resizefs\n"}, True),
        (
            {
                "run/cloud-init/enabled": "",
                "etc/cloud/cloud.cfg": CLOUD_CFG,
                "etc/cloud/cloud.cfg.d/9.cfg": "growpart:\n  mode: 'off'\n",
            },
            True,
        ),
        ({"run/cloud-init/enabled": "", "etc/cloud/cloud.cfg": CLOUD_CFG + "growpart:\n  mode: false\n"}, True),
    ],
)
def test_cloud_init_goes_first(machine: Machine, files: dict[str, str], does_it: bool) -> None:
    for name, text in files.items():
        machine.write(name, text)
    assert bool(machine.run()) is does_it
