"""What phony guests have in their registry: the keys that the engine reads or edits, with what Windows has there."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import dataclass

from dib_py.windows.hive import Value

Keys = dict[str, list[Value]]

DISK = uuid.UUID("d15c0000-5eed-4000-8000-00000000d15c")
ESP = uuid.UUID("e59e59e5-5eed-4000-8000-0000000000e5")
RESERVED = uuid.UUID("e59e59e5-5eed-4000-8000-00000000005e")
SYSTEM_PARTITION = uuid.UUID("c0c0c0c0-5eed-4000-8000-0000000000c0")
SIGNATURE = 0x5EEDD15C  # of a disk with a master boot record
BIOS_BOOT, BIOS_SYSTEM = 1 << 20, 65 << 20  # bytes at which the partitions of such a disk begin

BOOTMGR = "{9dea862c-5cdd-4e70-acc1-f32b344d4795}"
MEMDIAG = "{b2721d73-1db4-4c62-bf78-c548a880142d}"
GLOBAL_SETTINGS = "{7ea2e1ac-2e61-4728-aaa3-896d9d0a9f0e}"
LOADER_SETTINGS = "{6efb52bf-1766-41db-a6b3-0ee5eff72bd7}"
RESUME_SETTINGS = "{1afa9c49-16ab-4a5c-901b-212802da9460}"
EMS_SETTINGS = "{0ce4991b-e6b3-4b16-b23c-5e0d9250e5d9}"
DEBUG_SETTINGS = "{4636856e-540f-4170-a130-a84776f4c654}"
BAD_MEMORY = "{5189b25c-5558-4bf2-bca4-289b11bd29e2}"
LOADER = "{5eed5eed-0001-11ee-8000-00000000000a}"
RESUME = "{5eed5eed-0001-11ee-8000-00000000000b}"

_RDP = "App=%SystemRoot%\\system32\\svchost.exe|Svc=termservice|"
FIREWALL_RULES = {  # as they ship: there, but not active
    "RemoteDesktop-UserMode-In-TCP": "v2.10|Action=Allow|Active=FALSE|Dir=In|Protocol=6|LPort=3389|"
    + _RDP
    + "Name=@FirewallAPI.dll,-28775|Desc=@FirewallAPI.dll,-28756|EmbedCtxt=@FirewallAPI.dll,-28752|",
    "RemoteDesktop-UserMode-In-UDP": "v2.10|Action=Allow|Active=FALSE|Dir=In|Protocol=17|LPort=3389|"
    + _RDP
    + "Name=@FirewallAPI.dll,-28776|Desc=@FirewallAPI.dll,-28777|EmbedCtxt=@FirewallAPI.dll,-28752|",
    "FPS-ICMP4-ERQ-In": "v2.10|Action=Allow|Active=FALSE|Dir=In|Protocol=1|Profile=Private|ICMP4=8:*|"
    "Name=@FirewallAPI.dll,-28543|Desc=@FirewallAPI.dll,-28547|EmbedCtxt=@FirewallAPI.dll,-28502|",
    "FPS-ICMP6-ERQ-In": "v2.10|Action=Allow|Active=FALSE|Dir=In|Protocol=58|Profile=Private|ICMP6=128:*|"
    "Name=@FirewallAPI.dll,-28545|Desc=@FirewallAPI.dll,-28547|EmbedCtxt=@FirewallAPI.dll,-28502|",
}


@dataclass(frozen=True)
class Generation:
    """One generation as its registry tells of it; ``numbers`` are NT's, ``kind`` is InstallationType."""

    product: str
    numbers: tuple[int, int]
    build: int
    kind: str
    edition: str

    @property
    def has_driver_database(self) -> bool:
        return self.numbers >= (6, 2)


GENERATIONS = {
    "7": Generation("Windows 7 Professional", (6, 1), 7601, "Client", "Professional"),
    "2008 R2": Generation("Windows Server 2008 R2 Standard", (6, 1), 7601, "Server", "ServerStandard"),
    "2012": Generation("Windows Server 2012 Standard", (6, 2), 9200, "Server", "ServerStandard"),
    "8.1": Generation("Windows 8.1 Pro", (6, 3), 9600, "Client", "Professional"),
    "2012 R2": Generation("Windows Server 2012 R2 Standard", (6, 3), 9600, "Server", "ServerStandard"),
    "2016": Generation("Windows Server 2016 Standard", (10, 0), 14393, "Server", "ServerStandard"),
    "2019": Generation("Windows Server 2019 Datacenter", (10, 0), 17763, "Server Core", "ServerDatacenter"),
    "2022": Generation("Windows Server 2022 Standard", (10, 0), 20348, "Server", "ServerStandard"),
    "2025": Generation("Windows Server 2025 Standard", (10, 0), 26100, "Server", "ServerStandard"),
    "10": Generation("Windows 10 Pro", (10, 0), 19045, "Client", "Professional"),
    "11": Generation("Windows 10 Pro", (10, 0), 22631, "Client", "Professional"),  # what its registry really says
}


