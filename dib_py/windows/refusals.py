"""What a Windows image is refused for, before anything of it is changed, each with what to do.

Each function looks at one thing and tells what it finds; :func:`refuse` makes one error of all of it. A user who knows
better sets the variable that the remedy names.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from dib_py.errors import BaseError, DibError
from dib_py.units import MIB
from dib_py.windows.inspection import AUDIT, COMPLETE, UNDEPLOYABLE, Hibernation, Inspection
from dib_py.windows.partitions import DYNAMIC, DYNAMIC_MBR, PartitionTable
from dib_py.windows.registry import Registry
from dib_py.windows.volume import Volume

DISCARD_SESSION = "DIB_WINDOWS_REMOVE_HIBERFILE"
DISCARD_LOGS = "DIB_WINDOWS_DISCARD_HIVE_LOGS"
IGNORE_DRIVER_POLICY = "DIB_WINDOWS_IGNORE_DRIVER_POLICY"

LEAST_ROOM = 100 * MIB  # bytes of C: that stay free; what virt-v2v asks for too
_STORAGE_SPACES = "E75CAF8F-F680-4CEE-AFA3-B001E56EFC2D"  # GPT type of a pool's member
_SHUT_DOWN = "start it once more and shut it down with: shutdown /s /t 0"
_RESTRICTIONS = r"HKLM\SOFTWARE\Policies\Microsoft\Windows\DeviceInstall\Restrictions"
_FORBIDDING = ("DenyUnspecified", "DenyDeviceIDs", "DenyDeviceClasses", "DenyInstanceIDs")
_SYSPREP = r"C:\Windows\System32\Sysprep\sysprep.exe /generalize /oobe /shutdown"
DECOMPRESS = "in the running guest: compact /compactos:never"


@dataclass(frozen=True)
class Refusal:
    """``reason`` is what is wrong and ``remedy`` what to do about it."""

    reason: str
    remedy: str


def refuse(found: Iterable[Refusal]) -> None:
    """BaseError with all that was found; nothing where that is nothing."""
    refusals = list(found)
    if len(refusals) == 1:
        raise BaseError(f"the image can't be worked on: {refusals[0].reason}", hint=refusals[0].remedy)
    if refusals:
        told = "".join(f"\n- {one.reason}\n  {one.remedy}" for one in refusals)
        raise BaseError(f"the image can't be worked on, for {len(refusals)} reasons:{told}")


def appliance(writes_ntfs: bool) -> Iterator[Refusal]:
    """For a libguestfs appliance that may lack ntfs-3g, as RHEL's does."""
    if not writes_ntfs:
        yield Refusal(
            "the libguestfs appliance of this machine can't write NTFS",
            "Debian's, Ubuntu's and Fedora's can, with ntfs-3g installed; the one of RHEL and its rebuilds can't",
        )


def disk(table: PartitionTable) -> Iterator[Refusal]:
    """For a disk with what no free driver can write: BitLocker, ReFS, dynamic disks, storage spaces."""
    dynamic = {*DYNAMIC, DYNAMIC_MBR} if table.kind == "dos" else set(DYNAMIC)
    if any(partition.type.upper() in dynamic for partition in table.partitions):
        yield Refusal(
            "its disk is a dynamic one",
            "convert it to a basic disk, or capture the volume and apply it to one",
        )
    for partition in table.partitions:
        where = f"partition {partition.number}"
        if partition.fstype.casefold() == "bitlocker":
            yield Refusal(
                f"{where} is encrypted by BitLocker, or is about to be: Windows 11 prepares it on its own",
                "in the running guest: manage-bde -off C: and wait until manage-bde -status says Fully Decrypted",
            )
        elif partition.fstype.casefold() == "refs":
            yield Refusal(f"{where} has ReFS, which only Windows can write", "install Windows on NTFS")
        elif partition.type.upper() == _STORAGE_SPACES:
            yield Refusal(f"{where} belongs to a pool of storage spaces", "install Windows on a plain partition")


