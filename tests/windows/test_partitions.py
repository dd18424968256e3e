"""Partitions as a value: from what sfdisk and blkid print of a disk."""

from __future__ import annotations

from typing import Any

import pytest

from dib_py.errors import TargetError
from dib_py.windows.partitions import BASIC_DATA, EFI_SYSTEM, RECOVERY, parse

GPT: dict[str, Any] = {
    "partitiontable": {
        "label": "gpt",
        "id": "6B1C2F5E-0000-4000-8000-0000000000D1",
        "device": "/dev/sdb",
        "unit": "sectors",
        "sectorsize": 512,
        "partitions": [
            {"node": "/dev/sdb1", "start": 2048, "size": 204800, "type": EFI_SYSTEM, "uuid": "E5", "name": "EFI"},
            # made later than the one that lies behind it
            {"node": "/dev/sdb4", "start": 4096000, "size": 1024, "type": RECOVERY, "uuid": "4E", "name": ""},
            {"node": "/dev/sdb3", "start": 239616, "size": 2048000, "type": BASIC_DATA.lower(), "uuid": "C0"},
        ],
    }
}
FILESYSTEMS = {
    "/dev/sdb1": {"TYPE": "vfat", "LABEL": "SYSTEM"},
    "/dev/sdb3": {"TYPE": "ntfs"},
    "/dev/sdb4": {"TYPE": "BitLocker"},
}


def test_a_gpt() -> None:
    table = parse(GPT, FILESYSTEMS, "/dev/sdb", 512, 4 << 30)
    assert (table.kind, table.id, table.size) == ("gpt", "6B1C2F5E-0000-4000-8000-0000000000D1", 4 << 30)
    esp, main, recovery = table.partitions
    assert (esp.number, esp.device, esp.fstype, esp.label, esp.name) == (1, "/dev/sda1", "vfat", "SYSTEM", "EFI")
    assert (main.start, main.size, main.end, main.type) == (239616 * 512, 2048000 * 512, 2287616 * 512, BASIC_DATA)
    assert recovery.fstype == "BitLocker"
    assert table.behind(main) == (recovery,)
    assert table.behind(recovery) == ()


def test_an_mbr_tells_which_partition_is_active() -> None:
    table = parse(
        {
            "partitiontable": {
                "label": "dos",
                "id": "0xa44d2336",
                "partitions": [
                    {"node": "/dev/sda1", "start": 2048, "size": 8, "type": "7", "bootable": True},
                    {"node": "/dev/sda2", "start": 4096, "size": 8, "type": "c"},
                ],
            }
        },
        {},
        "/dev/sda",
        4096,
        1 << 20,
    )
    assert [(one.active, one.type, one.start) for one in table.partitions] == [
        (True, "7", 2048 * 4096),
        (False, "C", 4096 * 4096),
    ]


def test_a_disk_without_a_table_is_one_partition() -> None:
    table = parse({}, {"/dev/sda": {"TYPE": "ntfs", "LABEL": "all"}}, "/dev/sda", 512, 1 << 20)
    assert table.kind == ""
    assert [(one.number, one.device, one.fstype, one.size) for one in table.partitions] == [
        (0, "/dev/sda", "ntfs", 1 << 20)
    ]


def test_a_table_of_another_system_is_refused() -> None:
    with pytest.raises(TargetError, match="sun"):
        parse({"partitiontable": {"label": "sun", "partitions": []}}, {}, "/dev/sda", 512, 1 << 20)
