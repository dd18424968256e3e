"""What inspect and diff print, for people and as JSON that keeps to its schema."""

from __future__ import annotations

import json
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import jsonschema

from dib_py.inside.changes import FileChange
from dib_py.inside.difference import Difference, PackageChange, to_json
from dib_py.inside.difference_text import lines, shown
from dib_py.inside.linux import CloudInit, LinuxFacts
from dib_py.inside.report import Filesystem, Report
from dib_py.inside.report_text import text
from dib_py.inside.trees import Entry
from dib_py.windows import refusals
from dib_py.windows.boot_changes import BootChange
from dib_py.windows.hive import Value
from dib_py.windows.installation import open_installation
from dib_py.windows.partitions import BASIC_DATA, EFI_SYSTEM, Partition, PartitionTable
from dib_py.windows.registry_changes import KeyChange, ValueChange
from dib_py.windows.volume import Directory
from tests.windows.phony import Guest, plant

MIB = 1024**2
TABLE = PartitionTable(
    "gpt",
    "D15C0000-5EED-4000-8000-00000000D15C",
    1024 * MIB,
    (
        Partition(1, "/dev/sda1", MIB, 64 * MIB, EFI_SYSTEM, fstype="vfat", label="SYSTEM"),
        Partition(3, "/dev/sda3", 81 * MIB, 942 * MIB, BASIC_DATA, name="Basic data", active=True, fstype="ntfs"),
    ),
)
C = Filesystem("C:", "/dev/sda3", "ntfs", 942 * MIB, 900 * MIB)
LINUX = LinuxFacts(
    "debian", "12", "Debian GNU/Linux 12", "x86_64", ("UEFI", "BIOS"), ("6.1.0-9",), "systemd", "phony", "dpkg", 264,
    CloudInit("22.4.2", ("ConfigDrive", "OpenStack")), True, False, "",
)  # fmt: skip


def windows(directory: Path, guest: Guest) -> Report:
    planted = plant(guest, directory)
    facts = open_installation(Directory(planted.system), Directory(planted.boot), directory / "scratch").facts
    facts = replace(facts, free=900 * MIB)
    found = tuple(refusals.installation(facts, {}))
    return Report("ws2022.qcow2", "qcow2", 1024 * MIB, TABLE, (C,), windows=facts, refusals=found)


def checked(told: str, schema: str) -> None:
    description = json.loads((files("dib_py") / "schema" / schema).read_text())
    jsonschema.Draft202012Validator.check_schema(description)
    jsonschema.validate(json.loads(told), description)


def test_a_windows_for_people(tmp_path: Path) -> None:
    assert text(windows(tmp_path, Guest("2022"))).splitlines() == [
        "image         ws2022.qcow2 (qcow2, 1.0 GiB)",
        "system        Windows Server 2022, ServerStandard (Server)",
        "product       Windows Server 2022 Standard",
        "version       10.0.20348.2113",
        "architecture  amd64",
        "boot          UEFI",
        "system root   /Windows",
        "control sets  ControlSet001",
        "drives        C: is partition c0c0c0c0-5eed-4000-8000-0000000000c0",
        "state         IMAGE_STATE_GENERALIZE_RESEAL_TO_OOBE (generalized)",
        "host name     phony",
        "page files    4.0 KiB",
        "hibernation   no hibernation file",
        "",
        "partitions (gpt)",
        "  1  1.0 MiB   64.0 MiB   vfat  C12A7328-F81F-11D2-BA4B-00A0C93EC93B  [SYSTEM]",
        "  3  81.0 MiB  942.0 MiB  ntfs  EBD0A0A2-B9E5-4433-87C0-68B6B72699C7  Basic data active",
        "",
        "filesystems",
        "  C:  ntfs  942.0 MiB  900.0 MiB free  /dev/sda3",
    ]


