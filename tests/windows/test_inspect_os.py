"""A second opinion on phony guests and on what is found out about them: libguestfs' own inspection of their disks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dib_py.windows.inspection import Inspection
from dib_py.windows.installation import open_installation
from dib_py.windows.volume import Directory
from tests.windows import phony_disk
from tests.windows.conftest import GUESTS
from tests.windows.phony import Guest, plant

pytestmark = [pytest.mark.slow, pytest.mark.appliance, pytest.mark.timeout(600)]
ARCHITECTURES = {"x86_64": "amd64", "i386": "x86", "aarch64": "arm64"}


def ours(guest: Guest, directory: Path) -> Inspection:
    planted = plant(guest, directory)
    return open_installation(Directory(planted.system), Directory(planted.boot), directory / "scratch").facts


def told(handle: Any, root: str) -> dict[str, object]:
    version = handle.inspect_get_major_version(root), handle.inspect_get_minor_version(root)
    return {
        "version": version,
        "product": handle.inspect_get_product_name(root),
        "installation type": handle.inspect_get_product_variant(root),
        "architecture": ARCHITECTURES[handle.inspect_get_arch(root)],
        "system root": handle.inspect_get_windows_systemroot(root),
        "control set": handle.inspect_get_windows_current_control_set(root),
        "hostname": handle.inspect_get_hostname(root),
        "generation": handle.inspect_get_osinfo(root),
    }


def expected(facts: Inspection, osinfo: str) -> dict[str, object]:
    return {
        "version": facts.version[:2],
        "product": facts.product,
        "installation type": facts.installation_type,
        "architecture": facts.architecture,
        "system root": facts.system_root,
        "control set": facts.control_sets[0],
        "hostname": facts.hostname,
        "generation": osinfo,
    }


def test_libguestfs_finds_what_we_find(windows_disks: dict[str, Path], tmp_path: Path) -> None:
    wanted = {"server": "win2k22", "legacy": "win7"}
    disks = ((windows_disks[name], True) for name in wanted)
    with phony_disk.appliance(tmp_path / "appliance", *disks) as handle:
        roots = handle.inspect_os()
        found = [told(handle, root) for root in sorted(roots)]
        drives = handle.inspect_get_drive_mappings(sorted(roots)[0])
    assert found == [expected(ours(GUESTS[name], tmp_path / name), osinfo) for name, osinfo in wanted.items()]
    assert drives == {"C": f"/dev/sda{phony_disk.C_UEFI}"}
