"""Elements of boot configuration data by the names that bcdedit has for them: text to values, and values to text."""

from __future__ import annotations

import struct
import uuid
from collections.abc import Mapping

from dib_py.windows import boot_configuration as bcd
from dib_py.windows.hive import Value

DEVICE, STRING, OBJECT, OBJECTS, INTEGER, BOOLEAN, INTEGERS = range(1, 8)  # the second digit of an element's id
BOOT, LOCATE = "boot", "locate"  # devices

OBJECTS_BY_NAME: Mapping[str, str] = {
    "bootmgr": bcd.BOOT_MANAGER,
    "fwbootmgr": "{a5a30fa2-3d06-4e9f-b5f4-a01df9d1fcba}",
    "memdiag": bcd.MEMORY_DIAGNOSTIC,
    "globalsettings": bcd.GLOBAL_SETTINGS,
    "bootloadersettings": bcd.LOADER_SETTINGS,
    "resumeloadersettings": bcd.RESUME_SETTINGS,
    "emssettings": bcd.EMS_SETTINGS,
    "dbgsettings": bcd.DEBUGGER_SETTINGS,
    "badmemory": bcd.BAD_MEMORY,
    "hypervisorsettings": bcd.HYPERVISOR_SETTINGS,
}
SETTINGS: Mapping[str, int] = {  # objects that may be made where a store has them not, with their types
    bcd.GLOBAL_SETTINGS: bcd.TYPE_SETTINGS,
    bcd.LOADER_SETTINGS: bcd.TYPE_LOADER_SETTINGS,
    bcd.RESUME_SETTINGS: bcd.TYPE_RESUME_SETTINGS,
    bcd.EMS_SETTINGS: bcd.TYPE_SETTINGS,
    bcd.DEBUGGER_SETTINGS: bcd.TYPE_SETTINGS,
    bcd.BAD_MEMORY: bcd.TYPE_SETTINGS,
    bcd.HYPERVISOR_SETTINGS: bcd.TYPE_LOADER_SETTINGS,
}
ELEMENTS: Mapping[str, int] = {
    "device": bcd.DEVICE,
    "path": bcd.PATH,
    "description": bcd.DESCRIPTION,
    "locale": bcd.LOCALE,
    "inherit": bcd.INHERIT,
    "recoverysequence": 0x14000008,
    "debugtype": bcd.DEBUG_TYPE,
    "debugport": 0x15000013,
    "baudrate": 0x15000014,
    "recoveryenabled": bcd.RECOVERY_ENABLED,
    "bootems": bcd.BOOT_EMS,
    "emsport": bcd.EMS_PORT,
    "emsbaudrate": bcd.EMS_BAUD_RATE,
    "bootdebug": 0x16000010,
    "graphicsmodedisabled": bcd.GRAPHICS_MODE_DISABLED,
    "testsigning": 0x16000049,
    "isolatedcontext": bcd.ISOLATED_CONTEXT,
    "allowedinmemorysettings": bcd.ALLOWED_IN_MEMORY_SETTINGS,
    "osdevice": bcd.OS_DEVICE,
    "systemroot": bcd.SYSTEM_ROOT,
    "filepath": bcd.RESUME_FILE,
    "resumeobject": bcd.ASSOCIATED_RESUME_OBJECT,
    "default": bcd.DEFAULT_OBJECT,
    "displayorder": bcd.DISPLAY_ORDER,
    "toolsdisplayorder": bcd.TOOLS_DISPLAY_ORDER,
    "timeout": bcd.TIMEOUT,
    "nx": bcd.NX_POLICY,
    "bootmenupolicy": bcd.BOOT_MENU_POLICY,
    "bootstatuspolicy": bcd.BOOT_STATUS_POLICY,
    "detecthal": 0x26000010,
    "displaybootmenu": bcd.DISPLAY_BOOT_MENU,
    "winpe": 0x26000022,
    "debug": 0x260000A0,
    "ems": bcd.EMS_ENABLED,
}
NUMBERS_BY_NAME: Mapping[int, Mapping[str, int]] = {
    bcd.DEBUG_TYPE: {"serial": 0, "1394": 1, "usb": 2, "net": 3, "local": 4},
    bcd.NX_POLICY: {"optin": 0, "optout": 1, "alwaysoff": 2, "alwayson": 3},
    bcd.BOOT_MENU_POLICY: {"legacy": 0, "standard": 1},
    bcd.BOOT_STATUS_POLICY: {
        "displayallfailures": 0,
        "ignoreallfailures": 1,
        "ignoreshutdownfailures": 2,
        "ignorebootfailures": 3,
    },
}
# of one id that means different things the name for which kind of object
_OF_LOADERS, _OF_RESUME = {0x23000003: "resumeobject", 0x22000002: "systemroot"}, {0x22000002: "filepath"}
_LOCATED_BY = {bcd.DEVICE: bcd.PATH, bcd.OS_DEVICE: bcd.SYSTEM_ROOT}
_DEVICE_HEAD = struct.Struct("<16sIIII")  # the object with options, kind, flags, size from here, zero


