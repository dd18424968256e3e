"""Stand-ins for images of distributions that can't be fetched here: this machine's programs under a distribution's
os-release, with its package manager, its service layout and a repository of tiny packages on loopback.

They show what elements do with a package manager and an init system, not that the distribution is as it is made here.
"""

from __future__ import annotations

import functools
import gzip
import io
import re
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

HERE = Path(__file__).parent / "stand_ins"

Files = Mapping[str, tuple[int, bytes]]  # by path without a leading slash: mode and content


class Tree:
    """A root filesystem that is made program by program."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for name in ("usr/bin", "usr/lib", "usr/lib64", "usr/sbin", "etc", "var/lib", "var/log", "root", "run", "opt"):
            (root / name).mkdir(parents=True, exist_ok=True)
        for name in ("dev", "proc", "sys", "tmp", "boot", "home", "mnt"):
            (root / name).mkdir()
        for name in ("bin", "sbin", "lib", "lib64"):
            (root / name).symlink_to(f"usr/{name}")
        self.write("etc/passwd", "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/sbin/nologin\n")
        self.write("etc/shadow", "root:*:19000:0:99999:7:::\n", 0o640)
        self.write("etc/group", "root:x:0:\nnogroup:x:65534:\n")
        self.write("etc/hostname", "localhost\n")

    def write(self, name: str, text: str, mode: int = 0o644) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(mode)

    def unpack(self, files: Files) -> None:
        for name, (mode, content) in files.items():
            path = self.root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            path.chmod(mode)

    def busybox(self) -> None:
        """busybox, and all its commands that the tree has not got."""
        self.unpack(programs("busybox"))
        listed = subprocess.run(["busybox", "--list"], check=True, capture_output=True, text=True).stdout
        for name in listed.split():
            link = self.root / "usr/bin" / name
            if not link.exists():
                link.symlink_to("busybox")

    def image(self, path: Path, size: str = "512M") -> Path:
        """A disk image that is one ext4 filesystem with the tree in it."""
        return self.image_of(self.root, path, size)

    @staticmethod
    def image_of(root: Path, path: Path, size: str) -> Path:
        command = ["mke2fs", "-q", "-t", "ext4", "-L", "root", "-E", "root_owner=0:0", "-d", str(root), str(path), size]
        subprocess.run(command, check=True, capture_output=True)
        return path


@functools.cache
def programs(*names: str) -> Files:
    """Programs of this machine with the libraries that they need."""
    files: dict[str, tuple[int, bytes]] = {}
    for name in names:
        found = shutil.which(name, path="/usr/sbin:/usr/bin:/sbin:/bin")
        assert found, f"{name} is not installed"
        real = Path(found).resolve()
        files[_usr(found)] = (0o755, real.read_bytes())
        listed = subprocess.run(["ldd", real], capture_output=True, text=True, check=False).stdout
        for library in re.findall(r"(/\S+) \(0x", listed):
            files[_usr(library)] = (0o755, Path(library).read_bytes())
    return files


@functools.cache
def debian_package(name: str) -> Files:
    """The files of a Debian package, which need not be installed here."""
    with tempfile.TemporaryDirectory() as directory:
        Path(directory).chmod(0o777)  # apt downloads as a user of its own
        download = ["apt-get", "--quiet=2", "download", name]
        subprocess.run(download, cwd=directory, check=True, capture_output=True, timeout=120)
        archive = next(Path(directory).glob("*.deb"))
        subprocess.run(["dpkg-deb", "--extract", archive, f"{directory}/tree"], check=True)
        root = Path(directory, "tree")
        return {
            _usr(f"/{path.relative_to(root)}"): (path.stat().st_mode & 0o777, path.read_bytes())
            for path in root.rglob("*")
            if path.is_file()
        }


def _usr(path: str) -> str:
    """Where a path is in a tree that has all programs and libraries below /usr."""
    plain = path.lstrip("/")
    return plain if plain.split("/")[0] not in ("bin", "sbin", "lib", "lib64") else f"usr/{plain}"


def text_file(text: str, mode: int = 0o644) -> tuple[int, bytes]:
    return mode, text.encode()


# -- packages


def make_apk(directory: Path, packages: Mapping[str, Files], needs: Mapping[str, Iterable[str]] = {}) -> None:
    """A repository of Alpine's format 2: packages and an index, unsigned."""
    directory.mkdir(parents=True)
    entries = []
    for name, files in packages.items():
        info = f"pkgname = {name}\npkgver = 1.0-r0\narch = x86_64\n"
        control = _tar({".PKGINFO": text_file(info)}, end=False)
        (directory / f"{name}-1.0-r0.apk").write_bytes(gzip.compress(control) + gzip.compress(_tar(files)))
        needed = " ".join(needs.get(name, ()))
        entries.append(f"P:{name}\nV:1.0-r0\nA:x86_64\n" + (f"D:{needed}\n" if needed else ""))
    index = _tar({"DESCRIPTION": text_file("tests"), "APKINDEX": text_file("\n".join(entries) + "\n")})
    (directory / "APKINDEX.tar.gz").write_bytes(gzip.compress(index))


def make_pacman(directory: Path, name: str, packages: Mapping[str, Files]) -> None:
    """A repository for pacman with a database of this name, made by its own repo-add."""
    directory.mkdir(parents=True)
    made = []
    for package, files in packages.items():
        size = sum(len(content) for _, content in files.values())
        info = f"pkgname = {package}\npkgbase = {package}\npkgver = 1.0-1\npkgdesc = x\nsize = {size}\narch = any\n"
        path = directory / f"{package}-1.0-1-any.pkg.tar.gz"
        path.write_bytes(gzip.compress(_tar({".PKGINFO": text_file(info), **files})))
        made.append(path.name)
    subprocess.run(["repo-add", "-q", f"{name}.db.tar.gz", *made], cwd=directory, check=True, capture_output=True)


def _tar(files: Files, end: bool = True) -> bytes:
    """A tar archive; without its ``end``, so that another one may follow."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for directory in sorted({str(parent) for name in files for parent in Path(name).parents} - {"."}):
            entry = tarfile.TarInfo(directory)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            archive.addfile(entry)
        for name, (mode, content) in files.items():
            entry = tarfile.TarInfo(name)
            entry.mode, entry.size = mode, len(content)
            archive.addfile(entry, io.BytesIO(content))
        offset = archive.offset
    return buffer.getvalue() if end else buffer.getvalue()[:offset]
