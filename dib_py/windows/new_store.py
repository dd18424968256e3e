"""The boot configuration of a new disk with one Windows that starts by UEFI, as bcdboot would write it."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field

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
    objects = [
        _manager(boot, loader),
        _loader(loader, name, where, resume),
        _resume(resume, where),
        _memory_diagnostic(boot),
        *_settings(),
    ]
    keys: dict[str, list[Value]] = {
        "Description": [
            Value.string("KeyName", "BCD00000000"),
            Value.dword("System", 1),
            Value.dword("TreatAsSystem", 1),
        ]
    }
    for one in objects:
        keys |= one.keys()
    return new_hive.hive(keys, name="BCD")


@dataclass(frozen=True)
class _Object:
    guid: str
    kind: int
    elements: Mapping[int, Value] = field(default_factory=dict)

    def keys(self) -> dict[str, list[Value]]:
        place = bcd.object_key(self.guid)
        elements = {bcd.element_key(self.guid, element): [value] for element, value in self.elements.items()}
        return {rf"{place}\Description": [Value.dword("Type", self.kind)], rf"{place}\Elements": [], **elements}


def _manager(boot: Value, default: str) -> _Object:
    return _Object(
        bcd.BOOT_MANAGER,
        bcd.TYPE_MANAGER,
        {
            bcd.DEVICE: boot,
            bcd.PATH: bcd.text(r"\EFI\Microsoft\Boot\bootmgfw.efi"),
            bcd.DESCRIPTION: bcd.text("Windows Boot Manager"),
            bcd.INHERIT: bcd.texts([bcd.GLOBAL_SETTINGS]),
            bcd.DEFAULT_OBJECT: bcd.text(default),
            bcd.DISPLAY_ORDER: bcd.texts([default]),
            bcd.TOOLS_DISPLAY_ORDER: bcd.texts([bcd.MEMORY_DIAGNOSTIC]),
            bcd.TIMEOUT: bcd.integer(_MENU_SECONDS),
        },
    )


def _loader(guid: str, name: str, where: Value, resume: str) -> _Object:
    return _Object(
        guid,
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


def _resume(guid: str, where: Value) -> _Object:
    return _Object(
        guid,
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


def _memory_diagnostic(boot: Value) -> _Object:
    return _Object(
        bcd.MEMORY_DIAGNOSTIC,
        bcd.TYPE_MEMORY_DIAGNOSTIC,
        {
            bcd.DEVICE: boot,
            bcd.PATH: bcd.text(r"\EFI\Microsoft\Boot\memtest.efi"),
            bcd.DESCRIPTION: bcd.text("Windows Memory Diagnostic"),
            bcd.INHERIT: bcd.texts([bcd.GLOBAL_SETTINGS]),
        },
    )


def _settings() -> list[_Object]:
    """What the others inherit."""

    def inheriting(guid: str, kind: int, *inherited: str) -> _Object:
        return _Object(guid, kind, {bcd.INHERIT: bcd.texts(inherited)})

    common = (bcd.DEBUGGER_SETTINGS, bcd.EMS_SETTINGS, bcd.BAD_MEMORY)
    return [
        inheriting(bcd.GLOBAL_SETTINGS, bcd.TYPE_SETTINGS, *common),
        inheriting(bcd.LOADER_SETTINGS, bcd.TYPE_LOADER_SETTINGS, bcd.GLOBAL_SETTINGS, bcd.HYPERVISOR_SETTINGS),
        inheriting(bcd.RESUME_SETTINGS, bcd.TYPE_RESUME_SETTINGS, bcd.GLOBAL_SETTINGS),
        _Object(bcd.EMS_SETTINGS, bcd.TYPE_SETTINGS, {bcd.BOOT_EMS: bcd.boolean(False)}),
        _Object(bcd.DEBUGGER_SETTINGS, bcd.TYPE_SETTINGS, {bcd.DEBUG_TYPE: bcd.integer(_DEBUG_LOCAL)}),
        _Object(bcd.BAD_MEMORY, bcd.TYPE_SETTINGS),
        _Object(bcd.HYPERVISOR_SETTINGS, bcd.TYPE_LOADER_SETTINGS),
    ]
