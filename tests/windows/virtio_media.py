r"""Phony virtio-win media: the directories of the real one, with INF files of the real structure and stubs besides.

The INF files are ours; what they have in common with the real ones is what the engine reads: the decorated models, ids,
install sections with their companions, services, settings, destinations. As in real releases some are UTF-16, some
UTF-8, some plain text.

>>> files = media(["2k22", "w10"])               # path -> content
>>> write_iso(files, tmp_path / "virtio-win.iso")
>>> write_directory(distribution(files), tmp_path / "virtio-win")
"""

from __future__ import annotations

import io
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import pycdlib

from tests.windows.phony import program

Files = dict[str, bytes]

SERVERS = ("2k8", "2k8R2", "2k12", "2k12R2", "2k16", "2k19", "2k22", "2k25")
CLIENTS = ("w7", "w8", "w8.1", "w10", "w11")
ALL = (*SERVERS, *CLIENTS)
NEW = ("2k16", "2k19", "2k22", "2k25", "w10", "w11")
OLD = ("w7", "2k8", "2k8R2")
CO_INSTALLER = "WdfCoInstaller01009.dll"
FROM_8 = ("2k12", "2k12R2", "w8", "w8.1", *NEW)
STORAGE, SYSTEM = "4D36E97B-E325-11CE-BFC1-08002BE10318", "4d36e97d-e325-11ce-bfc1-08002be10318"
NET, DISPLAY = "4d36e972-e325-11ce-bfc1-08002be10318", "4d36e968-e325-11ce-bfc1-08002be10318"
HID, PORTS = "745a17a0-74d3-11d0-b6fe-00a0c90f57da", "4D36E978-E325-11CE-BFC1-08002BE10318"
VERSION, DATE = "100.90.104.21500", "12/02/2021"


@dataclass(frozen=True)
class Driver:
    """One directory of the media: ``ids`` are lines of hardware ids, ``beside`` files that the INF does not name."""

    directory: str
    inf: str
    kind: str  # which of the structures below
    class_name: str
    class_guid: str
    service: str
    ids: tuple[str, ...]
    windows: tuple[str, ...] = ALL
    beside: tuple[str, ...] = ()
    encoding: str = "ascii"


def _pci(legacy: str, subsystem: str, modern: str) -> tuple[str, ...]:
    ids = ((legacy, f"SUBSYS_{subsystem}1AF4&REV_00"), (modern, "SUBSYS_11001AF4&REV_01"))
    return tuple(f"PCI\\VEN_1AF4&DEV_{id}&{rest}, PCI\\VEN_1AF4&DEV_{id}" for id, rest in ids if id)


DRIVERS = (
    Driver("viostor", "viostor", "storage", "SCSIAdapter", STORAGE, "viostor", _pci("1001", "0002", "1042")),
    Driver("vioscsi", "vioscsi", "storage", "SCSIAdapter", STORAGE, "vioscsi", _pci("1004", "0008", "1048")),
    Driver(
        *("NetKVM", "netkvm", "net", "Net", NET, "netkvm", _pci("1000", "0001", "1041")),
        beside=("netkvmp.exe", "netkvmno.dll", "vioprot.inf", "vioprot.sys", "vioprot.cat"),
    ),
    Driver(
        *("Balloon", "balloon", "framework", "System", SYSTEM, "BALLOON", _pci("1002", "0005", "1045")),
        beside=("blnsvr.exe", "blnsvr.pdb"),
        encoding="utf-8-sig",
    ),
    Driver("vioserial", "vioser", "framework", "System", SYSTEM, "VirtioSerial", _pci("1003", "0003", "1043")),
    Driver(
        *("viorng", "viorng", "framework", "System", SYSTEM, "VirtRng", _pci("1005", "0004", "1044")),
        encoding="utf-16",
    ),
    Driver("pvpanic", "pvpanic", "framework", "System", SYSTEM, "pvpanic", ("ACPI\\QEMU0001",), FROM_8),
    Driver("pvpanic", "pvpanic-pci", "framework", "System", SYSTEM, "pvpanicpci", ("PCI\\VEN_1B36&DEV_0011",), FROM_8),
    Driver("fwcfg", "fwcfg", "framework", "System", SYSTEM, "fwcfg", ("ACPI\\QEMU0002",), ("2k16", "2k19", "w10")),
    Driver("qemufwcfg", "qemufwcfg", "null", "System", SYSTEM, "", ("ACPI\\QEMU0002",), FROM_8),
    Driver("qemupciserial", "qemupciserial", "inbox", "Ports", PORTS, "Serial", ("PCI\\VEN_1b36&DEV_0002&CC_0700",)),
    Driver("qxl", "qxl", "display", "Display", DISPLAY, "qxl", ("PCI\\VEN_1B36&DEV_0100",), ("w7", "2k8R2")),
    Driver("qxldod", "qxldod", "display", "Display", DISPLAY, "QxlDod", ("PCI\\VEN_1B36&DEV_0100",), FROM_8),
    Driver(
        *("viogpudo", "viogpudo", "display", "Display", DISPLAY, "VioGpuDod"),
        ("PCI\\VEN_1AF4&DEV_1050&SUBSYS_11001AF4&REV_01",),
        NEW,
    ),
    Driver(
        *("vioinput", "vioinput", "framework", "HIDClass", HID, "VirtioInput", _pci("", "", "1052")),
        beside=("viohidkmdf.sys",),
    ),
    Driver(
        "viofs", "viofs", "framework", "System", SYSTEM, "VirtioFsDrv", _pci("", "", "105A"), NEW, ("virtiofs.exe",)
    ),
    Driver("sriov", "vioprot", "net", "Net", NET, "vioprot", _pci("", "", "1041"), NEW),
    Driver("smbus", "smbus", "null", "System", SYSTEM, "", ("PCI\\VEN_8086&DEV_2930",)),
)


