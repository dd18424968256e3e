"""The boot configuration of a new disk with one Windows that starts by UEFI, as bcdboot would write it."""

from __future__ import annotations

import uuid

from dib_py.windows import boot_configuration as bcd
from dib_py.windows import new_hive
from dib_py.windows.hive import Value

_MENU_SECONDS = 30
_NX_OPT_OUT, _NX_OPT_IN = 1, 0
_MENU_STANDARD = 1
_DEBUG_LOCAL = 4
_ISOLATED_SETTING = 0x15000075  # the only one that bcdboot lists


def make(name: str, disk: uuid.UUID, esp: uuid.UUID, system: uuid.UUID) -> bytes:
    r"""A store whose one entry, called ``name``, starts ``\Windows`` of the partition ``system``.

    All partitions are told by their GUID and that of their disk, which a copy of the image keeps.
    """
    loader, resume = (bcd.braced(uuid.uuid4()) for _ in range(2))
    where, boot = bcd.gpt_partition(system, disk), bcd.gpt_partition(esp, disk)
    keys: dict[str, list[Value]] = {
        "Description": [
            Value.string("KeyName", "BCD00000000"),
            Value.dword("System", 1),
            Value.dword("TreatAsSystem", 1),
        ]
    }

    def add(guid: str, kind: int, elements: dict[int, Value]) -> None:
        keys[rf"{bcd.object_key(guid)}\Description"] = [Value.dword("Type", kind)]
        keys[rf"{bcd.object_key(guid)}\Elements"] = []
        for element, value in elements.items():
            keys[bcd.element_key(guid, element)] = [value]

    add(
        bcd.BOOT_MANAGER,
        bcd.TYPE_MANAGER,
        {
            bcd.DEVICE: boot,
            bcd.PATH: bcd.text(r"\EFI\Microsoft\Boot\bootmgfw.efi"),
            bcd.DESCRIPTION: bcd.text("Windows Boot Manager"),
            bcd.INHERIT: bcd.texts([bcd.GLOBAL_SETTINGS]),
            bcd.DEFAULT_OBJECT: bcd.text(loader),
            bcd.DISPLAY_ORDER: bcd.texts([loader]),
            bcd.TOOLS_DISPLAY_ORDER: bcd.texts([bcd.MEMORY_DIAGNOSTIC]),
            bcd.TIMEOUT: bcd.integer(_MENU_SECONDS),
        },
    )
    add(
        loader,
        bcd.TYPE_LOADER,
        {
            bcd.DEVICE: where,
            bcd.PATH: bcd.text(r"\Windows\system32\winload.efi"),
            bcd.DESCRIPTION: bcd.text(name),
            bcd.INHERIT: bcd.texts([bcd.LOADER_SETTINGS]),
            bcd.ISOLATED_CONTEXT: bcd.boolean(True),
            bcd.ALLOWED_IN_MEMORY_SETTINGS: bcd.integers([_ISOLATED_SETTING]),
            bcd.OS_DEVICE: where,
            bcd.SYSTEM_ROOT: bcd.text(r"\Windows"),
            bcd.ASSOCIATED_RESUME_OBJECT: bcd.text(resume),
            bcd.NX_POLICY: bcd.integer(_NX_OPT_OUT if "server" in name.casefold() else _NX_OPT_IN),
            bcd.BOOT_MENU_POLICY: bcd.integer(_MENU_STANDARD),
        },
    )
    add(
        resume,
        bcd.TYPE_RESUME,
        {
            bcd.DEVICE: where,
            bcd.PATH: bcd.text(r"\Windows\system32\winresume.efi"),
            bcd.DESCRIPTION: bcd.text("Windows Resume Application"),
            bcd.INHERIT: bcd.texts([bcd.RESUME_SETTINGS]),
            bcd.ISOLATED_CONTEXT: bcd.boolean(True),
            bcd.RESUME_FILE: bcd.text(r"\hiberfil.sys"),
        },
    )
    add(
        bcd.MEMORY_DIAGNOSTIC,
        bcd.TYPE_MEMORY_DIAGNOSTIC,
        {
            bcd.DEVICE: boot,
            bcd.PATH: bcd.text(r"\EFI\Microsoft\Boot\memtest.efi"),
            bcd.DESCRIPTION: bcd.text("Windows Memory Diagnostic"),
            bcd.INHERIT: bcd.texts([bcd.GLOBAL_SETTINGS]),
        },
    )
    inherited = [bcd.DEBUGGER_SETTINGS, bcd.EMS_SETTINGS, bcd.BAD_MEMORY]
    add(bcd.GLOBAL_SETTINGS, bcd.TYPE_SETTINGS, {bcd.INHERIT: bcd.texts(inherited)})
    settings = [bcd.GLOBAL_SETTINGS, bcd.HYPERVISOR_SETTINGS]
    add(bcd.LOADER_SETTINGS, bcd.TYPE_LOADER_SETTINGS, {bcd.INHERIT: bcd.texts(settings)})
    add(bcd.RESUME_SETTINGS, bcd.TYPE_RESUME_SETTINGS, {bcd.INHERIT: bcd.texts([bcd.GLOBAL_SETTINGS])})
    add(bcd.EMS_SETTINGS, bcd.TYPE_SETTINGS, {bcd.BOOT_EMS: bcd.boolean(False)})
    add(bcd.DEBUGGER_SETTINGS, bcd.TYPE_SETTINGS, {bcd.DEBUG_TYPE: bcd.integer(_DEBUG_LOCAL)})
    add(bcd.BAD_MEMORY, bcd.TYPE_SETTINGS, {})
    add(bcd.HYPERVISOR_SETTINGS, bcd.TYPE_LOADER_SETTINGS, {})
    return new_hive.hive(keys, name="BCD")