def test_what_a_build_would_refuse_is_told(tmp_path: Path) -> None:
    guest = Guest("7", uefi=False, hibernated=True, dirty=("SOFTWARE",), without=(r"SYSTEM\Select",), image_state=None)
    told = text(windows(tmp_path, guest)).splitlines()
    assert "control sets  unknown: Select does not tell" in told
    assert "drives        C: is at 65.0 MiB of disk 5eedd15c" in told
    assert "state         not told" in told
    assert r"unfinished    HKLM\SOFTWARE" in told
    refused = told[told.index("a build would refuse it:") + 1 :]
    assert [line.split()[1:3] for line in refused[::2]] == [["it", "is"], ["Windows", "did"], [r"HKLM\SYSTEM", "has"]]
    assert "DIB_WINDOWS_REMOVE_HIBERFILE=1" in refused[1]


def test_a_linux_for_people() -> None:
    told = text(Report("a.raw", "raw", 1024 * MIB, PartitionTable("", "", 1, ()), (), linux=LINUX)).splitlines()
    assert told == [
        "image         a.raw (raw, 1.0 GiB)",
        "system        Debian GNU/Linux 12",
        "distribution  debian 12",
        "architecture  x86_64",
        "boot          UEFI, BIOS",
        "kernels       6.1.0-9",
        "init          systemd",
        "host name     phony",
        "packages      264 (dpkg)",
        "cloud-init    22.4.2 (ConfigDrive, OpenStack)",
        "guest agent   yes",
        "ssh server    no",
        "",
        "partitions (no table)",
        "",
        "filesystems",
    ]


def test_json_of_reports_keeps_to_the_schema(tmp_path: Path) -> None:
    told = windows(tmp_path / "windows", Guest("2019", uefi=False, hibernated=True)).json()
    checked(told, "inspect.json")
    assert json.loads(told)["windows"]["generation"] == "Windows Server 2019"
    assert json.loads(told)["windows"]["version"] == "10.0.17763.2113"
    for facts in (LINUX, replace(LINUX, cloud_init=None, packages=None)):
        checked(Report("a.raw", "raw", 1, TABLE, (), linux=facts).json(), "inspect.json")


FILE = Entry("Windows/a", "f", "755", "0:0", 1000, "1")
KEY = r"HKLM\SYSTEM\Select"
DIFFERENCE = Difference(
    files=(
        FileChange("C:/Windows/a", None, FILE),
        FileChange("C:/Windows/b", FILE, None),
        FileChange("C:/Windows/c", FILE, replace(FILE, size=1001, mode="700"), ("size", "mode")),
        FileChange("C:/Windows/d", FILE, replace(FILE, changed="2"), ("content",)),
        FileChange("/etc/link", None, Entry("etc/link", "l", "777", "0:0", 4, "1", "motd")),
        FileChange("/etc/dir", Entry("etc/dir", "d", "755", "0:0", 0, "1"), None),
        FileChange("/etc/kind", FILE, replace(FILE, kind="d"), ("kind",)),
    ),
    registry={
        r"HKLM\SYSTEM": (
            KeyChange(KEY, (ValueChange("Current", Value.dword("Current", 1), Value.dword("Current", 2)),)),
            KeyChange(r"HKLM\SYSTEM\New", (ValueChange("", None, Value.string("", "x")),), added=True),
            KeyChange(r"HKLM\SYSTEM\Old", (ValueChange("v", Value.binary("v", b"\1\2"), None),), removed=True),
        )
    },
    boot=(
        BootChange("emssettings", "", "bootems", "no", "yes"),
        BootChange("{1}", "Windows", "ems", None, "yes"),
        BootChange("bootmgr", "Windows Boot Manager", "timeout", "30", None),
    ),
    packages=(PackageChange("bash", "5.1", "5.2"), PackageChange("gone", "1", ""), PackageChange("new", "", "2")),
)  # fmt: skip