def installation(facts: Inspection, variables: Mapping[str, str]) -> Iterator[Refusal]:
    """For the state in which Windows left its volume."""
    if facts.hibernation is Hibernation.SAVED and not _is_set(variables, DISCARD_SESSION):
        yield Refusal(
            "it is hibernated, or was shut down for a fast start: its volume is in use by a session that is saved",
            f"{_SHUT_DOWN}, or give up what the session had not written: {DISCARD_SESSION}=1",
        )
    if facts.unfinished_hives and not _is_set(variables, DISCARD_LOGS):
        hives = ", ".join(facts.unfinished_hives)
        yield Refusal(
            f"Windows did not finish writing {hives}: the last changes are in logs, which an edit would make void",
            f"{_SHUT_DOWN}, or give up what is in the logs: {DISCARD_LOGS}=1",
        )
    if not facts.control_sets:
        yield Refusal(
            r"HKLM\SYSTEM has no Select!Current, which names the control set in use",
            "its registry is damaged: take an image that starts",
        )
    yield from undeployable(facts)


def undeployable(facts: Inspection) -> Iterator[Refusal]:
    """For an image that Setup or sysprep left in the middle."""
    if facts.image_state == UNDEPLOYABLE:
        yield Refusal(
            f"Setup or sysprep did not come to an end in it (its state is {UNDEPLOYABLE}), so it can't be deployed",
            r"take a copy from before, or install it anew; C:\Windows\System32\Sysprep\Panther tells what failed",
        )


def audit_mode(facts: Inspection) -> Iterator[Refusal]:
    """For an image whose next start ends neither in what answer files are for nor in Setup's end."""
    if facts.image_state in AUDIT:
        yield Refusal(
            f"it starts in audit mode (its state is {facts.image_state}), where neither Setup's last pass nor "
            "first-boot scripts are reached",
            f"leave audit mode for good ({_SYSPREP}) and take it then",
        )


def answer_file(facts: Inspection) -> Iterator[Refusal]:
    """For an answer file that Windows would never read."""
    yield from undeployable(facts)
    yield from audit_mode(facts)
    if facts.image_state == COMPLETE:
        yield Refusal(
            f"Setup is through with it (its state is {COMPLETE}), so no answer file will ever be read",
            f"generalize it first ({_SYSPREP}), or leave the elements out that have an answer file: firstboot works in "
            "both states",
        )


def driver_policy(registry: Registry, variables: Mapping[str, str]) -> Iterator[Refusal]:
    """For a group policy that keeps Windows from installing drivers: it would not start from a new disk."""
    values = (registry.value(_RESTRICTIONS, name) for name in _FORBIDDING)
    found = [value.name for value in values if value is not None and value.number]
    if found and not _is_set(variables, IGNORE_DRIVER_POLICY):
        yield Refusal(
            f"a policy forbids the installation of drivers ({', '.join(found)} in {_RESTRICTIONS})",
            f"lift it in the image, or go on if it lets these drivers pass: {IGNORE_DRIVER_POLICY}=1",
        )


def room(free: int, needed: int) -> Iterator[Refusal]:
    """For a volume with ``free`` bytes that is to get ``needed`` more."""
    if free < needed + LEAST_ROOM:
        yield Refusal(
            f"C: has {free // MIB} MiB free, and {(needed + LEAST_ROOM) // MIB} MiB are needed",
            "remove what it can do without (C:\\pagefile.sys, C:\\Windows\\SoftwareDistribution\\Download), or take an "
            "image with a larger disk",
        )


def compressed(volume: Volume, path: str) -> Iterator[Refusal]:
    """For a file that would have to be read, if it is there, and was compressed by CompactOS."""
    try:
        is_readable = volume.size(path) == 0 or len(volume.read(path, 1)) == 1
    except DibError:
        is_readable = False
    if not is_readable and volume.exists(path):
        yield Refusal(
            f"{path} can't be read: it is compressed by CompactOS",
            DECOMPRESS,
        )


def _is_set(variables: Mapping[str, str], name: str) -> bool:
    return variables.get(name, "") not in ("", "0")
