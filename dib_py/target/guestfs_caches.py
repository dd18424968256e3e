"""Package caches in the appliance: a disk of its own with a copy of the build's, mounted in the guest while hooks run.

It is an ext4 filesystem that mke2fs fills (140 MB in 0.25 s), since the appliance's kernel may know no way to share a
directory (9p, virtiofs). What is new on it afterwards debugfs reads: neither needs root, and nothing is mounted here.
"""

from __future__ import annotations

import re
import secrets
import shutil
import tempfile
from pathlib import Path

from dib_py import process
from dib_py.target import CacheTree

LABEL = "caches"  # letters only; gives /dev/disk/guestfs/caches

ROOM = 8 * 1024**3  # bytes for downloads; the file is sparse
_BYTES_PER_INODE = 65536
_NAME = re.compile(r"(?!.*\.\.)[A-Za-z0-9._+~%:=@,/-]+")  # such as debugfs takes between quotes

# Where a cache belongs in the appliance, as far as no symbolic link of the guest is on the way.
_PLACE = r"""
place_of() {
    local part
    local -a parts
    IFS=/ read -r -a parts <<<"${1:1}"
    place=/sysroot
    for part in "${parts[@]}"; do
        place+=/$part
        if [ -L "$place" ]; then return 1; fi
    done
}
"""
# $2...: the guest's directories. One that can't be mounted on is left as it is.
MOUNT = f"""{_PLACE}
disk=/run/dib/caches
mkdir -p $disk
if mount -t ext4 -o noatime,nosuid,nodev,noinit_itable /dev/disk/guestfs/{LABEL} $disk; then
    : >$disk/.mounted
    for path in "${{@:2}}"; do
        if place_of "$path" && {{ [ -d "$place" ] || mkdir -p "$place"; }}; then
            mount --bind "$disk$path" "$place"
        fi
    done
fi
"""
# Prints size and path of what is new, each ended by NUL.
UNMOUNT = f"""{_PLACE}
disk=/run/dib/caches
if [ -e $disk/.mounted ]; then
    for path in "${{@:2}}"; do
        if place_of "$path"; then umount -R -l "$place" 2>/dev/null || :; fi
    done
    find $disk -xdev -type f -cnewer $disk/.mounted ! -name '.*' -printf '%s %P\\0'
    umount $disk
fi
"""


class CacheDisk:
    """The disk of one build, in the file ``image``."""

    def __init__(self, caches: CacheTree, image: Path) -> None:
        """Make it; DibError or OSError where that fails."""
        self.caches = caches
        self.image = image
        self._new: dict[str, int] = {}
        size = ROOM + sum(path.stat().st_size for path in caches.root.rglob("*") if path.is_file())
        features = ["-O", "^has_journal", "-m", "0", "-i", str(_BYTES_PER_INODE), "-E", "nodiscard"]
        process.run(["mke2fs", "-q", "-F", "-t", "ext4", *features, "-d", caches.root, image, f"{size // 1024}k"])

    def unmounted(self, printed: str) -> None:
        """Note what ``UNMOUNT`` printed; only after it is the disk's content whole."""
        for entry in printed.split("\0"):
            size, _, path = entry.partition(" ")
            if size.isdigit() and _NAME.fullmatch(path):
                self._new[path] = int(size)

    def take_back(self) -> None:
        """Put what is new into the build's directories, once the appliance has ended; DibError or OSError."""
        new, self._new = self._new, {}
        if not new or not self.caches.kept:
            return
        with tempfile.TemporaryDirectory(dir=self.image.parent, prefix="caches.") as scratch:
            fresh = {path: Path(scratch, str(number)) for number, path in enumerate(new)}
            commands = "".join(f'dump -p "/{path}" "{file}"\n' for path, file in fresh.items())
            process.run(["debugfs", "-f", "-", self.image], input=commands.encode())
            for path, file in fresh.items():
                if file.is_file() and file.stat().st_size == new[path]:
                    _replace(file, self.caches.root / path)


def _replace(file: Path, destination: Path) -> None:
    """Copy a file to a name that may be a hard link of a kept one, which stays as it is."""
    destination.parent.mkdir(parents=True, exist_ok=True)
    between = destination.with_name(f".{secrets.token_hex(8)}")
    try:
        shutil.copy2(file, between)
        between.chmod(0o644)
        between.replace(destination)
    finally:
        between.unlink(missing_ok=True)
