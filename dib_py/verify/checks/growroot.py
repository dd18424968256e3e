"""Do the root partition and its filesystem fill the disk, which is larger than the image?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import ClassVar

from dib_py.units import GIB, MIB
from dib_py.verify.checks import Finding, Need, Subject, Unreachable, failed, passed
from dib_py.verify.checks.sections import ask
from dib_py.verify.result import Evidence

_SECTOR = 512  # what sysfs counts in, whatever the disk's sectors are
_SLACK = 16 * MIB  # behind the last partition: alignment and the second table of GPT
_PARTITION_FILLED = 0.95  # by the volumes on it
# by what df counts of a filesystem, which leaves inodes and the journal out; the disk has grown by more than the rest
_DEVICE_FILLED = 0.85

# a line for each block device: name, number, sectors, first sector ("-" for what is no partition), path, holders
_BLOCKS = r"""
for device in /sys/class/block/*; do
    start=-
    [ ! -e "$device/partition" ] || start=$(cat "$device/start")
    set -- $(cat "$device/dev" "$device/size") $start "$(readlink -f "$device")" $(ls "$device/holders")
    echo "${device##*/} $*"
done
"""
_QUESTIONS = {"mounts": "cat /proc/self/mountinfo", "df": "df -Pk /", "blocks": _BLOCKS}


@dataclass(frozen=True)
class Block:
    """A block device of the guest; ``start`` is None for what is no partition. Bytes."""

    name: str
    number: str
    size: int
    start: int | None
    disk: str
    holders: tuple[str, ...]

    @property
    def end(self) -> int:
        return (self.start or 0) + self.size


class Growroot:
    """Looks at what the kernel has, not at what a tool says that it did."""

    name: ClassVar[str] = "growroot"
    proves: ClassVar[str] = "On a larger disk, the root partition and filesystem grow to fill it."
    version: ClassVar[int] = 2
    profiles: ClassVar[frozenset[str]] = frozenset({"openstack"})
    needs: ClassVar[frozenset[Need]] = frozenset({Need.SHELL})
    boot: ClassVar[int] = 1

    def run(self, subject: Subject) -> Finding:
        subject.wait(Need.CLOUD_INIT, subject.limits.cloud_init)  # growing can be one of its modules
        answers = {name: answer.output for name, answer in ask(subject.shell, _QUESTIONS).items()}
        blocks, total = parse_blocks(answers["blocks"]), _total(answers["df"])
        evidence = (Evidence("df -Pk /", answers["df"]), Evidence("block devices", answers["blocks"]))
        fault = find_fault(blocks, root_number(answers["mounts"], blocks), total, subject.disk_size)
        return failed(fault, *evidence) if fault else passed(*evidence)


def find_fault(blocks: Mapping[str, Block], root: Block | None, total: int, disk_size: int) -> str:
    """What does not fill the disk of ``disk_size`` bytes, in one line; ``total`` is the filesystem's size in bytes."""
    if root is None:
        return "the root filesystem is on no block device"
    below = _below(root, blocks)
    disk = blocks.get(below.disk)
    if disk is None or disk.size != disk_size:
        return f"the root filesystem is not on the machine's disk of {_gib(disk_size)}, but on {below.name}"
    if below.start is not None:
        behind = min(
            (one.start for one in _partitions(blocks, disk) if one.start and one.start >= below.end), default=0
        )
        room = (behind or disk.size) - below.end
        if behind and behind < disk.size - _SLACK:
            return f"another partition lies behind the root partition {below.name}: it can't grow"
        if room > _SLACK:
            return f"the root partition {below.name} has {_gib(below.size)} of the disk's {_gib(disk.size)}"
    volumes = [one.size for one in blocks.values() if one.name in below.holders]
    if volumes and sum(volumes) < below.size * _PARTITION_FILLED:
        return f"the volumes on {below.name} have {_gib(sum(volumes))} of its {_gib(below.size)}"
    if total < root.size * _DEVICE_FILLED:
        return f"the root filesystem has {_gib(total)} of the {_gib(root.size)} of {root.name}"
    return ""


def parse_blocks(text: str) -> dict[str, Block]:
    """The guest's block devices by their names."""
    found: dict[str, Block] = {}
    for line in text.splitlines():
        words = line.split()
        if len(words) < 5 or not words[2].isdigit():
            continue
        name, number, size, start, path, *holders = words
        disk = name if start == "-" else PurePosixPath(path).parent.name
        first = int(start) * _SECTOR if start.isdigit() else None
        found[name] = Block(name, number, int(size) * _SECTOR, first, disk, tuple(holders))
    return found


def root_number(mountinfo: str, blocks: Mapping[str, Block]) -> Block | None:
    """What the root is mounted from, by its number, or by its name for btrfs, which has numbers of its own."""
    lines = [line.split() for line in mountinfo.splitlines()]
    roots = [words for words in lines if len(words) > 8 and words[4] == "/" and "-" in words]
    if not roots:
        return None
    words = roots[-1]  # the one mounted over the others
    source = words[words.index("-") + 2]
    by_number = next((block for block in blocks.values() if block.number == words[2]), None)
    return by_number or blocks.get(source.removeprefix("/dev/"))


def _below(block: Block, blocks: Mapping[str, Block]) -> Block:
    """The partition, or the disk, that a volume lies on."""
    for _ in blocks:
        lower = [one for one in blocks.values() if block.name in one.holders]
        if len(lower) > 1:
            raise Unreachable(f"the root volume {block.name} lies on several devices")
        if not lower:
            break
        block = lower[0]
    return block


def _partitions(blocks: Mapping[str, Block], disk: Block) -> Sequence[Block]:
    return [one for one in blocks.values() if one.disk == disk.name and one.start is not None]


def _total(df: str) -> int:
    """Bytes, from the last line of ``df -Pk``."""
    words = df.splitlines()[-1].split() if df.strip() else []
    return int(words[1]) * 1024 if len(words) > 1 and words[1].isdigit() else 0


def _gib(size: int) -> str:
    return f"{size / GIB:.2f} GiB"
