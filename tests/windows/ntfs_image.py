"""A finished image read without the engine and without an appliance: its C: cut out, for ntfs-3g's own tools."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

from dib_py import process

_CHUNK = 4 * 1024**2


@dataclass(frozen=True)
class NtfsImage:
    """The file of an NTFS filesystem."""

    path: Path

    @classmethod
    def of(cls, disk: Path, directory: Path) -> NtfsImage:
        """The largest partition of a disk image, of whatever format."""
        raw = directory / f"{disk.stem}.whole"
        process.run(["qemu-img", "convert", "-O", "raw", disk, raw])
        table = json.loads(process.run(["sfdisk", "--json", raw]))["partitiontable"]
        main = max(table["partitions"], key=lambda one: int(one["size"]))
        cut = cls(directory / f"{disk.stem}.ntfs")
        with raw.open("rb") as whole, cut.path.open("wb") as part:
            whole.seek(main["start"] * 512)
            left = main["size"] * 512
            part.truncate(left)
            while left:
                chunk = whole.read(min(left, _CHUNK))
                left -= len(chunk)
                if chunk.strip(b"\0"):
                    part.write(chunk)
                else:
                    part.seek(len(chunk), 1)
        raw.unlink()
        return cut

    @property
    def is_clean(self) -> bool:
        """Whether it was unmounted in good order: Windows would check it else."""
        flags = re.search(r"Volume Flags: +(0x[0-9a-f]+)", process.run(["ntfsinfo", "-m", self.path]))
        assert flags is not None
        return flags[1] == "0x0000" and "successfully" in process.run(["ntfsfix", "--no-action", self.path])

    @property
    def size(self) -> int:
        """Bytes of the filesystem, which may be less than its partition has."""
        printed = process.run(["ntfsinfo", "--force", "-m", self.path])
        cluster, clusters = (
            re.search(rf"{name}: +([0-9]+)", printed) for name in ("Cluster Size", "Volume Size in Clusters")
        )
        assert cluster is not None and clusters is not None
        return int(cluster[1]) * int(clusters[1])

    def names(self, path: str) -> list[str]:
        listed = process.run(["ntfsls", "--force", "--path", path, self.path]).splitlines()
        return [name for name in listed if name not in (".", "..")]

    def text(self, path: str) -> str:
        return process.run(["ntfscat", self.path, path])

    def mode(self, path: str) -> str:
        """The mode that a file's security descriptor comes to, as ntfs-3g reads it from outside."""
        printed = process.run(["ntfssecaudit", self.path, path])
        found = re.search(r"mode (0[0-7]+)", printed)
        assert found is not None, printed
        return found[1]

    def export(self, hive: str, key: str) -> str:
        """A key of a hive in ``config`` with all below it, as hivexregedit writes it."""
        copy = self.path.with_suffix(f".{hive}")
        with process.reading(["ntfscat", self.path, f"/Windows/System32/config/{hive}"]) as content:
            copy.write_bytes(content.read())
        return process.run(["hivexregedit", "--export", "--prefix", "HKLM", copy, key])
