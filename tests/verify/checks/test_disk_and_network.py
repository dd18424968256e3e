"""growroot and metadata-route: what the guest's kernel has, as a Debian 12 told it."""

from __future__ import annotations

import re

import pytest

from dib_py.units import MIB
from dib_py.verify.checks import Answer, Need, Request, Unreachable
from dib_py.verify.checks.growroot import Block, Growroot, find_fault
from dib_py.verify.checks.metadata_route import MetadataRoute
from dib_py.verify.result import Outcome
from dib_py.verify.verification import grown
from tests.verify.checks.fakes import GIB, SEED, Recorded, Subject

SECTORS = 6 * GIB // 512
PCI = "/sys/devices/pci0000:00/0000:00:05.0/virtio2/block/vda"


def mounts(source: str = "/dev/vda1", number: str = "254:1", fstype: str = "ext4") -> str:
    return (
        "21 28 0:20 / /sys rw,nosuid,nodev,noexec,relatime shared:7 - sysfs sysfs rw\n"
        f"28 1 {number} / / rw,relatime shared:1 - {fstype} {source} rw\n"
        "29 21 0:6 / /sys/kernel/security rw,nosuid,nodev,noexec,relatime shared:8 - securityfs securityfs rw\n"
    )


def df(size: int, source: str = "/dev/vda1") -> str:
    return f"Filesystem     1024-blocks   Used Available Capacity Mounted on\n{source} {size // 1024} 1 1 20% /\n"


def disk(*partitions: tuple[int, int, int, str]) -> str:
    """Lines for vda with partitions of number, first sector, sectors and holders."""
    lines = [f"vda 254:0 {SECTORS} - {PCI}", "sr0 11:0 2097151 - /sys/devices/pci0/block/sr0"]
    lines += [f"vda{n} 254:{n} {size} {start} {PCI}/vda{n} {holders}" for n, start, size, holders in partitions]
    return "\n".join(lines)


WHOLE = disk((1, 2048, SECTORS - 2048 - 33, ""))
GROWN: dict[str, Recorded] = {"mounts": mounts(), "df": df(int(5.7 * GIB)), "blocks": WHOLE}
LVM = disk((1, 2048, SECTORS - 4096, "dm-0 dm-1"))
DM = "\ndm-0 253:0 {} - /sys/devices/virtual/block/dm-0\ndm-1 253:1 {} - /sys/devices/virtual/block/dm-1"


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {  # an ESP and a BIOS boot partition before it, as clouds have them
            "mounts": mounts("/dev/vda3", "254:3"),
            "blocks": disk((1, 2048, 2048, ""), (2, 4096, 204800, ""), (3, 208896, SECTORS - 208896 - 33, "")),
        },
        {"mounts": mounts("/dev/vda1", "0:35", "btrfs")},  # numbers of its own
        {"mounts": mounts("/dev/vda", "254:0"), "blocks": disk()},  # no partition at all
        {
            "mounts": mounts("/dev/mapper/vg-root", "253:0"),
            "blocks": LVM + DM.format(8_000_000, 4_500_000),
            "df": df(3_900_000_000),
        },
    ],
)
def test_the_root_fills_the_disk(changed: dict[str, Recorded]) -> None:
    finding = Growroot().run(Subject({**GROWN, **changed}))
    assert (finding.reason, finding.outcome) == ("", Outcome.PASSED)


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        (
            {"blocks": disk((1, 2048, 3520512, "")), "df": df(int(1.6 * GIB))},
            "the root partition vda1 has 1.68 GiB of the disk's 6.00 GiB",
        ),
        ({"df": df(int(1.6 * GIB))}, "the root filesystem has 1.60 GiB of the 6.00 GiB of vda1"),
        (
            {"blocks": disk((1, 2048, 3520512, ""), (2, 3522560, 204800, ""))},
            "another partition lies behind the root partition vda1: it can't grow",
        ),
        ({"mounts": mounts("overlay", "0:40", "overlay")}, "the root filesystem is on no block device"),
        ({"mounts": ""}, "the root filesystem is on no block device"),
        ({"blocks": ""}, "the root filesystem is on no block device"),
        ({"df": Answer(127, "df: not found")}, "the root filesystem has 0.00 GiB of the 6.00 GiB of vda1"),
        (
            {"mounts": mounts("/dev/sr0", "11:0")},
            "the root filesystem is not on the machine's disk of 6.00 GiB, but on sr0",
        ),
        (
            {"mounts": mounts("/dev/mapper/vg-root", "253:0"), "blocks": LVM + DM.format(3_000_000, 200_000)},
            "the volumes on vda1 have 1.53 GiB of its 6.00 GiB",
        ),
    ],
)
def test_the_root_does_not(changed: dict[str, Recorded], reason: str) -> None:
    finding = Growroot().run(Subject({**GROWN, **changed}))
    assert (finding.outcome, finding.reason) == (Outcome.FAILED, reason)