def software(generation: Generation, image_state: str | None, system_root: str) -> Keys:
    major, minor = generation.numbers
    version = [
        Value.string("ProductName", generation.product),
        Value.string("CurrentVersion", "6.3" if major == 10 else f"{major}.{minor}"),
        Value.string("CurrentBuild", str(generation.build)),
        Value.string("CurrentBuildNumber", str(generation.build)),
        Value.string("InstallationType", generation.kind),
        Value.string("EditionID", generation.edition),
        Value.string("SystemRoot", rf"C:\{system_root}"),
    ]
    if major == 10:
        version += [
            Value.dword("CurrentMajorVersionNumber", 10),
            Value.dword("CurrentMinorVersionNumber", 0),
            Value.dword("UBR", 2113),
        ]
    windows = r"Microsoft\Windows\CurrentVersion"
    keys: Keys = {
        r"Microsoft\Windows NT\CurrentVersion": version,
        r"Microsoft\Windows NT\CurrentVersion\Winlogon": [Value.string("AutoAdminLogon", "0")],
        windows: [Value.string("DevicePath", r"%SystemRoot%\inf", expand=True)],
        rf"{windows}\Policies\System": [Value.dword("EnableLUA", 1)],
        rf"{windows}\Setup\PnpLockdownFiles": [],
        r"Microsoft\PowerShell\1\ShellIds\Microsoft.PowerShell": [
            Value.string("Path", r"C:\Windows\System32\WindowsPowerShell\v1.0\powershell.exe")
        ],
        "Policies": [],
    }
    if image_state is not None:
        keys[rf"{windows}\Setup\State"] = [Value.string("ImageState", image_state)]
    return keys


def system(
    generation: Generation,
    *,
    current: int,
    default: int,
    uefi: bool,
    architecture: str,
    image_state: str | None,
) -> Keys:
    generalized = image_state is not None and image_state != "IMAGE_STATE_COMPLETE"
    keys: Keys = {
        "Select": [
            Value.dword("Current", current),
            Value.dword("Default", default),
            Value.dword("Failed", 0),
            Value.dword("LastKnownGood", current),
        ],
        "MountedDevices": _mounted_devices(uefi),
        "Setup": [
            Value.dword("SystemSetupInProgress", int(generalized)),
            Value.dword("OOBEInProgress", int(generalized)),
            Value.dword("SetupType", 2 if generalized else 0),
            Value.string("CmdLine", r"oobe\windeploy.exe" if generalized else ""),
        ],
    }
    for number in sorted({current, default}):
        for path, values in _control_set(architecture).items():
            keys[f"ControlSet{number:03d}\\{path}"] = values
        if not generation.has_driver_database:
            keys[rf"ControlSet{number:03d}\Control\CriticalDeviceDatabase"] = []
    if generation.has_driver_database:
        keys |= {
            "DriverDatabase": [Value.binary("OemInfMap", b"\x80"), Value.binary("UpdateDate", bytes(8))],
            r"DriverDatabase\DeviceIds\PCI": [],
            r"DriverDatabase\DriverInfFiles": [],
            r"DriverDatabase\DriverPackages": [],
        }
    return keys


def drivers() -> Keys:
    return {rf"DriverDatabase\{name}": [] for name in ("DeviceIds", "DriverInfFiles", "DriverPackages")}


def _control_set(architecture: str) -> Keys:
    firewall = r"Services\SharedAccess\Parameters\FirewallPolicy"
    word = {"amd64": "AMD64", "x86": "x86", "arm64": "ARM64"}[architecture]
    return {
        r"Control\ComputerName\ComputerName": [Value.string("ComputerName", "PHONY")],
        r"Control\CrashControl": [Value.dword("AutoReboot", 1), Value.dword("CrashDumpEnabled", 7)],
        r"Control\Power": [Value.dword("HibernateEnabledDefault", 1)],
        r"Control\Power\User\PowerSchemes": [Value.string("ActivePowerScheme", "381b4222-f694-41f0-9685-ff5bb260df2e")],
        r"Control\Session Manager\Environment": [
            Value.string("PROCESSOR_ARCHITECTURE", word),
            Value.string("windir", "%SystemRoot%", expand=True),
        ],
        r"Control\Session Manager\Memory Management": [Value.strings("PagingFiles", [r"?:\pagefile.sys"])],
        r"Control\Session Manager\Power": [Value.dword("HiberbootEnabled", 1)],
        r"Control\Terminal Server": [Value.dword("fDenyTSConnections", 1)],
        r"Control\Terminal Server\WinStations\RDP-Tcp": [
            Value.dword("UserAuthentication", 1),
            Value.dword("SecurityLayer", 2),
            Value.dword("PortNumber", 3389),
        ],
        r"Control\TimeZoneInformation": [Value.string("TimeZoneKeyName", "Pacific Standard Time")],
        r"Services\EventLog\System": [],
        r"Services\partmgr\Parameters": [],
        r"Services\sacdrv": [Value.dword("Start", 0), Value.dword("Type", 1)],
        rf"{firewall}\FirewallRules": [Value.string(name, rule) for name, rule in FIREWALL_RULES.items()],
        rf"{firewall}\StandardProfile": [Value.dword("EnableFirewall", 1)],
        r"Services\Tcpip\Parameters": [Value.string("Hostname", "phony"), Value.string("NV Hostname", "phony")],
    }