def architectures(windows: str) -> tuple[str, ...]:
    """Those of which the media have drivers for a generation, as directories are called there."""
    if windows in ("w10", "w11"):
        return ("amd64", "ARM64") if windows == "w11" else ("amd64", "x86", "ARM64")
    return ("x86", "amd64") if windows in ("w7", "w8", "w8.1", "2k8") else ("amd64",)


def media(windows: Iterable[str] = ALL, drivers: Collection[str] | None = None) -> Files:
    """The files of an ISO for these generations, and these drivers' directories only if some are named."""
    files: Files = {
        "virtio-win_license.txt": b"phony\r\n",
        "guest-agent/qemu-ga-x86_64.msi": b"phony agent",
        "guest-agent/qemu-ga-i386.msi": b"phony agent",
        "virtio-win-gt-x64.msi": b"phony tools",
        "cert/Virtio_Win_Red_Hat_CA.cer": b"phony certificate",
    }
    for name in windows:
        for driver in DRIVERS:
            if name in driver.windows and (drivers is None or driver.directory in drivers):
                for arch in architectures(name):
                    for file, content in package(driver, name, arch).items():
                        files[f"{driver.directory}/{name}/{arch}/{file}"] = content
        if name in NEW and drivers is None:  # what Setup of Windows looks through by itself
            for driver in DRIVERS[:2]:
                for file, content in package(driver, name, "amd64").items():
                    files[f"amd64/{name}/{file}"] = content
    return files


def distribution(files: Mapping[str, bytes]) -> Files:
    """The same as a distribution's package has it: by driver, and by generation with all drivers in one directory."""
    found: Files = {}
    for path, content in files.items():
        parts = PurePosixPath(path).parts
        if len(parts) == 4:
            driver, windows, arch, file = parts
            found[f"drivers/by-driver/{driver}/{windows}/{arch}/{file}"] = content
            found[f"drivers/by-os/{arch}/{windows}/{file}"] = content
        elif not path.startswith("amd64/"):
            found[path] = content
    return found


def package(driver: Driver, windows: str, arch: str) -> Files:
    """A driver's directory; programs tell which they are, so that no two are alike."""
    word = arch.lower()
    text = _STRUCTURES[driver.kind](driver, windows, f"NT{word}")
    files = {
        f"{driver.inf}.inf": text.replace("\n", "\r\n").encode(driver.encoding),
        f"{driver.inf}.cat": f"phony catalog of {driver.inf} for {windows} {arch}".encode(),
    }
    if driver.kind not in ("null", "inbox"):
        stub = program(word, subsystem=1, code=f"{driver.inf} {windows} {arch}".encode())
        files |= {f"{driver.inf}.sys": stub, f"{driver.inf}.pdb": b"symbols"}
        if driver.kind == "framework" and windows in OLD:
            files[CO_INSTALLER] = b"phony co-installer"
    return files | {name: f"{name} for {windows} {arch}".encode() for name in driver.beside}


def _version(driver: Driver) -> str:
    return f"""; {driver.inf}.inf, phony
[Version]
Signature="$Windows NT$"
Class={driver.class_name}
ClassGUID={{{driver.class_guid}}}
Provider=%VENDOR%
DriverVer={DATE},{VERSION} ; stamped
CatalogFile={driver.inf}.cat
PnpLockdown=1
"""