SIZES = (*range(2, 21), 30, 40, 50, 80, 120, 200)  # GiB


def sized(virtual_size: int, filesystem: float, partition: float = 1.0, volume: float = 1.0) -> str:
    """What is wrong on a disk of a verification, of whose growth each part has taken its share."""
    size = grown(virtual_size)

    def after(share: float) -> int:
        return int(virtual_size + (size - virtual_size) * share) - 3 * MIB

    whole = Block("vda", "254:0", size, None, "vda", ())
    part = Block("vda1", "254:1", after(partition), MIB, "vda", ("dm-0",) if volume < 2 else ())
    root = Block("dm-0", "253:0", after(volume), None, "dm-0", ()) if volume < 2 else part
    blocks = {block.name: block for block in (whole, part, root)}
    return find_fault(blocks, root, int(after(filesystem) * 0.98), size)


@pytest.mark.parametrize("gib", SIZES)
@pytest.mark.parametrize("lvm", [False, True])
def test_what_did_not_grow_is_found_whatever_the_size(gib: int, lvm: bool) -> None:
    for size in (gib * GIB, gib * GIB - 300 * MIB):
        volume = 1.0 if lvm else 2.0
        assert sized(size, 1.0, volume=volume) == ""
        assert "the root filesystem has" in sized(size, 0.0, volume=volume)
        assert "the root partition vda1 has" in sized(size, 0.0, 0.0, volume=volume)
        assert not lvm or "the volumes on vda1 have" in sized(size, 0.0, volume=0.0)


def test_a_volume_on_several_disks_is_not_judged() -> None:
    blocks = disk((1, 2048, 100, "dm-0"), (2, 4096, 100, "dm-0")) + DM.format(200, 200)
    with pytest.raises(Unreachable):
        Growroot().run(Subject({**GROWN, "blocks": blocks, "mounts": mounts("/dev/mapper/vg-root", "253:0")}))


# -- metadata-route
HEADER = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n"
DEFAULT = "ens4\t00000000\t0202000A\t0003\t0\t0\t1024\t00000000\t0\t0\t0\n"
LOCAL = "ens4\t0002000A\t00000000\t0001\t0\t0\t1024\t00FFFFFF\t0\t0\t0\n"
ZEROCONF = "ens4\t0000FEA9\t00000000\t0001\t0\t0\t1002\t0000FFFF\t0\t0\t0\n"
SERVICE = "ens4\tFEA9FEA9\t0202000A\t0007\t0\t0\t1024\tFFFFFFFF\t0\t0\t0\n"


class Asking(Subject):
    """Its service hears what is asked, unless the network has nobody there."""

    def __init__(self, routes: str, answer: Recorded, *, heard: bool = True, missing: frozenset[Need] = frozenset()):
        super().__init__({"routes": routes, "answer": answer}, missing=missing)
        self._heard = heard

    @property
    def requests(self) -> list[Request]:
        asked = re.findall(r"http://169\.254\.169\.254(/[^']*)'", "".join(self.shell.scripts))
        return [Request(1.0, "GET", path, 200) for path in asked] if self._heard else []

    @requests.setter
    def requests(self, value: object) -> None:
        """Made as they come."""


@pytest.mark.parametrize("routes", [HEADER + DEFAULT + LOCAL, HEADER + DEFAULT + LOCAL + SERVICE])
def test_the_service_is_reached(routes: str) -> None:
    finding = MetadataRoute().run(Asking(routes, SEED.instance_id))
    assert (finding.reason, finding.outcome) == ("", Outcome.PASSED)
    assert "0.0.0.0/0 by ens4" in finding.evidence[0].text


@pytest.mark.parametrize(
    ("routes", "answer", "heard", "reason"),
    [
        (
            HEADER + DEFAULT + ZEROCONF,
            SEED.instance_id,
            True,
            "a zeroconf route takes what is meant for the metadata service: 169.254.0.0/16 by ens4",
        ),
        (
            HEADER,
            Answer(7, "curl: (7) Couldn't connect to server"),
            False,
            "the metadata service is not reached: curl: (7) Couldn't connect to server",
        ),
        (HEADER + DEFAULT, "i-other", True, "the metadata service is not reached: it was asked, but the guest got"),
        (HEADER + DEFAULT, SEED.instance_id, False, "the metadata service is not reached"),
    ],
)
def test_the_service_is_not(routes: str, answer: Recorded, heard: bool, reason: str) -> None:
    finding = MetadataRoute().run(Asking(routes, answer, heard=heard))
    assert finding.outcome is Outcome.FAILED
    assert reason in finding.reason


def test_a_guest_that_has_nothing_to_ask_with() -> None:
    with pytest.raises(Unreachable, match="no program"):
        MetadataRoute().run(Asking(HEADER, Answer(127, "there is no curl, python3 or wget"), heard=False))