def _mounted_devices(uefi: bool) -> list[Value]:
    if uefi:
        place = b"DMIO:ID:" + SYSTEM_PARTITION.bytes_le
    else:
        place = SIGNATURE.to_bytes(4, "little") + BIOS_SYSTEM.to_bytes(8, "little")
    return [Value.binary(r"\DosDevices\C:", place)]


def boot_store(uefi: bool) -> Keys:
    """Boot configuration data as a fresh installation has them."""
    suffix = "efi" if uefi else "exe"
    manager = [("12000002", Value.string("Element", r"\EFI\Microsoft\Boot\bootmgfw.efi"))] if uefi else []
    return {
        "Description": [
            Value.string("KeyName", "BCD00000000"),
            Value.dword("System", 1),
            Value.dword("TreatAsSystem", 1),
        ],
        **_object(
            BOOTMGR,
            0x10100002,
            [
                ("11000001", _partition(uefi, boot=True)),
                *manager,
                ("12000004", Value.string("Element", "Windows Boot Manager")),
                ("14000006", Value.strings("Element", [GLOBAL_SETTINGS])),
                ("23000003", Value.string("Element", LOADER)),
                ("24000001", Value.strings("Element", [LOADER])),
                ("24000010", Value.strings("Element", [MEMDIAG])),
                ("25000004", _integer(30)),
            ],
        ),
        **_object(
            LOADER,
            0x10200003,
            [
                ("11000001", _partition(uefi)),
                ("12000002", Value.string("Element", rf"\Windows\system32\winload.{suffix}")),
                ("12000004", Value.string("Element", "Windows")),
                ("14000006", Value.strings("Element", [LOADER_SETTINGS])),
                ("16000009", _boolean(True)),
                ("21000001", _partition(uefi)),
                ("22000002", Value.string("Element", r"\Windows")),
                ("23000003", Value.string("Element", RESUME)),
                ("25000020", _integer(3)),
            ],
        ),
        **_object(
            RESUME,
            0x10200004,
            [
                ("11000001", _partition(uefi)),
                ("12000002", Value.string("Element", rf"\Windows\system32\winresume.{suffix}")),
                ("14000006", Value.strings("Element", [RESUME_SETTINGS])),
                ("22000002", Value.string("Element", r"\hiberfil.sys")),
            ],
        ),
        **_object(
            MEMDIAG,
            0x10200005,
            [
                ("11000001", _partition(uefi, boot=True)),
                ("12000002", Value.string("Element", r"\boot\memtest.exe")),
            ],
        ),
        **_object(
            GLOBAL_SETTINGS,
            0x20100000,
            [
                ("14000006", Value.strings("Element", [DEBUG_SETTINGS, EMS_SETTINGS, BAD_MEMORY])),
            ],
        ),
        **_object(LOADER_SETTINGS, 0x20200003, [("14000006", Value.strings("Element", [GLOBAL_SETTINGS]))]),
        **_object(RESUME_SETTINGS, 0x20200004, [("14000006", Value.strings("Element", [GLOBAL_SETTINGS]))]),
        **_object(EMS_SETTINGS, 0x20100000, [("16000020", _boolean(False))]),
        **_object(DEBUG_SETTINGS, 0x20100000, [("15000011", _integer(4))]),
        **_object(BAD_MEMORY, 0x20100000, []),
    }


def _object(guid: str, kind: int, elements: Iterable[tuple[str, Value]]) -> Keys:
    return {
        rf"Objects\{guid}\Description": [Value.dword("Type", kind)],
        rf"Objects\{guid}\Elements": [],
    } | {rf"Objects\{guid}\Elements\{element}": [value] for element, value in elements}


def _partition(uefi: bool, *, boot: bool = False) -> Value:
    """A device element that is a partition: the options' object, type 6, flags, size, and the partition's identity."""
    if uefi:
        partition = ESP if boot else SYSTEM_PARTITION
        place = partition.bytes_le + bytes(8) + DISK.bytes_le + bytes(16)
    else:
        start = BIOS_BOOT if boot else BIOS_SYSTEM
        place = start.to_bytes(8, "little") + bytes(12) + b"\1\0\0\0" + SIGNATURE.to_bytes(4, "little") + bytes(28)
    head = bytes(16) + b"".join(number.to_bytes(4, "little") for number in (6, 0, 0x48, 0))
    return Value.binary("Element", head + place)


def _integer(number: int) -> Value:
    return Value.binary("Element", number.to_bytes(8, "little"))


def _boolean(true: bool) -> Value:
    return Value.binary("Element", bytes([true]))
