"""What a Linux is: its distribution, how it starts, what it is ready for."""

from __future__ import annotations

import re
from dataclasses import dataclass

from dib_py.inside.packages import Files, Packages
from dib_py.target import Inspection
from dib_py.target.base_system import OS_RELEASE, release_fields
from dib_py.windows.partitions import EFI_SYSTEM, PartitionTable

BIOS_BOOT = "21686148-6449-6E6F-744E-656564454649"  # GPT type of the partition that GRUB embeds itself in
_BOOT_CODE = 440  # bytes of a boot record before its table
_KERNEL = re.compile(r"vmlinu[xz]-(?!0-rescue)(?P<version>\d.*)")
_DATASOURCES = re.compile(r"^datasource_list:\s*\[(?P<names>[^\]]*)\]", re.MULTILINE)
_SELINUX = re.compile(r"^SELINUX=(?P<mode>\w+)", re.MULTILINE)
_AGENTS = ("/usr/bin/qemu-ga", "/usr/sbin/qemu-ga")
_SSH_SERVERS = ("/usr/sbin/sshd", "/usr/bin/sshd", "/usr/sbin/dropbear")
_INITS = (("/usr/lib/systemd/systemd", "systemd"), ("/lib/systemd/systemd", "systemd"), ("/sbin/openrc", "openrc"))


@dataclass(frozen=True)
class CloudInit:
    """``version`` is the package's, empty where it is in none; ``datasources`` those that it is told to ask."""

    version: str
    datasources: tuple[str, ...]


@dataclass(frozen=True)
class LinuxFacts:
    """The facts of one Linux; ``boot_modes`` are those of ``UEFI`` and ``BIOS`` that the disk has a loader for."""

    distribution: str
    version: str
    title: str
    architecture: str
    boot_modes: tuple[str, ...]
    kernels: tuple[str, ...]
    init: str
    hostname: str
    package_manager: str
    packages: int | None  # None where they can't be counted
    cloud_init: CloudInit | None
    guest_agent: bool
    ssh_server: bool
    selinux: str


def inspect(
    files: Files, found: Inspection, table: PartitionTable, packages: Packages, boot_record: bytes
) -> LinuxFacts:
    """Look at the files of a Linux; ``boot_record`` is the disk's first sector."""
    release = next((fields for path in OS_RELEASE if (fields := release_fields(files.read(path)))), {})
    return LinuxFacts(
        distribution=found.distro,
        version=found.version,
        title=release.get("PRETTY_NAME", ""),
        architecture=found.arch,
        boot_modes=_boot_modes(files, table, boot_record),
        kernels=_kernels(files),
        init=next((name for path, name in _INITS if files.exists(path)), ""),
        hostname=files.read("/etc/hostname").strip(),
        package_manager=packages.manager,
        packages=packages.count if packages.is_read else None,
        cloud_init=_cloud_init(files, packages),
        guest_agent=any(map(files.exists, _AGENTS)),
        ssh_server=any(map(files.exists, _SSH_SERVERS)),
        selinux=match["mode"] if (match := _SELINUX.search(files.read("/etc/selinux/config"))) else "",
    )


def _boot_modes(files: Files, table: PartitionTable, boot_record: bytes) -> tuple[str, ...]:
    has_esp = any(one.type in (EFI_SYSTEM, "EF") for one in table.partitions)
    has_code = any(boot_record[:_BOOT_CODE])
    embeds = table.kind == "dos" or any(one.type == BIOS_BOOT for one in table.partitions)
    found = {
        "UEFI": has_esp and any(files.names(f"{point}/EFI") for point in ("/boot/efi", "/efi", "/boot")),
        "BIOS": has_code and embeds,
    }
    return tuple(name for name, there in found.items() if there)


def _kernels(files: Files) -> tuple[str, ...]:
    named = {match["version"] for name in files.names("/boot") if (match := _KERNEL.fullmatch(name))}
    if not named:
        modules = files.names("/usr/lib/modules") or files.names("/lib/modules")
        named = {name for name in modules if name[:1].isdigit()}
    return tuple(sorted(named))


def _cloud_init(files: Files, packages: Packages) -> CloudInit | None:
    names = (name for name in packages.versions if re.fullmatch(r"cloud-init(?:[.:]\w+)?", name))
    package = next(names, "")
    if not package and not files.exists("/usr/bin/cloud-init"):
        return None
    chosen: tuple[str, ...] = ()
    directory = "/etc/cloud/cloud.cfg.d"
    places = [
        "/etc/cloud/cloud.cfg",
        *(f"{directory}/{name}" for name in files.names(directory) if name[-4:] == ".cfg"),
    ]
    for path in places:  # the last one counts
        for match in _DATASOURCES.finditer(files.read(path)):
            chosen = tuple(name.strip(" \"'") for name in match["names"].split(",") if name.strip())
    return CloudInit(packages.versions.get(package, ""), chosen)
