"""Disks of phony Windows guests, looked at in the appliance: the facts, and what was changed between two of them."""

from __future__ import annotations

import json
import shutil
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from dib_py.cli import main
from dib_py.windows import boot_configuration as bcd
from dib_py.windows.hive import Hive, Value
from tests.windows import phony_disk
from tests.windows.phony_hives import LOADER

pytestmark = [pytest.mark.slow, pytest.mark.appliance, pytest.mark.timeout(600)]
STORE = "/EFI/Microsoft/Boot/BCD"
SYSTEM = "/Windows/System32/config/SYSTEM"


def told(capsys: pytest.CaptureFixture[str], code: int, schema: str, *words: str | Path) -> dict[str, Any]:
    capsys.readouterr()
    assert main([*map(str, words), "--json"], "dib-py") == code, capsys.readouterr().err
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    jsonschema.validate(found, json.loads((files("dib_py") / "schema" / schema).read_text()))
    return found


def test_inspect(windows_disks: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    before = windows_disks["legacy"].read_bytes()
    found = told(capsys, 0, "inspect.json", "inspect", windows_disks["legacy"])
    facts = found["windows"]
    assert facts["generation"] == "Windows 7"
    assert (facts["architecture"], facts["boot_mode"], facts["system_root"]) == ("x86", "BIOS", "/WINDOWS")
    assert facts["control_sets"] == ["ControlSet002"]
    assert facts["image_state"] == "IMAGE_STATE_COMPLETE"
    assert [one["path"] for one in found["filesystems"]] == ["C:", "boot:"]
    assert facts["drives"][0]["offset"] == found["table"]["partitions"][1]["start"]
    assert f"0x{facts['drives'][0]['disk_signature']}" == found["table"]["id"]
    assert found["refusals"] == []
    assert windows_disks["legacy"].read_bytes() == before


def edit(disk: Path, scratch: Path) -> None:
    with phony_disk.appliance(scratch, (disk, False)) as handle:
        handle.mount_options("permissions", f"/dev/sda{phony_disk.C_UEFI}", "/")
        system, store = scratch / "SYSTEM", scratch / "BCD"
        handle.download(SYSTEM, str(system))
        hive = Hive(system)
        hive.set(r"ControlSet001\Control\Terminal Server", [Value.dword("fDenyTSConnections", 0)])
        hive.set(r"ControlSet001\Services\viostor", [Value.dword("Start", 0)])
        hive.commit()
        handle.upload(str(system), SYSTEM)
        handle.write("/Windows/Panther/unattend.xml", b"<unattend/>")
        handle.write("/Users/desktop.ini", b"[.ShellClassInfo]??")  # as long as it was
        handle.touch("/Windows/explorer.exe")  # only its time
        handle.rm("/pagefile.sys")
        handle.umount("/")
        handle.mount("/dev/sda1", "/")
        handle.download(STORE, str(store))
        hive = Hive(store)
        hive.set(bcd.element_key(LOADER, bcd.EMS_ENABLED), [bcd.boolean(True)])
        hive.commit()
        handle.upload(str(store), STORE)


def test_diff(windows_disks: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    image = tmp_path / "changed.qcow2"
    shutil.copyfile(windows_disks["server"], image)
    edit(image, tmp_path / "edit")
    found = told(capsys, 1, "diff.json", "diff", windows_disks["server"], image)
    assert [(one["path"], one["change"], one.get("what")) for one in found["files"]] == [
        ("C:/Users/desktop.ini", "changed", ["content"]),
        ("C:/Windows/Panther/unattend.xml", "added", None),
        ("C:/pagefile.sys", "removed", None),
    ]
    assert list(found["registry"]) == [r"HKLM\SYSTEM"]
    control_set = r"HKLM\SYSTEM\ControlSet001"
    assert found["registry"][r"HKLM\SYSTEM"] == [
        {
            "key": rf"{control_set}\Control\Terminal Server",
            "change": "changed",
            "values": [
                {
                    "name": "fDenyTSConnections",
                    "before": {"type": 4, "data": "01000000"},
                    "after": {"type": 4, "data": "00000000"},
                }
            ],
        },
        {
            "key": rf"{control_set}\Services\viostor",
            "change": "added",
            "values": [{"name": "Start", "before": None, "after": {"type": 4, "data": "00000000"}}],
        },
    ]
    assert found["boot"] == [
        {"object": LOADER, "description": "Windows", "element": "ems", "before": None, "after": "yes"}
    ]
    assert found["packages"] == []