def form(element: int) -> int:
    """The form that an element's value has, by its id."""
    return element >> 24 & 0xF


def locating(element: int) -> Value:
    """The device that has the path which belongs to a device element: that of the loader, or ``systemroot``."""
    return bcd.locate(_LOCATED_BY.get(element, bcd.PATH))


def name_of_element(element: int, kind: int = bcd.TYPE_LOADER) -> str:
    """What bcdedit calls an element of an object of that type; its id in hexadecimal digits where that has no name."""
    special = {bcd.TYPE_LOADER: _OF_LOADERS, bcd.TYPE_RESUME: _OF_RESUME}.get(kind, {})
    names = [name for name, number in ELEMENTS.items() if number == element]
    return special.get(element) or (names[-1] if names else f"{element:08x}")


def name_of_object(guid: str) -> str:
    """What bcdedit calls an object: its GUID for those that a store has of its own."""
    return next((name for name, known in OBJECTS_BY_NAME.items() if known == guid.lower()), guid)


def shown(element: int, value: Value) -> str:
    """A value as people read it; hexadecimal digits for what is not of the form that the element's id says."""
    try:
        return _shown(element, value)
    except (struct.error, ValueError):
        return value.data.hex()


def _shown(element: int, value: Value) -> str:
    kind = form(element)
    if kind == DEVICE:
        return _shown_device(value.data)
    if kind == STRING:
        return value.text
    if kind == OBJECT:
        return name_of_object(value.text)
    if kind == OBJECTS:
        return ", ".join(map(name_of_object, value.texts))
    if kind == BOOLEAN:
        return {b"\0": "no", b"\1": "yes"}.get(value.data, value.data.hex())
    numbers = [number for (number,) in struct.iter_unpack("<Q", value.data)]
    if kind == INTEGER and len(numbers) == 1:
        names = NUMBERS_BY_NAME.get(element, {})
        return next((name for name, number in names.items() if number == numbers[0]), str(numbers[0]))
    return ", ".join(f"{number:#x}" for number in numbers)


def _shown_device(data: bytes) -> str:
    options, kind, _, size, _ = _DEVICE_HEAD.unpack_from(data)
    payload = data[_DEVICE_HEAD.size :]
    if any(options) or len(data) != 16 + size:
        return data.hex()
    if kind == 5:
        return BOOT
    if kind == 6:
        partition, form_of_disk = payload[:16], struct.unpack_from("<I", payload, 20)[0]
        if form_of_disk == 0:
            return f"partition={uuid.UUID(bytes_le=partition)} of {uuid.UUID(bytes_le=payload[24:40])}"
        offset, signature = struct.unpack_from("<Q", payload)[0], struct.unpack_from("<I", payload, 24)[0]
        return f"partition at {offset} of {signature:08x}"
    if kind == 8 and payload[:4] == bytes(4):
        return f"{LOCATE}={name_of_element(struct.unpack_from('<I', payload, 4)[0])}"
    return data.hex()


def guid_of(text: str) -> str | None:
    """The GUID of an object that is written as one, or by its name; None for what is neither."""
    known = OBJECTS_BY_NAME.get(text.lower())
    if known is not None:
        return known
    try:
        return bcd.braced(uuid.UUID(text)) if text.startswith("{") and text.endswith("}") else None
    except ValueError:
        return None
