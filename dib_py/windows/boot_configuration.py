r"""Boot configuration data: what the keys and values of a store mean.

A store is a hive with ``Objects\{GUID}\Description!Type`` and ``Objects\{GUID}\Elements\<id>!Element``. The format of
an element follows from its id: the digit after the first says device, string, object, list of objects, integer, boolean
or list of integers. Names and numbers are Microsoft's (the BCD WMI provider's reference); devices are as in stores that
bcdboot wrote.
"""

from __future__ import annotations

import struct
import uuid
from collections.abc import Iterable

from dib_py.windows.hive import Value

BOOT_MANAGER = "{9dea862c-5cdd-4e70-acc1-f32b344d4795}"
MEMORY_DIAGNOSTIC = "{b2721d73-1db4-4c62-bf78-c548a880142d}"
GLOBAL_SETTINGS = "{7ea2e1ac-2e61-4728-aaa3-896d9d0a9f0e}"
LOADER_SETTINGS = "{6efb52bf-1766-41db-a6b3-0ee5eff72bd7}"
RESUME_SETTINGS = "{1afa9c49-16ab-4a5c-901b-212802da9460}"
EMS_SETTINGS = "{0ce4991b-e6b3-4b16-b23c-5e0d9250e5d9}"
DEBUGGER_SETTINGS = "{4636856e-540f-4170-a130-a84776f4c654}"
BAD_MEMORY = "{5189b25c-5558-4bf2-bca4-289b11bd29e2}"
HYPERVISOR_SETTINGS = "{7ff607e0-4395-11db-b0de-0800200c9a66}"

# what an object is: its Description!Type
TYPE_MANAGER = 0x10100002
TYPE_LOADER = 0x10200003
TYPE_RESUME = 0x10200004
TYPE_MEMORY_DIAGNOSTIC = 0x10200005
TYPE_SETTINGS = 0x20100000  # that any object may inherit
TYPE_LOADER_SETTINGS = 0x20200003
TYPE_RESUME_SETTINGS = 0x20200004

# elements of all applications
DEVICE = 0x11000001
PATH = 0x12000002
DESCRIPTION = 0x12000004
LOCALE = 0x12000005
INHERIT = 0x14000006
DEBUG_TYPE = 0x15000011
RECOVERY_ENABLED = 0x16000009
BOOT_EMS = 0x16000020
EMS_PORT = 0x15000022
EMS_BAUD_RATE = 0x15000023
GRAPHICS_MODE_DISABLED = 0x16000046
ISOLATED_CONTEXT = 0x16000060
ALLOWED_IN_MEMORY_SETTINGS = 0x17000077
# elements of loaders, and of resume applications
OS_DEVICE = 0x21000001
SYSTEM_ROOT = 0x22000002
RESUME_FILE = 0x22000002
ASSOCIATED_RESUME_OBJECT = 0x23000003
NX_POLICY = 0x25000020
BOOT_MENU_POLICY = 0x250000C2
BOOT_STATUS_POLICY = 0x250000E0
EMS_ENABLED = 0x260000B0
# elements of the boot manager
DEFAULT_OBJECT = 0x23000003
DISPLAY_ORDER = 0x24000001
TOOLS_DISPLAY_ORDER = 0x24000010
TIMEOUT = 0x25000004
DISPLAY_BOOT_MENU = 0x26000020

ELEMENT = "Element"  # the value of an element's key that holds it
_BOOT_DEVICE, _PARTITION, _LOCATE = 5, 6, 8  # kinds of devices
_DEVICE_SIZE = 0x48  # bytes of what follows the options' object


def object_key(guid: str) -> str:
    """The key of an object in its store."""
    return rf"Objects\{guid}"


def element_key(guid: str, element: int) -> str:
    """The key of an object's element in its store."""
    return rf"Objects\{guid}\Elements\{element:08x}"


def braced(guid: uuid.UUID) -> str:
    """A GUID as stores write it."""
    return f"{{{guid}}}"


# -- the values of elements
def text(value: str) -> Value:
    """A string, or the object that an element names."""
    return Value.string(ELEMENT, value)


def texts(values: Iterable[str]) -> Value:
    """A list of objects."""
    return Value.strings(ELEMENT, values)


def integer(value: int) -> Value:
    return Value.binary(ELEMENT, struct.pack("<Q", value))


def integers(values: Iterable[int]) -> Value:
    return Value.binary(ELEMENT, b"".join(struct.pack("<Q", value) for value in values))


def boolean(value: bool) -> Value:
    return Value.binary(ELEMENT, bytes([value]))


def gpt_partition(partition: uuid.UUID, disk: uuid.UUID) -> Value:
    """The device that is a partition of a GPT, told by both GUIDs."""
    return _device(_PARTITION, partition.bytes_le + bytes(8) + disk.bytes_le)


def mbr_partition(offset: int, signature: int) -> Value:
    """The device that is a partition of an MBR, told by where it begins (bytes) and the disk's signature."""
    return _device(_PARTITION, struct.pack("<Q8xIII", offset, 0, 1, signature))


def boot_device() -> Value:
    """The device from which the boot manager itself was loaded."""
    return _device(_BOOT_DEVICE, b"")


def locate(element: int) -> Value:
    """The device on which the path in another element of this object is found, whichever it is."""
    return Value.binary(ELEMENT, bytes(16) + struct.pack("<4IIIIH", _LOCATE, 0, 0x1E, 0, 0, element, 0, 0))


def _device(kind: int, identity: bytes) -> Value:
    payload = identity.ljust(_DEVICE_SIZE - 16, b"\0")
    return Value.binary(ELEMENT, bytes(16) + struct.pack("<4I", kind, 0, _DEVICE_SIZE, 0) + payload)
