"""A tree with everything that archives lose easily, and what a tree has after an image of it was unpacked."""

from __future__ import annotations

import hashlib
import os
import stat
import subprocess
from pathlib import Path

SPARSE_SIZE = 64 * 1024 * 1024
_MAKE = r"""
set -eu
cd "$1"
chmod 1751 .
chown 12:34 .
mkdir -p bin boot/efi dev etc proc sys tmp lost+found boot/lost+found usr/share
chmod 1777 tmp
chmod 700 lost+found
echo lost > lost+found/1
echo lost > boot/lost+found/1
mkdir usr/lost+found
echo kept > usr/lost+found/1
echo kernel > boot/vmlinuz
echo 'efi' > boot/efi/grub.cfg
printf '#!/bin/sh\n' > bin/su
chmod 4755 bin/su
chown 1234:4321 etc
echo config > etc/config
ln etc/config etc/hard
ln -s /etc/config etc/absolute
ln -s ../nowhere etc/dangling
mknod dev/null c 1 3
mknod dev/disk b 8 0
mkfifo dev/pipe
truncate -s 64M sparse
printf data | dd of=sparse bs=1 seek=50000000 conv=notrunc status=none
: > empty
head -c 1000000 /dev/urandom > usr/share/large
echo accents > "usr/share/na$(printf '\303\257')ve"
echo latin > "usr/share/na$(printf '\357')ve"
echo pattern > 'usr/share/a[b]*c'
echo long > "usr/share/$(printf 'n%.0s' $(seq 240))"
setfattr -n user.colour -v blue etc/config
setfattr -n security.capability -v 0sAQAAAgAgAAAAAAAAAAAAAAAAAAA= bin/su
setfattr -n trusted.mark -v 0x00ff10 usr
setfacl -m u:1234:rw empty
touch -d @1000000000.123456789 etc/config
python3 - <<'EOF'
import socket
socket.socket(socket.AF_UNIX).bind("dev/socket")
EOF
"""


def make_tree(root: Path) -> Path:
    root.mkdir()
    subprocess.run(["bash", "-c", _MAKE, "bash", root], check=True)
    return root


def describe(root: Path, *, acls: bool = True) -> dict[str, tuple[object, ...]]:
    """Each path of a tree with all that is to be kept of it; sockets and the filesystem's own files are not."""
    found = {}
    for directory, names, files in os.walk(os.fsencode(root)):
        for name in [b".", *names, *files] if directory == os.fsencode(root) else [*names, *files]:
            path = Path(os.fsdecode(directory), os.fsdecode(name))
            inside = "/" + str(path.relative_to(root))
            status = path.lstat()
            if stat.S_ISSOCK(status.st_mode) or inside.startswith(("/lost+found", "/boot/lost+found")):
                continue
            found[inside] = _describe(path, status, acls=acls)
    return found


def _describe(path: Path, status: os.stat_result, *, acls: bool) -> tuple[object, ...]:
    names = [name for name in os.listxattr(path, follow_symlinks=False) if acls or "posix_acl" not in name]
    attributes = {name: os.getxattr(path, name, follow_symlinks=False) for name in names}
    what: object = ""
    if stat.S_ISREG(status.st_mode):
        what = (status.st_nlink, status.st_size, hashlib.sha256(path.read_bytes()).hexdigest())
    elif stat.S_ISLNK(status.st_mode):
        what = path.readlink()
    elif stat.S_ISCHR(status.st_mode) or stat.S_ISBLK(status.st_mode):
        what = status.st_rdev
    return stat.filemode(status.st_mode), status.st_uid, status.st_gid, int(status.st_mtime), what, attributes