def _models(driver: Driver, decoration: str, install: str) -> str:
    lines = "".join(f"%Device.DeviceDesc% = {install}, {ids}\n" for ids in driver.ids)
    return f"""
[Manufacturer]
%VENDOR%   = Models,{decoration}

[Models.{decoration}]
{lines}"""


def _files(driver: Driver, *more: str) -> str:
    rest = "".join(f"{name} = 1 ; the number is that of the disk\n" for name in more)
    return f"""
[SourceDisksNames]
1 = %DiskId1%,,,""

[SourceDisksFiles]
{driver.inf}.sys = 1,,
{rest}
[DestinationDirs]
DefaultDestDir = 12

[Driver_Files]
{driver.inf}.sys,,,2
"""


def _strings(driver: Driver, *more: str) -> str:
    rest = "\n".join(more)
    return f"""
[Strings]
VENDOR = "Red Hat, Inc."
diskId1 = "Installation disk of {driver.inf}"
Device.DeviceDesc = "Red Hat VirtIO {driver.inf} device"
{rest}
"""


def _storage(driver: Driver, windows: str, decoration: str) -> str:
    bus = {"viostor": "0x00000001", "vioscsi": "0x0000000A"}[driver.inf]
    return f"""{_version(driver)}{_files(driver)}{_models(driver, decoration, "scsi_inst")}
[scsi_inst]
CopyFiles=Driver_Files

[scsi_inst.Services]
AddService = {driver.service}, 0x00000002 , scsi_Service_Inst, scsi_EventLog_Inst

[scsi_Service_Inst]
ServiceType    = %SERVICE_KERNEL_DRIVER%
StartType      = %SERVICE_BOOT_START%
ErrorControl   = %SERVICE_ERROR_NORMAL%
ServiceBinary  = %12%\\{driver.inf}.sys
LoadOrderGroup = SCSI miniport
AddReg         = pnpsafe_pci_addreg

[scsi_inst.HW]
AddReg         = msix

[scsi_EventLog_Inst]
AddReg = EventLog

[EventLog]
HKR,,EventMessageFile,%REG_EXPAND_SZ%,"%%SystemRoot%%\\System32\\IoLogMsg.dll"
HKR,,TypesSupported,%REG_DWORD%,7

[pnpsafe_pci_addreg]
HKR, "Parameters\\PnpInterface", "5", %REG_DWORD%, 0x00000001
HKR, "Parameters", "BusType", %REG_DWORD%, {bus}

[msix]
HKR, "Interrupt Management",, 0x00000010
HKR, "Interrupt Management\\MessageSignaledInterruptProperties",, 0x00000010
HKR, "Interrupt Management\\MessageSignaledInterruptProperties", MSISupported, 0x00010001, 1
HKR, "Interrupt Management\\MessageSignaledInterruptProperties", MessageNumberLimit, 0x00010001, 256
HKR, "Interrupt Management\\Affinity Policy",, 0x00000010
HKR, "Interrupt Management\\Affinity Policy", DevicePolicy, 0x00010001, 5
{
        _strings(
            driver,
            "REG_EXPAND_SZ  = 0x00020000",
            "REG_DWORD      = 0x00010001",
            "SERVICE_KERNEL_DRIVER  = 1",
            "SERVICE_BOOT_START     = 0",
            "SERVICE_ERROR_NORMAL   = 1",
        )
    }"""


def _framework(driver: Driver, windows: str, decoration: str) -> str:
    installer = (CO_INSTALLER,) if windows in OLD else ()
    return f"""{_version(driver)}{_files(driver, *installer)}{_models(driver, decoration, "Device_Install")}
[Device_Install.NT]
CopyFiles=Driver_Files

[Device_Install.NT.HW]
AddReg=Interrupts

[Interrupts]
HKR,Interrupt Management,,0x00000010
HKR,Interrupt Management\\MessageSignaledInterruptProperties,,0x00000010
HKR,Interrupt Management\\MessageSignaledInterruptProperties,MSISupported,0x00010001,1
HKR,Interrupt Management\\MessageSignaledInterruptProperties,MessageNumberLimit,0x00010001,\\
    2

[Device_Install.NT.Services]
AddService = {driver.service},%SPSVCINST_ASSOCSERVICE%,Service_Inst

[Service_Inst]
DisplayName    = %Device.Service%
ServiceType    = 1               ; SERVICE_KERNEL_DRIVER
StartType      = 3               ; SERVICE_DEMAND_START
ErrorControl   = 1               ; SERVICE_ERROR_NORMAL
ServiceBinary  = %12%\\{driver.inf}.sys

[Device_Install.NT.Wdf]
KmdfService =  {driver.service}, Framework

[Framework]
KmdfLibraryVersion = {"1.9" if windows in OLD else "1.15"}
{_strings(driver, "SPSVCINST_ASSOCSERVICE= 0x00000002", f'Device.Service = "VirtIO {driver.inf} Service"')}"""