def test_a_difference_for_people() -> None:
    assert list(lines(DIFFERENCE)) == [
        "packages",
        "  ~ bash 5.1 -> 5.2",
        "  - gone 1",
        "  + new 2",
        r"registry HKLM\SYSTEM",
        r"  ~ [HKLM\SYSTEM\Select]",
        '      ~ "Current" = dword 1 (0x1) -> dword 2 (0x2)',
        r"  + [HKLM\SYSTEM\New]",
        '      + @ = "x"',
        r"  - [HKLM\SYSTEM\Old]",
        '      - "v" = hex 01 02',
        "boot configuration",
        "  ~ emssettings bootems = no -> yes",
        "  + {1} (Windows) ems = yes",
        "  - bootmgr timeout = 30",
        "files",
        "  + C:/Windows/a (1000 B)",
        "  - C:/Windows/b (1000 B)",
        "  ~ C:/Windows/c: size 1000 B -> 1001 B, mode 755 -> 700",
        "  ~ C:/Windows/d: content",
        "  + /etc/link -> motd",
        "  - /etc/dir/",
        "  ~ /etc/kind: kind a file -> a directory",
    ]


def test_files_that_were_not_compared_are_told_of() -> None:
    told = list(lines(Difference(unseen=(2, 3))))
    assert told == ["not compared, as they can't be listed: 2 files of the base, 3 of the image"]


HOSTILE = "x\x1b]0;owned\x07\n+ /etc/passwd\u202e\udcff"
HARMLESS = r"x\x1b]0;owned\x07\n+ /etc/passwd\u202e\udcff"


def test_what_an_image_says_is_no_command_to_a_terminal() -> None:
    link = replace(FILE, kind="l", link=HOSTILE)
    changes = (FileChange(f"/{HOSTILE}", None, link),)
    told = list(lines(Difference(files=changes, packages=(PackageChange(HOSTILE, "1", HOSTILE),))))
    assert told[1] == f"  ~ {HARMLESS} 1 -> {HARMLESS}"
    assert told[3] == f"  + /{HARMLESS} -> {HARMLESS}"
    facts = replace(LINUX, title=HOSTILE, hostname=HOSTILE)
    report = text(Report("a.raw", "raw", MIB, PartitionTable("", "", 1, ()), (), linux=facts))
    assert f"host name     {HARMLESS}" in report.splitlines()
    assert all(line.isprintable() for line in report.splitlines())


def test_nothing_is_told_of_what_does_not_differ() -> None:
    assert Difference().is_empty and list(lines(Difference())) == []
    assert not DIFFERENCE.is_empty


def test_json_of_differences_keeps_to_the_schema() -> None:
    checked(to_json("a", "b", Difference()), "diff.json")
    told = to_json("a", "b", DIFFERENCE)
    checked(told, "diff.json")
    assert json.loads(told)["registry"][r"HKLM\SYSTEM"][0] == {
        "key": KEY,
        "change": "changed",
        "values": [
            {
                "name": "Current",
                "before": {"type": 4, "data": "01000000"},
                "after": {"type": 4, "data": "02000000"},
            }
        ],
    }


def test_sizes_that_look_alike_are_told_in_bytes() -> None:
    large = replace(FILE, size=10 * MIB)
    change = FileChange("C:/a", large, replace(large, size=10 * MIB + 1), ("size",))
    assert list(lines(Difference(files=(change,))))[1] == "  ~ C:/a: size 10485760 -> 10485761"


def test_values_for_people() -> None:
    assert shown(Value.string("", "%a%", expand=True)) == 'expand "%a%"'
    assert shown(Value.strings("", ["a", "b"])) == "multi [a, b]"
    assert shown(Value.qword("", 16)) == "qword 16 (0x10)"
    assert shown(Value("", 4, b"\1")) == "hex(4) 01"
    assert shown(Value("", 0xFFFF0012, b"ab")) == "hex(ffff0012) 61 62"
    assert shown(Value.binary("", bytes(30))) == f"hex {'00 ' * 24}... (30 bytes)"