def _net(driver: Driver, windows: str, decoration: str) -> str:
    return f"""{_version(driver)}{_files(driver)}{_models(driver, decoration, "kvmnet6.ndi")}
[kvmnet6.ndi.hw]
AddReg          = kvmnet6.EnableMSI

[kvmnet6.EnableMSI]
HKR, "Interrupt Management\\MessageSignaledInterruptProperties", MSISupported, 0x00010001, 1

[kvmnet6.ndi]
Characteristics = 0x84
BusType     = 5
AddReg          = kvmnet6.Reg
CopyFiles       = Driver_Files
*IfType         = 6

[kvmnet6.Reg]
HKR, Ndi,                         Service,             0, "{driver.service}"

[kvmnet6.ndi.Services]
AddService      = {driver.service}, 2, kvmnet6.Service

[kvmnet6.Service]
ServiceType     = 1 ;%SERVICE_KERNEL_DRIVER%
StartType       = 3 ;%SERVICE_DEMAND_START%
ErrorControl    = 1
ServiceBinary   = %12%\\{driver.inf}.sys
LoadOrderGroup  = NDIS
{_strings(driver, 'Enable* = "Enabled*"', 'Tx = "Tx Enabled"; ')}"""


def _display(driver: Driver, windows: str, decoration: str) -> str:
    return f"""{_version(driver)}{_files(driver)}{_models(driver, decoration, "Dod_Inst")}
[Dod_Inst]
Include=msdv.inf
FeatureScore=F9
CopyFiles=Driver_Files

[Dod_Inst.Services]
AddService = {driver.service},0x00000002,Dod_Service_Inst

[Dod_Service_Inst]
ServiceType = 1
StartType = 3
ErrorControl = 0
ServiceBinary = %12%\\{driver.inf}.sys
{_strings(driver)}"""


def _null(driver: Driver, windows: str, decoration: str) -> str:
    return f"""{_version(driver)}{_models(driver, decoration, "Null_Device")}
[Null_Device.NT]

[Null_Device.NT.Services]
AddService = ,2    ; no value for the service name
{_strings(driver)}"""


def _inbox(driver: Driver, windows: str, decoration: str) -> str:
    """Windows has the driver itself; the INF only gives it one more id."""
    return f"""{_version(driver)}{_models(driver, decoration, "ComPort")}
[SourceDisksNames]
3426=windows cd

[SourceDisksFiles]
serial.sys      = 3426

[ComPort.NT]
LogConfig=caa

[ComPort.NT.Services]
AddService = Serial, 0x00000002, Serial_Service_Inst

[Serial_Service_Inst]
ServiceType    = 1
StartType      = 1
ErrorControl   = 0
ServiceBinary  = %12%\\serial.sys
LoadOrderGroup = Extended base

[caa]
ConfigPriority=HARDRECONFIG
IOConfig=8@100-ffff%fff8(3ff::)
{_strings(driver)}"""


_STRUCTURES = {
    "storage": _storage,
    "framework": _framework,
    "net": _net,
    "display": _display,
    "null": _null,
    "inbox": _inbox,
}


def write_directory(files: Mapping[str, bytes], root: Path) -> Path:
    for path, content in files.items():
        place = root / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
    return root


def write_iso(files: Mapping[str, bytes], image: Path, *, rock_ridge: bool = True, joliet: bool = True) -> Path:
    """An ISO 9660 image; without Rock Ridge and Joliet its names are in capitals, with a version."""
    iso = pycdlib.PyCdlib()
    iso.new(interchange_level=4, joliet=3 if joliet else None, rock_ridge="1.09" if rock_ridge else None)
    made: set[str] = set()
    for path, content in sorted(files.items()):
        parts = PurePosixPath(path).parts
        for depth in range(1, len(parts)):
            directory = "/".join(parts[:depth])
            if directory.upper() not in made:
                made.add(directory.upper())
                iso.add_directory(f"/{directory.upper()}", **_names(directory, rock_ridge, joliet))
        names = _names(path, rock_ridge, joliet)
        iso.add_fp(io.BytesIO(content), len(content), f"/{path.upper()};1", **names)
    iso.write(str(image))
    iso.close()
    return image


def _names(path: str, rock_ridge: bool, joliet: bool) -> dict[str, str]:
    names = {"joliet_path": f"/{path}"} if joliet else {}
    return names | ({"rr_name": PurePosixPath(path).name} if rock_ridge else {})
